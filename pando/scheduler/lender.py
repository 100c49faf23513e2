"""The lender: lends items to borrowers, takes results, and lends again what comes back.

What always holds (the numbers are those of the tests):

1. Lazy: an item is read only when a borrower could take it, and never more than the window past
   the oldest result not yet handed out.
2. Each item read is in exactly one place: waiting, lent, finished, or handed out.
3. An item has at most one current lease, or two while it is lent a second time (see
   `speculation`); a result under any other is ignored and counted.
4. Results are handed out in the order of the items (or as they come), each exactly once.
5. What a borrower leaves undone is lent again, before anything new, lowest index first.
6. Whoever is faster gets more: that is `Credit`'s part.
7. An item that is running each time its borrower is lost fails in the end (see `attempts`).
8. All is finished when the input has ended and every result is handed out.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from .attempts import MAX_ATTEMPTS, RETURN_SECONDS, AttemptsExhausted, Source
from .holdings import Holder
from .lease import Lease
from .lender_state import LenderState
from .reorder import ResultBatch
from .returned import UNGROUPED

SUSPECT_GROUPS = 8
"""Groups in which what a lost device held is lent again, to find the item that ended it."""
UNBOUNDED = 1 << 62


class Lender(LenderState):
    """Lends a stream of items to borrowers and puts their results together.

    `LenderState` has its arguments, its attributes, and what can be asked of it.
    """

    _draining: Hashable = None
    """Who gets nothing until it is idle, and can have a suspect then."""

    # ---- the input ----

    def read_limit(self, window: int) -> int:
        """Return how many more items may be read now without passing the window."""
        if self.input_ended:
            return 0
        return max(0, self._buffer.delivered + window - self._queue.read)

    def add_items(self, items: Sequence[Any]) -> None:
        """Add items that have been read, in this order."""
        assert not self.input_ended
        self._queue.add(items)

    def end_input(self) -> None:
        """Take note that there are no more items."""
        self.input_ended = True

    # ---- the borrowers ----

    def join(self, borrower: Hashable, source: Source | None = None) -> None:
        """Register a borrower, and where it computes: by default, a place like no other.

        A device that has come back was not ended by what it ran.
        """
        self.holdings.join(borrower, source or Source(borrower, borrower))
        if self._records.attempts and source is not None and not source.is_local:
            self._records.forgive(source.device)
            self._queue.count_suspects()

    def lend(self, borrower: Hashable, limit: int, max_bytes: int = UNBOUNDED) -> Lease | None:
        """Lend waiting items to a borrower; None where nothing waits that it may have now.

        Args:
            borrower: who asks.
            limit: the most items.
            max_bytes: the largest item that can be sent to it.
        """
        holder = self.holdings.holders[borrower]
        if holder.holds_suspect or (self._queue.suspects and self._must_drain(borrower, holder)):
            return None
        found = self._queue.pop(holder, limit, max_bytes)
        if found is None:
            return None
        start, items, is_suspect = found
        if self._draining == borrower:
            self._draining = None
        return self.holdings.lend(borrower, start, items, is_alone=is_suspect)

    def double(self, borrower: Hashable, lease: Lease, limit: int) -> Lease:
        """Lend the lowest missing items of another borrower's lease a second time.

        The first answer counts. Where an item has been lent twice already, the older of its two
        leases ends for it. A suspect is lent alone here, too.
        """
        is_suspect, first = self._records.is_suspect, lease.start + lease.missing[0][0]
        is_alone = lease.is_alone or is_suspect(first)
        count = 1
        while count < limit and not (is_alone or is_suspect(first + count)):
            count += 1
        return self.holdings.double(borrower, lease, count, is_alone=is_alone)

    def take_superseded(self) -> list[Lease]:
        """Return the leases that have ended since, because others have answered for them."""
        superseded, self.holdings.superseded = self.holdings.superseded, []
        return superseded

    def add_results(
        self,
        borrower: Hashable,
        number: int,
        offset: int,
        values: Sequence[Any],
        failures: dict[int, Any],
        size: int = 0,
    ) -> bool:
        """Add results of consecutive items of a lease, of this encoded size.

        Returns False where they are ignored: the lease is not this borrower's, or has ended, or
        an item of them is not missing.
        """
        lease = self.holdings.finish(borrower, number, offset, len(values))
        if lease is None:
            return self._add_missing(borrower, number, offset, values, failures, size)
        items = lease.items
        if len(items) != len(values):
            items = items[offset : offset + len(values)]
        start = lease.start + offset
        if self._records:
            self._records.forget(start, len(values))
        self._buffer.add(ResultBatch(start, items, values, failures, size))
        return True

    def _add_missing(
        self,
        borrower: Hashable,
        number: int,
        offset: int,
        values: Sequence[Any],
        failures: dict[int, Any],
        size: int,
    ) -> bool:
        """Add those of the results that another borrower has not been faster with."""
        end = offset + len(values)
        lease = self.holdings.get(borrower, number)
        stretches = [] if lease is None else lease.clip(offset, end)
        if lease is None or not (stretches and lease.is_superseded_in_part):
            self._ignored += len(values)
            return False
        self._ignored += len(values) - sum(high - low for low, high in stretches)
        for low, high in stretches:
            some = {place + offset - low: why for place, why in failures.items()}
            some = {place: why for place, why in some.items() if 0 <= place < high - low}
            part = size * (high - low) // len(values)
            self.add_results(
                borrower, number, low, values[low - offset : high - offset], some, part
            )
        return True

    def give_back(self, borrower: Hashable, number: int, offset: int, count: int) -> bool:
        """Let items of a lease wait again; False where they are not this borrower's."""
        stretches = self.holdings.release(borrower, number, offset, count)
        if stretches is None:
            return False
        for lease, low, high in stretches:
            self._queue.push_back(lease, low, high)
        return True

    def revoke(self, borrower: Hashable, number: int) -> int:
        """End a lease, so that what is missing of it waits again; how many items that is."""
        lease = self.holdings.get(borrower, number)
        if lease is None:
            return 0
        count = lease.left
        for low, high in list(lease.missing):
            self.give_back(borrower, number, low, high - low)
        return count

    def record_crash(
        self,
        borrower: Hashable,
        number: int,
        offset: int,
        reason: str,
        now: float = 0.0,
        *,
        was_device: bool = False,
        may_return: bool = False,
    ) -> bool:
        """Take note that what ran this item was lost; False where it is not this borrower's.

        Args:
            borrower: who held the item.
            number: of the lease.
            offset: the item's place in it.
            reason: how it was lost, for people.
            now: the time, in seconds.
            was_device: whether that was a whole device, which may have been lost for any reason.
            may_return: whether it has only fallen silent.
        """
        lease = self.holdings.get(borrower, number)
        stretches = self.holdings.release(borrower, number, offset, 1)
        if lease is None or stretches is None:
            return False
        index = lease.start + offset
        counts_from = now + RETURN_SECONDS if may_return else now
        source = self.holdings.holders[borrower].source
        attempts = self._records.add_loss(index, source, counts_from)
        self._crashes += 1
        present = (holder.source for holder in self.holdings.holders.values())
        most = MAX_ATTEMPTS if was_device else self._max_attempts
        if attempts.are_exhausted(present, now, most):
            if not stretches:  # it was lent twice
                self.holdings.drop(index)
            failure = AttemptsExhausted(attempts.losses, reason)
            self._fail(index, lease.items[offset], failure, len(reason))
        elif stretches:
            self._queue.push_back(lease, offset, offset + 1)
        return True

    def leave(
        self, borrower: Hashable, now: float = 0.0, *, lost: str = "", may_return: bool = False
    ) -> int:
        """Let all that a borrower holds wait again, because it is gone; how many items that is.

        Args:
            borrower: who is gone.
            now: the time, in seconds.
            lost: how, where an item may be what ended it.
            may_return: whether it has only fallen silent.
        """
        holder = self.holdings.holders[borrower]
        held = holder.held
        if lost and holder.holds_suspect:
            (lease,) = holder.leases.values()
            self._records.suspect_all([lease], holder.source.device)
            self.record_crash(
                borrower, lease.number, 0, lost, now, was_device=True, may_return=may_return
            )
        group = max(1, held // SUSPECT_GROUPS) if lost else UNGROUPED
        if group == 1:  # also what another borrower holds as well
            self._records.suspect_all(holder.leases.values(), holder.source.device)
        for lease, low, high in self.holdings.leave(borrower):
            self._queue.push_back(lease, low, high, group)
        return held

    # ---- items that are too large for some borrowers ----

    def set_sizes(self, lease: Lease, sizes: dict[int, int]) -> None:
        """Let a lease that cannot be sent wait again.

        Args:
            lease: the lease.
            sizes: the bytes of those items, by offset, that are too large by themselves. Each is
                lent alone, to those that can take it.
        """
        for offset, size in sizes.items():
            self._records.sizes[lease.start + offset] = size
        self.revoke(lease.borrower, lease.number)

    def count_larger(self, max_bytes: int) -> int:
        """Count the unfinished items that are known to be larger than this."""
        return self._records.count_larger(max_bytes)

    def size_of(self, index: int) -> int:
        """Return the bytes of an unfinished item that is too large for some; else 0."""
        return self._records.size_of(index)

    def fail_larger(self, max_bytes: int, explain: Callable[[int], Any]) -> int:
        """Fail the waiting items that are larger than this; how many there were.

        Args:
            max_bytes: what can be sent to the borrower that takes the largest.
            explain: makes a failure, given an item's size.
        """
        if not self.count_larger(max_bytes):
            return 0
        taken = self._queue.remove_larger(max_bytes)
        for index, item in taken:
            self._fail(index, item, explain(self._records.sizes[index]))
        self._queue.count_suspects()
        return len(taken)

    # ---- leaving undone ----

    def cancel_pending(self, low: int, high: int) -> list[tuple[int, int]]:
        """Take the waiting items of these indices out of the stream, undone.

        They count as handed out. Returns the stretches taken, as index and count.
        """
        taken = self._queue.remove(low, high)
        for first, count in taken:
            self._records.forget(first, count)
            self.holdings.forget(first, count)
            self._buffer.skip(count)
        if taken:
            self._queue.count_suspects()
        return taken

    # ---- the output ----

    def take(self) -> ResultBatch | None:
        """Return the next results to hand out, or None while their turn has not come."""
        return self._buffer.take()

    # ---- inside ----

    def _must_drain(self, borrower: Hashable, holder: Holder) -> bool:
        """Whether a borrower is to get nothing until it is idle, and can have a suspect.

        One at a time is enough: idle ones take the other suspects, and nothing waits for ever.
        """
        if not holder.held:
            return False
        if self._draining not in self.holdings.holders:
            self._draining = borrower
        return self._draining == borrower

    def _fail(self, index: int, item: Any, failure: Any, size: int = 0) -> None:
        self._records.forget(index, 1)
        self._buffer.add(ResultBatch(index, [item], [None], {0: failure}, size))
