"""A few bytes that a worker shares with its parent: which item of which lease is where.

They outlive the worker, so that a crash is blamed on the item that caused it and on no other.
"""

from __future__ import annotations

import mmap
import os
import struct

from .shared_file import create_file

LEASE, OFFSET = 0, 1
DECODING, ENCODING = 2, 4
"""Where the lease of the item that is being decoded stands, and of the result being encoded."""
CELLS = 6
SIZE = CELLS * 8
NOTHING = -1


class Stage:
    """What is at one stage: being decoded, or encoded.

    Args:
        cells: the shared numbers.
        place: where the lease stands; the offset comes after it, and is `NOTHING` at first.
    """

    def __init__(self, cells: memoryview, place: int) -> None:
        self._cells = cells
        self._place = place

    @property
    def lease(self) -> int:
        """The lease of the item that is at this stage."""
        return int(self._cells[self._place])

    @lease.setter
    def lease(self, lease: int) -> None:
        self._cells[self._place] = lease

    @property
    def offset(self) -> int:
        """Its offset in the lease; `NOTHING` where none is at this stage."""
        return int(self._cells[self._place + 1])

    @offset.setter
    def offset(self, offset: int) -> None:
        self._cells[self._place + 1] = offset

    def item(self) -> tuple[int, int] | None:
        """Return the lease and the offset of the item at this stage, if there is one."""
        offset = self.offset
        return None if offset == NOTHING else (self.lease, offset)


class RunningItem:
    """64-bit numbers in shared memory: the lease and the offset of the item at each stage.

    `cells` can be assigned to directly; that is what a worker does before each item it runs.

    Attributes:
        decoding, encoding: the stages before and after it runs.
    """

    def __init__(self, file: int) -> None:
        self._map = mmap.mmap(file, SIZE)
        self.cells = memoryview(self._map).cast("q")
        self.decoding = Stage(self.cells, DECODING)
        self.encoding = Stage(self.cells, ENCODING)

    def running(self) -> tuple[int, int] | None:
        """Return the lease and the offset of the running item, if one is running."""
        offset = self.cells[OFFSET]
        return None if offset == NOTHING else (self.cells[LEASE], offset)

    def stages(self) -> tuple[tuple[int, int] | None, ...]:
        """Return the lease and the offset of the item that runs, is decoded, and is encoded."""
        return self.running(), self.decoding.item(), self.encoding.item()

    def close(self) -> None:
        """Give the memory back."""
        self.cells.release()
        self._map.close()


def create() -> RunningItem:
    """Create one that is not shared."""
    file = create_running_item_file()
    try:
        return RunningItem(file)
    finally:
        os.close(file)


def create_running_item_file() -> int:
    """Create a file to share, saying that nothing runs. The caller closes its descriptor."""
    return create_file("running-item", struct.pack("=6q", *(0, NOTHING) * (CELLS // 2)))
