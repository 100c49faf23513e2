"""A backlog: one stream of items among those that share the same borrowers."""

from __future__ import annotations

from collections.abc import Callable

from .borrower import Borrower
from .credit import Credit
from .lender import Lender
from .share import Share
from .window import Window


class Backlog:
    """A stream's items that have not been computed, and what the stream has had.

    Args:
        lender: lends the items.
        window: how far reading may run ahead.
        remaining: how many items have not been read, or None where nobody knows.

    Attributes:
        share: what it has had of the workers' time.
        credits: how much of it each borrower may hold; items of two streams differ in length.
        input_blocked: whether the input had nothing when it was last asked.
    """

    def __init__(self, lender: Lender, window: Window, remaining: Callable[[], int | None]) -> None:
        self.lender = lender
        self.window = window
        self.share = Share()
        self.credits: dict[Borrower, Credit] = {}
        self.input_blocked = False
        self._remaining = remaining

    @property
    def has_items(self) -> bool:
        """Whether there may be something to lend."""
        lender = self.lender
        return bool(lender.waiting) or not (self.input_blocked or lender.input_ended)

    @property
    def claimed(self) -> float:
        """Seconds of workers' time that it has had, and those lent to it now."""
        return self.share.claimed(self.lender.lent)

    @property
    def awaits_input(self) -> bool:
        """Whether nothing more can come of it before its input gives an item."""
        return self.input_blocked and self.lender.unfinished == 0

    def count_remaining(self) -> int | None:
        """How many items have not been lent, where the input's end is known."""
        unread = 0 if self.lender.input_ended else self._remaining()
        return None if unread is None else unread + self.lender.waiting
