"""The allocator: which borrower gets work next, of which stream, and how much. No I/O.

It is asked for the next steps, one after the other, and whoever asks carries each out before the
next: reads items (`Read`), or sends a lease (`Loan`). A step depends on what came of the one
before, since nobody knows how many items an input has; so they come from an iterator, and not as
a list.

Who gets work next. Each borrower that can take work is in one of three queues:

1. *idle*: it holds nothing. An item that went to anybody else would wait there needlessly.
2. *nearly idle*: each of its workers has at most one item, so it has nothing in reserve: it would
   be idle while its next batch is on its way.
3. *partly busy*: it has something in reserve, and may hold another batch.

A borrower that holds all it may is in none. The queues are served in this order, and within one
the borrower that has waited longest comes first. A busy borrower (2, 3) sometimes gets nothing
although something waits; `_should_wait` has those cases.

Of which stream. The one that has had the least of the workers' time (see `Share`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Generic, NamedTuple

from .borrower import Borrower
from .credit import LONG_SECONDS, MAX_SECONDS
from .lease import Lease
from .queues import Queues, Stream
from .recall import Holder, choose_recall
from .speculation import choose_doubling

MAX_LARGER = 4
"""Items too large for a borrower that may wait for others, before nothing is read for it."""


class Read(NamedTuple, Generic[Stream]):
    """Read items of a stream, at most `limit`, and tell its lender.

    Where there are none, the lender is told of the end, or the backlog that it is blocked.
    """

    backlog: Stream
    limit: int


class Loan(NamedTuple, Generic[Stream]):
    """Send a lease to its borrower; or give all of it back to the lender, which lends again."""

    backlog: Stream
    borrower: Borrower
    lease: Lease


class Allocator(Queues[Stream]):
    """Decides who gets work next. Times are in seconds, as they are told.

    `Queues` has its argument and its attributes.
    """

    _virtual_time = 0.0
    """The time of the fair queueing of streams; see `Share`."""
    _item_bytes = 0.0
    """The mean size of an item of the last stream that was closed."""
    _is_particular = False
    """Whether some of what waits is not for everybody; see `Lender.has_particular`."""

    # ---- streams ----

    def open(self, backlog: Stream) -> None:
        """Lend a stream's items from now on, besides those of others."""
        self.backlogs[backlog] = None
        if self._item_bytes:  # the best guess is the last stream's
            backlog.window.measured(1, int(self._item_bytes))
        backlog.share.resume(self._virtual_time)
        for borrower in self.borrowers:
            self._join(backlog, borrower)
            self.requeue(borrower)

    def close(self, backlog: Stream) -> None:
        """Lend no more of it."""
        del self.backlogs[backlog]
        self._item_bytes = backlog.window.mean_size
        for borrower in self.borrowers:
            self.requeue(borrower)

    def unblock(self, backlog: Stream) -> None:
        """Take note that the input may give something again."""
        if backlog.input_blocked and not backlog.lender.lent:
            backlog.share.resume(self._virtual_time)
        backlog.input_blocked = False

    def _join(self, backlog: Stream, borrower: Borrower) -> None:
        backlog.lender.join(borrower, borrower.source)
        # The items of the one before are the best guess, but those of others beside it are none.
        is_alone = len(self.backlogs) == 1
        credit = borrower.credit if is_alone else borrower.credit.for_others()
        backlog.credits[borrower] = credit

    # ---- borrowers ----

    def add(self, borrower: Borrower, now: float) -> None:
        """Register a borrower."""
        borrower.since = borrower.heard = borrower.answered = now
        self.borrowers[borrower] = None
        self.workers += borrower.workers
        for backlog in self.backlogs:
            self._join(backlog, borrower)
        self.requeue(borrower)

    def remove(
        self, borrower: Borrower, now: float = 0.0, *, lost: str = "", may_return: bool = False
    ) -> int:
        """Let all that a borrower holds wait again; how many items. See `Lender.leave`."""
        del self.borrowers[borrower]
        self.workers -= borrower.workers
        self._unqueue(borrower)
        held = 0
        for backlog in self.backlogs:
            held += backlog.lender.leave(borrower, now, lost=lost, may_return=may_return)
            del backlog.credits[borrower]
        return held

    def pause(self, borrower: Borrower) -> None:
        """Lend a borrower nothing until `resume`."""
        borrower.is_paused = True
        self._unqueue(borrower)

    def resume(self, borrower: Borrower) -> None:
        """Lend to a borrower again."""
        borrower.is_paused = False
        self.requeue(borrower)

    def ask(self, borrower: Borrower, workers: int) -> None:
        """Take note of how many workers a borrower says that it has.

        One that has none, such as a device whose person has paused it, is lent nothing.
        """
        self.workers -= borrower.workers
        borrower.has_no_workers = workers == 0
        borrower.credit.ask(workers)
        for backlog in self.backlogs:
            backlog.credits[borrower].ask(workers)
        self.workers += borrower.workers

    def completed(self, backlog: Stream, borrower: Borrower, items: int, seconds: float) -> None:
        """Take note that a borrower has computed items of a stream in this time."""
        before = borrower.workers
        backlog.credits[borrower].completed(items, seconds)
        self.workers += borrower.workers - before
        # No more of its workers' time can have been spent than has passed since they came.
        passed = (borrower.heard - borrower.since) * borrower.credit.workers
        charged = max(0.0, min(seconds, MAX_SECONDS, passed - borrower.charged))
        borrower.charged += charged
        backlog.share.charge(items, charged)

    # ---- lending ----

    def steps(self) -> Iterator[Read[Stream] | Loan[Stream]]:
        """What to do so that as much is lent as is wanted now, step by step."""
        self._is_particular = False
        for backlog in self.backlogs:
            if backlog.lender.has_particular:
                self._is_particular = True
        for queue in self._queues:
            passed_over: dict[Borrower, None] | None = None
            while queue:
                borrower = next(iter(queue))
                backlogs = self.backlogs if len(self.backlogs) == 1 else self._in_turn(borrower)
                for backlog in backlogs:
                    if backlog.has_items and (yield from self._lend(backlog, borrower)):
                        self._virtual_time = max(self._virtual_time, backlog.share.seconds)
                        break
                else:
                    if not self._is_particular:
                        break
                    # What waits may be for others: they are asked, and this one stays first.
                    del queue[borrower]
                    passed_over = passed_over or {}
                    passed_over[borrower] = None
            if passed_over is not None:
                others = dict(queue)
                queue.clear()
                queue.update(passed_over)
                queue.update(others)

    def _in_turn(self, borrower: Borrower) -> list[Stream]:
        """The streams that a borrower may be lent from, the one that has had the least first."""
        backlogs = [
            backlog
            for backlog in self.backlogs
            if backlog.has_items and self._has_room(backlog, borrower)
        ]
        return sorted(backlogs, key=lambda backlog: backlog.claimed)

    def _lend(
        self, backlog: Stream, borrower: Borrower
    ) -> Generator[Read[Stream] | Loan[Stream], None, bool]:
        """Lend one batch of a stream to a borrower; returns False where there is none to lend."""
        lender = backlog.lender
        while True:
            size = self._batch_size(backlog, borrower)
            for _ in range(2):  # where it gives too little, it has no more, which it says next
                if lender.waiting < size and (limit := self._read_limit(backlog, borrower, size)):
                    yield Read(backlog, limit)
            if self._should_wait(backlog, borrower, size):
                return False
            lease = lender.lend(borrower, size, borrower.max_bytes)
            if lease is None:
                return False
            yield Loan(backlog, borrower, lease)
            if lender.has_lease(lease.number):  # otherwise it could not be sent as it was
                self.requeue(borrower)
                return True
            self._is_particular = True

    def _should_wait(self, backlog: Stream, borrower: Borrower, size: int) -> bool:
        """Whether a borrower had better get nothing now, although something may wait.

        An idle one never waits. Of the others two kinds do:

        1. Less than half a batch is there, the input goes on, and the batch may grow: the input
           has more, and only the window keeps it from being read; or the input gives nothing at
           present, but the borrower has a reserve. One that has none takes what there is.
        2. The last items are at hand, no more than there are workers, and they are long: each is
           kept for whoever is idle first, instead of waiting after another item.
        """
        if borrower in self._idle:
            return False
        lender = backlog.lender
        may_grow = not backlog.input_blocked or borrower in self._partly_busy
        if may_grow and not lender.input_ended and lender.waiting < size // 2:
            return True
        remaining = backlog.count_remaining()
        if remaining is None or remaining > self.workers:
            return False
        is_long = (backlog.credits[borrower].item_seconds or 0.0) > LONG_SECONDS
        return is_long and self._count_lent(borrower) >= borrower.credit.workers

    def _read_limit(self, backlog: Stream, borrower: Borrower, size: int) -> int:
        """How many items to read: what all in the queues could take, if the window allows it.

        Nothing new is read while the results that wait for their turn fill the window. What is
        lent, or waits to be, is enough to move on: the item whose turn it is has been read.
        """
        if backlog.input_blocked:
            return 0
        lender, windows = backlog.lender, len(self.backlogs)
        if lender.finished_bytes * windows > backlog.window.max_bytes:
            return 0
        if lender.has_particular and lender.count_larger(borrower.max_bytes) >= MAX_LARGER:
            return 0
        window = backlog.window.items(4 * self.workers, windows=windows)
        wanted = size * sum(map(len, self._queues)) - lender.waiting
        return max(0, min(wanted, lender.read_limit(window)))

    # ---- recalling ----

    def recalls(self, now: float) -> list[Lease]:
        """The leases to call back, one for each borrower that is idle, where it is worth it."""
        leases: list[Lease] = []
        if any(backlog.lender.waiting for backlog in self.backlogs):
            return leases
        for _ in range(len(self._idle)):
            lease = next(filter(None, (self._recall(b, now) for b in self.backlogs)), None)
            if lease is None:
                break
            leases.append(lease)
        return leases

    def doublings(self, now: float) -> Iterator[Loan[Stream]]:
        """Lend what holds up most a second time, to borrowers that are idle; see `speculation`.

        Each loan is to be carried out before the next is asked for, as for `steps`.
        """
        for backlog in self.backlogs:
            while self._idle:
                found = choose_doubling(backlog.lender, backlog.credits, list(self._idle), now)
                if found is None:
                    break
                lease = backlog.lender.double(*found)
                yield Loan(backlog, found.borrower, lease)
                self.requeue(found.borrower)
                if not backlog.lender.has_lease(lease.number):
                    break  # it could not be sent; the next attempt is made later

    def _recall(self, backlog: Stream, now: float) -> Lease | None:
        holders = [
            Holder(borrower, backlog.credits[borrower], now - borrower.heard)
            for borrower in self.borrowers
            if borrower not in self._idle
        ]
        lease = choose_recall(backlog.lender, holders)
        if lease is not None:
            lease.recalled = lease.was_recalled = True
        return lease
