"""The share: how several streams of items divide the time of the same workers."""

from __future__ import annotations

SMOOTHING = 0.2
"""Weight of the newest results in the mean time of an item."""


class Share:
    """What one stream has had of the workers' time, in seconds.

    The stream with the smallest claim is lent from next, so that streams which have items get
    equal time, whatever the length of their items. A stream that had none for a while does not
    make up for that: it goes on where the others are now (start-time fair queueing, after Goyal,
    Vin and Cheng, 1996).
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._item_seconds = 0.0

    def charge(self, items: int, seconds: float) -> None:
        """Workers have computed so many of its items in so many seconds."""
        self.seconds += seconds
        mean = seconds / items
        weight = SMOOTHING if self._item_seconds else 1.0
        self._item_seconds += weight * (mean - self._item_seconds)

    def claimed(self, lent: int) -> float:
        """What it has had, and what the items that are lent now will probably take."""
        return self.seconds + lent * self._item_seconds

    def resume(self, virtual_time: float) -> None:
        """It has items, after a time without: it goes on where the others are now."""
        self.seconds = max(self.seconds, virtual_time)
