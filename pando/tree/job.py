"""What a node's lending is about: its borrowers, and the jobs whose items they compute."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from .. import messages
from ..scheduler import Credit, Lender, Share, Window
from ..source import Source

MAX_FRAME_BYTES = 2**32 - 1024
"""The largest batch for a worker of this machine."""


class Borrower:
    """A worker or a child, as a node sees it.

    Args:
        name: what people call it.
        credit: how much it may hold.
        notify: called when there is something in the outbox.
        max_bytes: the largest batch that can be sent to it, encoded.
    """

    def __init__(
        self,
        name: str,
        credit: Credit,
        notify: Callable[[], None],
        *,
        max_bytes: int = MAX_FRAME_BYTES,
    ) -> None:
        self.name = name
        self.max_bytes = max_bytes
        self.credit = credit
        self.outbox: deque[messages.Message] = deque()
        self.heard = 0.0
        self.results = 0
        self.seconds = 0.0
        self.since = 0.0
        self.charged = 0.0
        self._notify = notify

    def post(self, message: messages.Message) -> None:
        """Have a message sent."""
        self.outbox.append(message)
        self._notify()


class Job:
    """One input on its way through a node: its source, its lender, and who is told of results.

    Attributes:
        share: what it has had of the workers' time.
        add_keys: puts a key to each item, given the index of the first, where they need some.
        credits: how much of it each borrower may hold; items of two jobs differ in length.
        dry: whether the source had nothing when it was last asked.
        tell_when_dry: whether `notify` is called, too, when nothing can come before an item does.
        withdrawing: stretches of indices that are to leave the job undone, as soon as they
            wait; `withdrawn` is told of each that does.
    """

    def __init__(self, source: Source, lender: Lender, window: Window) -> None:
        self.source = source
        self.lender = lender
        self.window = window
        self.share = Share()
        self.credits: dict[Borrower, Credit] = {}
        self.input_error: Exception | None = None
        self.dry = False
        self.tell_when_dry = False
        self.recalled: set[int] = set()
        self.notify: Callable[[], None] = lambda: None
        self.withdrawing: list[tuple[int, int]] = []
        self.withdrawn: Callable[[int, int], None] = lambda start, count: None
        self.add_keys: Callable[[Sequence[Any], int], Sequence[Any]] | None = None

    @property
    def has_items(self) -> bool:
        """Whether there may be something to lend."""
        return bool(self.lender.waiting) or not (self.dry or self.lender.input_ended)

    @property
    def claimed(self) -> float:
        """Seconds of workers' time that it has had, and those lent to it now."""
        return self.share.claimed(self.lender.lent)

    @property
    def awaits_input(self) -> bool:
        """Whether nothing more can come of it before its source gives an item."""
        return self.dry and self.lender.unfinished == 0
