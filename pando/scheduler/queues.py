"""The queues of borrowers that can take work, and which of them a borrower belongs to.

What each queue is for, and who is served next, is in `allocator`.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from .backlog import Backlog
from .borrower import Borrower
from .credit import MAX_BATCH_ITEMS

Stream = TypeVar("Stream", bound=Backlog)


class Queues(Generic[Stream]):
    """Who may be lent something, of which streams. It is the allocator's base class.

    Args:
        batch_limit: the most items in a batch, where the user chose it.

    Attributes:
        backlogs: the streams that are open, oldest first.
        borrowers: all that are here now.
        workers: how many workers they have.
    """

    def __init__(self, batch_limit: int | None = None) -> None:
        self.backlogs: dict[Stream, None] = {}
        self.borrowers: dict[Borrower, None] = {}
        self.workers = 0
        self._idle: dict[Borrower, None] = {}
        self._nearly_idle: dict[Borrower, None] = {}
        self._partly_busy: dict[Borrower, None] = {}
        self._queues = (self._idle, self._nearly_idle, self._partly_busy)
        self._batch_limit = batch_limit or MAX_BATCH_ITEMS

    @property
    def has_idle_borrower(self) -> bool:
        """Whether a borrower has nothing, while others hold items."""
        return bool(self._idle) and any(backlog.lender.lent for backlog in self.backlogs)

    def is_idle(self, borrower: Borrower) -> bool:
        """Whether a borrower had nothing when it was last put into a queue."""
        return borrower in self._idle

    def requeue(self, borrower: Borrower) -> None:
        """Put a borrower last into the queue that it belongs to now, or into none."""
        self._unqueue(borrower)
        if borrower.is_paused or borrower.has_no_workers:
            return
        if not self.backlogs or borrower not in self.borrowers:
            return
        held = self._count_lent(borrower)
        if held == 0:
            self._idle[borrower] = None
        elif self._has_room_for_any(borrower, held):
            has_reserve = held > borrower.credit.workers
            (self._partly_busy if has_reserve else self._nearly_idle)[borrower] = None

    def _unqueue(self, borrower: Borrower) -> None:
        for queue in self._queues:
            queue.pop(borrower, None)

    def _count_lent(self, borrower: Borrower) -> int:
        held = 0
        for backlog in self.backlogs:
            held += backlog.lender.count_lent(borrower)
        return held

    def _has_room_for_any(self, borrower: Borrower, held: int) -> bool:
        """Whether a borrower that holds this many items may hold another batch of some stream."""
        if len(self.backlogs) > 1:
            return any(self._has_room(backlog, borrower) for backlog in self.backlogs)
        (backlog,) = self.backlogs
        batch = self._batch_size(backlog, borrower)
        return held + batch <= backlog.credits[borrower].capacity(batch)

    def _has_room(self, backlog: Stream, borrower: Borrower) -> bool:
        """Whether a borrower may hold another batch of a stream, with what it holds of all."""
        batch = self._batch_size(backlog, borrower)
        elsewhere = sum(
            self._load(other, borrower) for other in self.backlogs if other is not backlog
        )
        capacity = backlog.credits[borrower].capacity(batch) * (1 - elsewhere)
        return backlog.lender.count_lent(borrower) + batch <= capacity

    def _load(self, backlog: Stream, borrower: Borrower) -> float:
        """What part of all that a borrower may hold its items of a stream are."""
        held = backlog.lender.count_lent(borrower)
        if not held:
            return 0.0
        return held / backlog.credits[borrower].capacity(self._batch_size(backlog, borrower))

    def _batch_size(self, backlog: Stream, borrower: Borrower) -> int:
        return backlog.credits[borrower].batch_size(
            borrowers=max(1, self.workers),
            remaining=backlog.count_remaining(),
            item_bytes=backlog.window.mean_size,
            limit=self._batch_limit,
        )
