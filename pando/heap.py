"""The memory of large messages: it is used again, and not given back after each of them.

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


@functools.cache
def keep_freed_memory() -> None:
    """Let this process use the memory of large messages again; to be called when one comes."""
    bytes(SHOWN_BYTES)  # whose pages are never touched
