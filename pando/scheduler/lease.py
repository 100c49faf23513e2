"""A lease: consecutive items lent to one borrower, and which of their results are missing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Sequence
from typing import Any

import msgspec


class Lease(msgspec.Struct):
    """Consecutive items lent to one borrower.

    Attributes:
        number: what the lease is called in messages; never used twice.
        borrower: who holds it.
        start: the first item's index.
        items: the items, as they were read.
        missing: the stretches of offsets whose results have not come, lowest first.
        left: how many results have not come.
        is_alone: whether its one item is suspected of ending devices, and the borrower gets
            nothing else meanwhile.
        recalled: whether the borrower has been asked to give it back, and has not answered.
        was_recalled: whether it has ever been asked.
        position: how many items the borrower held once it had these.
        since: when it was lent, in seconds.
        is_copy: whether its items had been lent to another borrower before, who still had them.
        is_superseded_in_part: whether another borrower was faster with some of its items.
        was_outrun: whether that borrower had been lent them later.
    """

    number: int
    borrower: Hashable
    start: int
    items: Sequence[Any]
    missing: list[tuple[int, int]] = []
    left: int = 0
    is_alone: bool = False
    recalled: bool = False
    was_recalled: bool = False
    position: int = 0
    since: float = 0.0
    is_copy: bool = False
    is_superseded_in_part: bool = False
    was_outrun: bool = False

    def __repr__(self) -> str:
        end = self.start + len(self.items) - 1
        return f"<Lease {self.number}: items {self.start} to {end}, {self.left} missing>"

    def clip(self, low: int, high: int) -> list[tuple[int, int]]:
        """Return what is missing of a stretch of offsets."""
        clipped = ((max(low, first), min(high, last)) for first, last in self.missing)
        return [(first, last) for first, last in clipped if first < last]

    def remove_range(self, offset: int, count: int) -> bool:
        """Remove a stretch from what is missing; return False if not all of it is missing."""
        missing, end = self.missing, offset + count
        if len(missing) == 1 and missing[0] == (offset, end):  # as it mostly is
            missing.clear()
            self.left = 0
            return True
        place = bisect_right(missing, (offset, len(self.items))) - 1
        if place < 0 or count <= 0:
            return False
        low, high = missing[place]
        if not low <= offset < end <= high:
            return False
        rest = [(low, offset)] if low < offset else []
        if end < high:
            rest.append((end, high))
        missing[place : place + 1] = rest
        self.left -= count
        return True
