"""A few bytes that a worker shares with its parent: which item of which lease is running.

They outlive the worker, so that a crash is blamed on the item that caused it and on no other.
"""

from __future__ import annotations

import mmap
import os

LEASE, OFFSET = 0, 1
SIZE = 2 * 8
NOTHING = -1


class Progress:
    """Two 64-bit numbers in shared memory, the lease and the offset of the running item.

    `cells` can be assigned to directly; that is what a worker does before each item.
    """

    def __init__(self, file: int) -> None:
        self._map = mmap.mmap(file, SIZE)
        self.cells = memoryview(self._map).cast("q")

    def running(self) -> tuple[int, int] | None:
        """The lease and the offset of the running item, if one is running."""
        offset = self.cells[OFFSET]
        return None if offset == NOTHING else (self.cells[LEASE], offset)

    def close(self) -> None:
        """Give the memory back."""
        self.cells.release()
        self._map.close()


def create() -> Progress:
    """One that is shared with nobody."""
    file = create_file()
    try:
        return Progress(file)
    finally:
        os.close(file)


def create_file() -> int:
    """A new file descriptor to share, saying that nothing runs. The caller closes it."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("pando-progress")
    else:
        import tempfile

        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    os.write(file, (0).to_bytes(8, "little") + (NOTHING).to_bytes(8, "little", signed=True))
    return file
