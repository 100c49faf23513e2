"""The lender: lends items to borrowers, takes results, and lends again what comes back.

What always holds (the numbers are those of the tests):

1. Lazy: an item is read only when a borrower could take it, and never more than the window past
   the oldest result not yet handed out.
2. Each item read is in exactly one place: waiting, lent, finished, or handed out.
3. An item has at most one current lease; a result under any other is ignored and counted.
4. Results are handed out in the order of the items (or as they come), each exactly once.
5. What a borrower leaves undone is lent again, before anything new, lowest index first.
6. Whoever is faster gets more: that is `Credit`'s part.
7. An item that is running when its borrower is lost has a strike; after three it fails.
8. All is finished when the input has ended and every result is handed out.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .reorder import ReorderBuffer, ResultRun

MAX_STRIKES = 3
"""Borrowers that may be lost while they run an item, before the item fails."""


class StruckOut(NamedTuple):
    """The failure of an item that was running each time a borrower was lost."""

    strikes: int
    reason: str


@dataclass(slots=True)
class Lease:
    """Consecutive items lent to one borrower.

    Attributes:
        number: what the lease is called in messages; never used twice.
        borrower: who holds it.
        start: the first item's index.
        items: the items, as they were read.
        missing: the stretches of offsets whose results have not come.
    """

    number: int
    borrower: Hashable
    start: int
    items: Sequence[Any]
    missing: list[tuple[int, int]] = field(default_factory=list)

    def take_out(self, offset: int, count: int) -> bool:
        """Remove a stretch from what is missing; False where not all of it is."""
        end = offset + count
        for place, (low, high) in enumerate(self.missing):
            if low <= offset < end <= high:
                rest = [(low, offset), (end, high)]
                self.missing[place : place + 1] = [gap for gap in rest if gap[0] < gap[1]]
                return True
        return False

    def count_missing(self) -> int:
        """How many results have not come."""
        missing = 0
        for low, high in self.missing:
            missing += high - low
        return missing


@dataclass(frozen=True, slots=True)
class LenderStatistics:
    """A lender's figures: where the items are now, and what has happened so far."""

    read: int
    waiting: int
    lent: int
    finished: int
    handed_out: int
    borrowers: int
    relent: int
    ignored_results: int
    strikes: int


class Lender:
    """Lends a stream of items to borrowers and puts their results together.

    Args:
        ordered: hand results out in the order of the items; else as they come.
        max_strikes: see `MAX_STRIKES`.
        numbers: where leases get their numbers from; shared by lenders whose borrowers are the
            same, so that what belongs to an earlier lender cannot be taken for a later one's.
    """

    def __init__(
        self,
        *,
        ordered: bool = True,
        max_strikes: int = MAX_STRIKES,
        numbers: Iterator[int] | None = None,
    ) -> None:
        self.input_ended = False
        self._numbers = numbers or itertools.count(1)
        self._max_strikes = max_strikes
        self._buffer = ReorderBuffer(ordered=ordered)
        self._fresh: Sequence[Any] = []
        self._fresh_lent = 0
        self._read = 0
        self._back: list[tuple[int, Sequence[Any]]] = []
        self._leases: dict[int, Lease] = {}
        self._borrowers: dict[Hashable, dict[int, Lease]] = {}
        self._lent = 0
        self._back_size = 0
        self._strikes: dict[int, list[Hashable]] = {}
        self._struck = 0
        self._relent = 0
        self._ignored = 0

    # ---- the input ----

    def read_limit(self, window: int) -> int:
        """How many more items may be read now without passing the window."""
        if self.input_ended:
            return 0
        return max(0, self._buffer.handed_out + window - self._read)

    def add_items(self, items: Sequence[Any]) -> None:
        """These items have been read, in this order."""
        assert not self.input_ended
        unlent = self._fresh[self._fresh_lent :]
        self._fresh = [*unlent, *items] if unlent else items
        self._fresh_lent = 0
        self._read += len(items)

    def end_input(self) -> None:
        """There are no more items."""
        self.input_ended = True

    # ---- the borrowers ----

    def join(self, borrower: Hashable) -> None:
        """A borrower has come."""
        assert borrower not in self._borrowers
        self._borrowers[borrower] = {}

    def lend(self, borrower: Hashable, limit: int) -> Lease | None:
        """Lend it at most `limit` waiting items, or None where nothing waits."""
        if self._back:
            start, items = self._pop_back(borrower, limit)
        elif self._fresh_lent < len(self._fresh):
            start = self._read - len(self._fresh) + self._fresh_lent
            items = self._fresh[self._fresh_lent : self._fresh_lent + limit]
            self._fresh_lent += len(items)
        else:
            return None
        lease = Lease(next(self._numbers), borrower, start, items, [(0, len(items))])
        self._leases[lease.number] = lease
        self._borrowers[borrower][lease.number] = lease
        self._lent += len(items)
        return lease

    def add_results(
        self,
        borrower: Hashable,
        number: int,
        offset: int,
        values: Sequence[Any],
        failures: dict[int, Any],
    ) -> bool:
        """Results of consecutive items of a lease have come.

        Returns False where they are ignored: the lease is not this borrower's, or has ended, or
        an item of them is not missing.
        """
        lease = self._take_from_lease(borrower, number, offset, len(values))
        if lease is None:
            self._ignored += len(values)
            return False
        items = lease.items
        if len(items) != len(values):
            items = items[offset : offset + len(values)]
        if self._strikes:
            for index in range(lease.start + offset, lease.start + offset + len(values)):
                self._strikes.pop(index, None)
        self._buffer.add(ResultRun(lease.start + offset, items, values, failures))
        return True

    def give_back(self, borrower: Hashable, number: int, offset: int, count: int) -> bool:
        """The borrower gives items of a lease back undone; False where they are not its own."""
        lease = self._take_from_lease(borrower, number, offset, count)
        if lease is None:
            return False
        self._push_back(lease, offset, offset + count)
        return True

    def strike(self, borrower: Hashable, number: int, offset: int, reason: str) -> bool:
        """What ran this item of a lease was lost while it ran; False where it is not its own."""
        lease = self._take_from_lease(borrower, number, offset, 1)
        if lease is None:
            return False
        index = lease.start + offset
        strikes = self._strikes.setdefault(index, [])
        strikes.append(borrower)
        self._struck += 1
        if len(strikes) < self._max_strikes:
            self._push_back(lease, offset, offset + 1)
        else:
            del self._strikes[index]
            failure = StruckOut(len(strikes), reason)
            item = lease.items[offset]
            self._buffer.add(ResultRun(index, [item], [None], {0: failure}))
        return True

    def leave(self, borrower: Hashable) -> None:
        """The borrower is gone: all that it holds waits again."""
        for lease in list(self._borrowers.pop(borrower).values()):
            del self._leases[lease.number]
            for low, high in lease.missing:
                self._lent -= high - low
                self._push_back(lease, low, high)

    def withdraw(self, low: int, high: int) -> list[tuple[int, int]]:
        """Take the waiting items of these indices out of the stream, undone.

        They count as handed out. Returns the stretches taken, as index and count.
        """
        taken: list[tuple[int, int]] = []
        back, self._back = self._back, []
        for start, items in back:
            first, last = max(low, start), min(high, start + len(items))
            if first >= last:
                self._back.append((start, items))
                continue
            taken.append((first, last - first))
            self._push_stretch(start, items, 0, first - start)
            self._push_stretch(start, items, last - start, len(items))
        heapq.heapify(self._back)
        fresh_start = self._read - len(self._fresh) + self._fresh_lent
        first, last = max(low, fresh_start), min(high, self._read)
        if first < last:
            taken.append((first, last - first))
            fresh = self._fresh[self._fresh_lent :]
            self._push_stretch(fresh_start, fresh, 0, first - fresh_start)
            self._push_stretch(fresh_start, fresh, last - fresh_start, len(fresh))
            self._fresh_lent = len(self._fresh)
        self._back_size = sum(len(items) for _, items in self._back)
        for start, count in taken:
            for index in range(start, start + count):
                self._strikes.pop(index, None)
            self._buffer.skip(count)
        return taken

    # ---- the output ----

    def take(self) -> ResultRun | None:
        """The next results to hand out, or None while their turn has not come."""
        return self._buffer.take()

    @property
    def ready(self) -> bool:
        """Whether `take` would give something."""
        return self._buffer.ready

    @property
    def finished(self) -> bool:
        """Whether the input has ended and every result is handed out."""
        return self.input_ended and self._buffer.handed_out == self._read

    # ---- looking in ----

    @property
    def waiting(self) -> int:
        """How many items could be lent now."""
        return len(self._fresh) - self._fresh_lent + self._back_size

    @property
    def lent(self) -> int:
        """How many items are lent now."""
        return self._lent

    @property
    def unfinished(self) -> int:
        """How many items have been read and not been handed out."""
        return self._read - self._buffer.handed_out

    def has_lease(self, number: int) -> bool:
        """Whether this is a current lease."""
        return number in self._leases

    def leases_of(self, borrower: Hashable) -> list[Lease]:
        """What a borrower holds, oldest lease first."""
        return list(self._borrowers[borrower].values())

    def count_lent(self, borrower: Hashable) -> int:
        """How many items a borrower holds."""
        lent = 0
        for lease in self._borrowers[borrower].values():
            lent += lease.count_missing()
        return lent

    def statistics(self) -> LenderStatistics:
        """A snapshot of the figures."""
        return LenderStatistics(
            read=self._read,
            waiting=self.waiting,
            lent=self._lent,
            finished=len(self._buffer),
            handed_out=self._buffer.handed_out,
            borrowers=len(self._borrowers),
            relent=self._relent,
            ignored_results=self._ignored,
            strikes=self._struck,
        )

    def validate_state(self) -> None:
        """Raise AssertionError where the state contradicts itself; for tests."""
        self._buffer.validate_state()
        assert self._lent == sum(lease.count_missing() for lease in self._leases.values())
        assert self._back_size == sum(len(items) for _, items in self._back)
        held = {n: lease for leases in self._borrowers.values() for n, lease in leases.items()}
        assert held == self._leases
        assert all(lease.missing for lease in held.values())
        somewhere = self.waiting + self._lent + len(self._buffer) + self._buffer.handed_out
        assert somewhere == self._read
        undone = sorted(self._undone_indices())
        assert len(undone) == len(set(undone)) == self.waiting + self._lent
        assert all(0 < len(struck) < self._max_strikes for struck in self._strikes.values())
        assert set(self._strikes) <= set(undone)

    # ---- inside ----

    def _undone_indices(self) -> Iterator[int]:
        yield from range(self._read - len(self._fresh) + self._fresh_lent, self._read)
        for start, items in self._back:
            yield from range(start, start + len(items))
        for lease in self._leases.values():
            for low, high in lease.missing:
                yield from range(lease.start + low, lease.start + high)

    def _take_from_lease(
        self, borrower: Hashable, number: int, offset: int, count: int
    ) -> Lease | None:
        """Take a stretch out of a current lease of this borrower, ending the lease if it's all."""
        lease = self._borrowers.get(borrower, {}).get(number)
        if lease is None or not lease.take_out(offset, count):
            return None
        self._lent -= count
        if not lease.missing:
            del self._leases[number]
            del self._borrowers[borrower][number]
        return lease

    def _push_back(self, lease: Lease, low: int, high: int) -> None:
        """Let a stretch of a lease wait again; an item with strikes waits alone."""
        self._relent += high - low
        self._back_size += high - low
        start = lease.start
        if self._strikes:
            for offset in range(low, high):
                if start + offset in self._strikes:
                    self._push_stretch(start, lease.items, low, offset)
                    self._push_stretch(start, lease.items, offset, offset + 1)
                    low = offset + 1
        self._push_stretch(start, lease.items, low, high)

    def _push_stretch(self, start: int, items: Sequence[Any], low: int, high: int) -> None:
        if low < high:
            heapq.heappush(self._back, (start + low, items[low:high]))

    def _pop_back(self, borrower: Hashable, limit: int) -> tuple[int, Sequence[Any]]:
        """The lowest stretch that waits again, at most `limit` of it.

        An item goes to a borrower that was not lost with it before, where something else waits.
        """
        passed_over = []
        while len(self._back) > 1 and borrower in self._strikes.get(self._back[0][0], ()):
            passed_over.append(heapq.heappop(self._back))
        start, items = heapq.heappop(self._back)
        for stretch in passed_over:
            heapq.heappush(self._back, stretch)
        if len(items) > limit:
            heapq.heappush(self._back, (start + limit, items[limit:]))
            items = items[:limit]
        self._back_size -= len(items)
        return start, items
