"""Files in memory that a worker shares with its parent."""

from __future__ import annotations

import mmap
import os


def create_file(name: str, content: bytes) -> int:
    """Create a file without a path, and return its descriptor. The caller closes it.

    Args:
        name: what tools for the process's files show.
        content: what is in it.
    """
    if hasattr(os, "memfd_create"):
        file: int = os.memfd_create(f"pando-{name}")
    else:
        import tempfile

        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]
    return file


def read_file(file: int) -> memoryview:
    """Return the content of a file that is not empty, and close its descriptor."""
    try:
        return memoryview(mmap.mmap(file, 0, access=mmap.ACCESS_READ))
    finally:
        os.close(file)
