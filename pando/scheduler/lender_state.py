"""The state of a lender: what waits, what is lent, what is finished, and what can be asked of it.

What changes it, and what always holds of it, is in `lender`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator

from .attempts import MAX_ATTEMPTS
from .holdings import Holdings
from .item_records import ItemRecords
from .lease import Lease
from .queued_items import QueuedItems
from .reorder import ReorderBuffer
from .statistics import LenderStatistics


class LenderState:
    """What a lender knows. It is its base class, so that what is asked costs no call in between.

    Args:
        ordered: hand results out in the order of the items; else as they come.
        max_attempts: see `pando.scheduler.attempts`.
        numbers: where leases get their numbers from; shared by lenders whose borrowers are the
            same, so that what belongs to an earlier lender cannot be taken for a later one's.

    Attributes:
        input_ended: whether all items have been read.
        holdings: who holds which items.
        is_final: tells of an item, by its index, that it is not to be lent a second time here.
    """

    def __init__(
        self,
        *,
        ordered: bool = True,
        max_attempts: int = MAX_ATTEMPTS,
        numbers: Iterator[int] | None = None,
    ) -> None:
        self.input_ended = False
        self._max_attempts = max_attempts
        self._buffer = ReorderBuffer(ordered=ordered)
        self.holdings = Holdings(numbers)
        self.is_final: Callable[[int], bool] = lambda index: False
        self._records = ItemRecords()
        self._queue = QueuedItems(self.holdings, self._records)
        self._crashes = 0
        self._ignored = 0

    def __repr__(self) -> str:
        return f"<Lender: {self._queue.read} read, {self.waiting} queued, {self.lent} in flight>"

    @property
    def ready(self) -> bool:
        """Whether `take` would give something."""
        return self._buffer.ready

    @property
    def finished(self) -> bool:
        """Whether the input has ended and every result is handed out."""
        return self.input_ended and self._buffer.delivered == self._queue.read

    @property
    def waiting(self) -> int:
        """How many items could be lent now."""
        return self._queue.size

    @property
    def has_particular(self) -> bool:
        """Whether some borrowers may have nothing of what waits, although others may."""
        return self._queue.has_apart or self.holdings.suspects > 0

    @property
    def lent(self) -> int:
        """How many items are lent now."""
        return self.holdings.lent

    @property
    def unfinished(self) -> int:
        """How many items have been read and not been handed out."""
        return self._queue.read - self._buffer.delivered

    @property
    def finished_bytes(self) -> int:
        """How large the results are that have not been handed out."""
        return self._buffer.bytes

    def has_lease(self, number: int) -> bool:
        """Return whether this is a current lease."""
        return number in self.holdings.leases

    def lease(self, number: int) -> Lease | None:
        """Return a current lease."""
        return self.holdings.leases.get(number)

    def leases_of(self, borrower: Hashable) -> list[Lease]:
        """Return what a borrower holds, oldest lease first."""
        return list(self.holdings.holders[borrower].leases.values())

    def count_lent(self, borrower: Hashable) -> int:
        """Return how many items a borrower holds."""
        return self.holdings.holders[borrower].held

    def statistics(self) -> LenderStatistics:
        """Return a snapshot of the figures."""
        return LenderStatistics(
            read=self._queue.read,
            queued=self.waiting,
            in_flight=self.lent,
            finished=len(self._buffer),
            delivered=self._buffer.delivered,
            borrowers=len(self.holdings.holders),
            reassigned=self._queue.reassigned,
            ignored_results=self._ignored,
            strikes=self._crashes,
            doubled=self.holdings.doubled,
        )

    def validate_state(self) -> None:
        """Raise AssertionError where the state contradicts itself; for tests."""
        self._buffer.validate_state()
        somewhere = self.waiting + self.lent + len(self._buffer) + self._buffer.delivered
        assert somewhere == self._queue.read
        undone = sorted(self._undone_indices())
        assert len(undone) == len(set(undone)) == self.waiting + self.lent
        self.holdings.validate_state(undone)
        assert set(self._records.attempts) | set(self._records.sizes) <= set(undone)
        suspects = self._queue.suspects
        self._queue.count_suspects()
        assert suspects == self._queue.suspects

    def _undone_indices(self) -> Iterator[int]:
        yield from self._queue.indices()
        yield from self.holdings.indices()
