"""Buffers of large messages: filled as few times as possible, from memory that is used again.

The allocator of glibc takes a large block from the system and gives it back as soon as it is free.
The system clears each page of such a block when it is touched first, which takes several times as
long as copying into it: for a value of 1 MB more than all that encryption costs. But the allocator
learns from the largest block that it has given back (`mallopt(3)`, M_MMAP_THRESHOLD): what is not
larger comes from memory that it keeps. Other allocators take no notice.
"""

from __future__ import annotations

import functools

LARGE_BYTES = 128 * 1024
"""Larger blocks than this would be taken from the system one by one."""
SHOWN_BYTES = 8 * 1024 * 1024
"""The block that the allocator learns from. It keeps twice as much free memory, and no more."""
SMALL_BYTES = 4 * 1024
"""A piece that is smaller takes up more than its bytes, so several are put together at once."""


@functools.cache
def keep_freed_memory() -> None:
    """Let this process use the memory of large messages again; to be called when one comes."""
    bytes(SHOWN_BYTES)  # whose pages are never touched


class Pieces:
    """A message that comes in pieces, which are joined once, when all are there."""

    def __init__(self) -> None:
        self._pieces: list[memoryview | bytearray] = []
        self._size = 0

    def add(self, piece: memoryview) -> None:
        """Add the next piece. It is kept as it is: what it is a view of must not change."""
        self._size += len(piece)
        if len(piece) >= SMALL_BYTES or not self._pieces:
            self._pieces.append(piece)
            return
        last = self._pieces[-1]
        if isinstance(last, bytearray):
            last += piece
        else:
            self._pieces.append(bytearray(piece))

    def take(self) -> bytes:
        """Take out the message."""
        if self._size > LARGE_BYTES:
            keep_freed_memory()
        message = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return message
