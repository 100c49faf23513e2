"""The function in memory that the workers of a pool share."""

from __future__ import annotations

import os

from ..runtime.shared_file import create_file


class FunctionFile:
    """The packed function in memory that all workers of a pool share.

    Args:
        packed: the function.
    """

    def __init__(self, packed: bytes) -> None:
        self.packed = packed
        self._file = create_file("function", packed)

    def open(self) -> int:
        """Return a new descriptor of the file, which the caller closes."""
        return os.dup(self._file)

    def close(self) -> None:
        """Close the file; descriptors that `open` has returned stay good."""
        os.close(self._file)
