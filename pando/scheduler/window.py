"""The window: how far reading may run ahead of what has been handed out."""

from __future__ import annotations

MAX_ITEMS = 65_536
"""Items between the last one read and the oldest not handed out, however small they are."""
MAX_BYTES = 16 * 1024 * 1024
"""Bytes of encoded items and results that the window aims to hold at the most."""
MIN_ITEMS = 64
"""Items that the window always lets in, however large they are."""
SMOOTHING = 0.2
"""Weight of the newest batch in the mean size of an item."""


class Window:
    """How many items may be between reading and handing out.

    Bounded in items and, by the mean size of the items seen so far, in bytes.

    Args:
        limit: a fixed number of items, where the user chose one.

    Attributes:
        max_bytes: of results that wait for their turn, before nothing more is read.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._mean_size = 0.0
        self.max_bytes = MAX_BYTES

    @property
    def mean_size(self) -> float:
        """Bytes of an encoded item with its result, on average."""
        return self._mean_size

    def measured(self, items: int, size: int) -> None:
        """So many items, or results, were encoded in so many bytes."""
        mean = size / items
        if mean > self._mean_size:
            self._mean_size = mean
        else:
            self._mean_size += SMOOTHING * (mean - self._mean_size)

    def items(self, borrowed: int = 0, *, windows: int = 1) -> int:
        """The window's size now, in items.

        Args:
            windows: how many windows share the bytes.
            borrowed: what the borrowers can hold at once with nothing to spare; the window is
                never smaller, since a borrower would wait.
        """
        if self._limit is not None:
            return self._limit
        fitting = int(MAX_BYTES / windows / self._mean_size) if self._mean_size else MAX_ITEMS
        return max(MIN_ITEMS, borrowed, min(MAX_ITEMS, fitting))
