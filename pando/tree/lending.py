"""Lending: what a node does with the messages of its borrowers, without I/O.

The decisions are the scheduler's. Here messages come in, the scheduler is told what happened,
and what it says goes out as messages. `pando.tree.node` drives this under Trio, and a simulator
drives thousands of them.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from .. import messages
from ..errors import MalformedValueError, PandoError, UnsupportedValueError, cut
from ..figures import Tally
from ..scheduler import (
    LONG_SECONDS,
    MAX_BATCH_BYTES,
    MAX_BATCH_ITEMS,
    MAX_SECONDS,
    Holder,
    Lease,
    Lender,
    choose_recall,
)
from ..source import EndOfInput, WouldBlock
from .job import MAX_FRAME_BYTES, Borrower, Job

MAX_SURPRISE_BYTES = 4 * MAX_BATCH_BYTES
"""A batch that turns out larger than this is made again, smaller."""
SMOOTHING = 0.2
"""Weight of the newest results in a node's mean time of an item."""


class Codec(Protocol):
    """How a node turns items into messages: the root encodes values, others pass them on."""

    def encode(self, items: Sequence[Any]) -> bytes:
        """One MessagePack array; UnsupportedValueError where an item cannot travel."""

    def find_unsupported(self, items: Sequence[Any]) -> dict[int, UnsupportedValueError]:
        """Which of the items cannot travel, by position."""

    def decode(self, values: msgspec.Raw) -> Sequence[Any]:
        """The results in a message; MalformedValueError where there are none."""


class Lending:
    """A node's lending to all its borrowers, of all its jobs.

    Args:
        codec: how items become messages.
        clock: gives the time, in seconds.
        batch_limit: the most items in a batch, where the user chose it.
        names_workers: whether a failure without a device gets the name of the borrower; at the
            root, for elsewhere it gets the name of the node.
    """

    def __init__(
        self,
        codec: Codec,
        clock: Callable[[], float],
        *,
        batch_limit: int | None = None,
        names_workers: bool = False,
    ) -> None:
        self._codec = codec
        self._names_workers = names_workers
        self._clock = clock
        self._batch_limit = batch_limit or MAX_BATCH_ITEMS
        self._borrowers: dict[Borrower, None] = {}
        self._idle: dict[Borrower, None] = {}
        self._nearly_idle: dict[Borrower, None] = {}
        self._partly_busy: dict[Borrower, None] = {}
        self._hungry = (self._idle, self._nearly_idle, self._partly_busy)
        self._lease_numbers = itertools.count(1)
        self._workers = 0
        self._jobs: dict[Job, None] = {}
        self._job_of: dict[int, Job] = {}
        self._virtual_time = 0.0
        self._item_bytes = 0.0
        self.item_seconds = 0.0
        self.results = 0
        self.seconds = 0.0
        self.violations: Counter[str] = Counter()
        self.reported = Tally()

    def figures_reported(self) -> messages.Reported | None:
        """What the function has reported on this node's own workers, if it has."""
        figures = self.reported.read()
        return messages.Reported(*figures) if figures else None

    # ---- jobs ----

    @property
    def jobs(self) -> list[Job]:
        """All that are open, oldest first."""
        return list(self._jobs)

    def new_lender(self, *, ordered: bool = True, max_strikes: int = 3) -> Lender:
        """A lender whose leases cannot be mistaken for another job's."""
        return Lender(ordered=ordered, max_strikes=max_strikes, numbers=self._lease_numbers)

    def open_job(self, job: Job) -> None:
        """Lend a job's items from now on, besides those of other jobs."""
        self._jobs[job] = None
        if self._item_bytes:  # the best guess is the last job's
            job.window.measured(1, int(self._item_bytes))
        job.share.resume(self._virtual_time)
        for borrower in self._borrowers:
            self._join(job, borrower)
            self._sort_in(borrower)
        self.pump()

    def close_job(self, job: Job) -> None:
        """Lend no more of it; what has not been started comes back and is dropped."""
        if job not in self._jobs:
            return
        del self._jobs[job]
        self._item_bytes = job.window.mean_size
        job.source.close()
        for borrower in self._borrowers:
            for lease in job.lender.leases_of(borrower):
                del self._job_of[lease.number]
                borrower.post(messages.Recall(lease.number))
        for borrower in self._borrowers:
            self._sort_in(borrower)
        job.notify()
        self.pump()

    def input_has_news(self, job: Job) -> None:
        """The source would give something again."""
        if job.dry and not job.lender.lent:
            job.share.resume(self._virtual_time)
        job.dry = False
        if job in self._jobs:
            self.pump()

    def withdraw(self, job: Job, low: int, high: int) -> None:
        """Let what has not been started of these indices leave the job, now or soon."""
        if job not in self._jobs:
            return
        job.withdrawing.append((low, high))
        self._withdraw_waiting(job)
        for borrower in self._borrowers:
            for lease in job.lender.leases_of(borrower):
                if lease.start < high and low < lease.start + len(lease.items):
                    borrower.post(messages.Recall(lease.number))

    # ---- borrowers ----

    @property
    def borrowers(self) -> list[Borrower]:
        """All that are here now."""
        return list(self._borrowers)

    @property
    def workers(self) -> int:
        """How many workers compute here and below."""
        return self._workers

    @property
    def someone_is_idle(self) -> bool:
        """Whether a borrower has nothing, while others hold items."""
        return bool(self._idle) and any(job.lender.lent for job in self._jobs)

    def add(self, borrower: Borrower) -> None:
        """A borrower has come."""
        borrower.since = borrower.heard = self._clock()
        self._borrowers[borrower] = None
        self._workers += borrower.credit.workers
        for job in self._jobs:
            self._join(job, borrower)
        self._sort_in(borrower)
        self.pump()

    def remove(self, borrower: Borrower) -> None:
        """A borrower is gone: what it holds is lent again."""
        del self._borrowers[borrower]
        self._workers -= borrower.credit.workers
        self._sort_out(borrower)
        for job in self._jobs:
            for lease in job.lender.leases_of(borrower):
                del self._job_of[lease.number]
            job.lender.leave(borrower)
            del job.credits[borrower]
        self.pump()

    def _join(self, job: Job, borrower: Borrower) -> None:
        job.lender.join(borrower)
        # The items of the job before are the best guess, but those of others beside it are none.
        is_alone = len(self._jobs) == 1
        job.credits[borrower] = borrower.credit if is_alone else borrower.credit.for_others()

    def handle(self, borrower: Borrower, message: messages.Message) -> None:
        """A borrower has sent a message.

        Raises:
            PandoError: it makes no sense. The borrower should be sent away.
        """
        borrower.heard = self._clock()
        match message:
            case messages.Reported():
                self.reported.add(msgspec.structs.astuple(message))
                return
            case messages.Want(workers):
                self._workers -= borrower.credit.workers
                for credit in (borrower.credit, *(job.credits[borrower] for job in self._jobs)):
                    credit.ask(workers)
                self._workers += borrower.credit.workers
            case _ if not self._jobs:
                return
            case messages.Results() | messages.Returned() | messages.Struck():
                self._settle(borrower, message)
            case _:
                raise PandoError(f"unexpected message {type(message).__name__}")
        self._sort_in(borrower)
        self.pump()

    def _settle(
        self, borrower: Borrower, message: messages.Results | messages.Returned | messages.Struck
    ) -> None:
        """What has become of lent items is told to the lender that has lent them."""
        # A lease that is no more is any lender's to ignore, and to count.
        job = self._job_of.get(message.lease) or next(iter(self._jobs))
        match message:
            case messages.Results():
                self._add_results(job, borrower, message)
            case messages.Returned(lease, offset, count):
                job.lender.give_back(borrower, lease, offset, count)
                job.recalled.discard(lease)
            case messages.Struck(lease, offset, reason):
                job.lender.strike(borrower, lease, offset, cut(reason))
        if not job.lender.has_lease(message.lease):
            self._job_of.pop(message.lease, None)

    def _add_results(self, job: Job, borrower: Borrower, message: messages.Results) -> None:
        try:
            values = self._codec.decode(message.values)
        except MalformedValueError as error:
            job.lender.strike(borrower, message.lease, message.offset, str(error))
            raise
        if not values or not all(0 <= place < len(values) for place in message.failures):
            raise MalformedValueError("results that do not fit together")
        failures = dict(message.failures)
        if failures and self._names_workers:
            for place, failure in failures.items():
                device = failure.device or borrower.name
                failures[place] = msgspec.structs.replace(failure, device=device)
        if job.lender.add_results(borrower, message.lease, message.offset, values, failures):
            before = borrower.credit.workers
            seconds = min(message.seconds, MAX_SECONDS)
            borrower.results += len(values)
            borrower.seconds += seconds
            job.credits[borrower].completed(len(values), message.seconds)
            self._workers += borrower.credit.workers - before
            self._charge(job, borrower, len(values), seconds)
            self.results += len(values)
            self.seconds += seconds
            self.item_seconds += SMOOTHING * (seconds / len(values) - self.item_seconds)
            job.window.measured(len(values), len(memoryview(message.values)))

    def _charge(self, job: Job, borrower: Borrower, items: int, seconds: float) -> None:
        """Count workers' time against a job; no more of it than has passed since they came."""
        passed = (borrower.heard - borrower.since) * borrower.credit.workers
        seconds = max(0.0, min(seconds, passed - borrower.charged))
        borrower.charged += seconds
        job.share.charge(items, seconds)

    # ---- lending ----

    def _sort_in(self, borrower: Borrower) -> None:
        """Note whether a borrower is idle, nearly so, partly busy or has all it may hold."""
        self._sort_out(borrower)
        if not self._jobs or borrower not in self._borrowers:
            return
        held = self._count_lent(borrower)
        if held == 0:
            self._idle[borrower] = None
        elif self._has_room_for_any(borrower, held):
            nothing_waits = held <= borrower.credit.workers
            (self._nearly_idle if nothing_waits else self._partly_busy)[borrower] = None

    def _sort_out(self, borrower: Borrower) -> None:
        for hungry in self._hungry:
            hungry.pop(borrower, None)

    def _count_lent(self, borrower: Borrower) -> int:
        held = 0
        for job in self._jobs:
            held += job.lender.count_lent(borrower)
        return held

    def _has_room_for_any(self, borrower: Borrower, held: int) -> bool:
        """Whether a borrower that holds so many items may hold another batch of some job."""
        if len(self._jobs) > 1:
            return any(self._has_room(job, borrower) for job in self._jobs)
        (job,) = self._jobs
        batch = self._batch_size(job, borrower)
        return held + batch <= job.credits[borrower].may_hold(batch)

    def _has_room(self, job: Job, borrower: Borrower) -> bool:
        """Whether a borrower may hold another batch of a job, with what it holds of all."""
        batch = self._batch_size(job, borrower)
        elsewhere = sum(self._load(other, borrower) for other in self._jobs if other is not job)
        capacity = job.credits[borrower].may_hold(batch) * (1 - elsewhere)
        return job.lender.count_lent(borrower) + batch <= capacity

    def _load(self, job: Job, borrower: Borrower) -> float:
        """How much of all that a borrower may hold its items of a job are."""
        held = job.lender.count_lent(borrower)
        if not held:
            return 0.0
        return held / job.credits[borrower].may_hold(self._batch_size(job, borrower))

    def pump(self) -> None:
        """Read and lend as much as is wanted now, then tell whoever waits for results.

        Whoever has nothing comes first, so that no item waits after another needlessly, and
        then whoever has nothing in reserve.
        """
        jobs = tuple(self._jobs)
        for job in jobs:
            if job.withdrawing:
                self._withdraw_waiting(job)
        for hungry in self._hungry:
            while hungry and self._feed(next(iter(hungry))):
                pass
        for job in jobs:
            lender = job.lender
            if lender.ready or lender.finished or (job.tell_when_dry and job.awaits_input):
                job.notify()

    @staticmethod
    def _withdraw_waiting(job: Job) -> None:
        for low, high in job.withdrawing:
            for start, count in job.lender.withdraw(low, high):
                job.withdrawn(start, count)

    def _feed(self, borrower: Borrower) -> bool:
        """Lend one batch to a borrower; False where there is nothing to lend."""
        jobs = self._jobs if len(self._jobs) == 1 else self._in_turn(borrower)
        for job in jobs:
            if job.has_items and self._feed_from(job, borrower):
                self._virtual_time = max(self._virtual_time, job.share.seconds)
                return True
        return False

    def _in_turn(self, borrower: Borrower) -> list[Job]:
        """The jobs that a borrower may be lent from, the one that has had the least first."""
        jobs = [job for job in self._jobs if job.has_items and self._has_room(job, borrower)]
        return sorted(jobs, key=lambda job: job.claimed)

    def _feed_from(self, job: Job, borrower: Borrower) -> bool:
        """Lend one batch of a job to a borrower; False where there is nothing to lend."""
        lender = job.lender
        while True:
            size = self._batch_size(job, borrower)
            for _ in range(2):  # where it gives too little, it has no more, which it says next
                if lender.waiting < size:
                    self._fill(job, size)
            if self._should_wait(job, borrower, size):
                return False
            lease = lender.lend(borrower, size)
            if lease is None:
                return False
            if self._send(job, borrower, lease):
                self._sort_in(borrower)
                return True

    def _should_wait(self, job: Job, borrower: Borrower, size: int) -> bool:
        """Whether a busy borrower had better get nothing now."""
        lender = job.lender
        if borrower in self._idle:
            return False
        # The window keeps its batch so small; or the reader does, while it has enough to do.
        may_grow = not job.dry or borrower in self._partly_busy
        if may_grow and not lender.input_ended and lender.waiting < size // 2:
            return True
        remaining = self._count_remaining(job)
        if remaining is None or remaining > self._workers:
            return False
        # The last long items go to whoever is idle first.
        is_long = (job.credits[borrower].item_seconds or 0.0) > LONG_SECONDS
        return is_long and self._count_lent(borrower) >= borrower.credit.workers

    def _batch_size(self, job: Job, borrower: Borrower) -> int:
        return job.credits[borrower].batch_size(
            borrowers=max(1, self._workers),
            remaining=self._count_remaining(job),
            item_bytes=job.window.mean_size,
            limit=self._batch_limit,
        )

    @staticmethod
    def _count_remaining(job: Job) -> int | None:
        """How many items have not been lent, where the input's end is known."""
        unread = 0 if job.lender.input_ended else job.source.count_unread()
        return None if unread is None else unread + job.lender.waiting

    def _fill(self, job: Job, size: int) -> None:
        """Read what the hungry could take, at least `size`, as far as the window allows."""
        lender = job.lender
        hungry = sum(map(len, self._hungry))
        window = job.window.items(4 * self._workers, windows=len(self._jobs))
        limit = min(size * hungry - lender.waiting, lender.read_limit(window))
        if limit <= 0 or job.dry:
            return
        try:
            lender.add_items(job.source.read_nowait(limit))
        except WouldBlock:
            job.dry = True
        except EndOfInput:
            lender.end_input()
        except Exception as error:
            job.input_error = error
            lender.end_input()

    def _send(self, job: Job, borrower: Borrower, lease: Lease) -> bool:
        """Encode and post a batch; False where items of it cannot travel and others go first."""
        try:
            items = lease.items
            if job.add_keys is not None:
                items = job.add_keys(items, lease.start)
            encoded = self._codec.encode(items)
        except UnsupportedValueError:
            self._fail_items(job, borrower, lease, self._codec.find_unsupported(lease.items))
            return False
        many = len(lease.items) > 1
        if len(encoded) > (
            min(borrower.max_bytes, MAX_SURPRISE_BYTES) if many else borrower.max_bytes
        ):
            self._shrink(job, borrower, lease, len(encoded))
            return False
        job.window.measured(len(lease.items), len(encoded))
        self._job_of[lease.number] = job
        borrower.post(messages.Lend(lease.number, msgspec.Raw(encoded)))
        if borrower in self._idle:
            borrower.heard = self._clock()
        return True

    def _shrink(self, job: Job, borrower: Borrower, lease: Lease, size: int) -> None:
        """A batch is too large for its message: smaller ones follow; one item alone fails."""
        job.window.measured(len(lease.items), size)
        reason = f"{size:,} bytes are too much for one message: {borrower.max_bytes:,} may travel"
        alone = len(lease.items) == 1
        errors = {0: UnsupportedValueError(reason)} if alone else {}
        self._fail_items(job, borrower, lease, errors)

    def _fail_items(
        self,
        job: Job,
        borrower: Borrower,
        lease: Lease,
        errors: dict[int, UnsupportedValueError],
    ) -> None:
        """Fail the items of a lease that cannot travel, and let the others wait again."""
        for place, error in errors.items():
            failure = messages.Failure("UnsupportedValueError", str(error))
            job.lender.add_results(borrower, lease.number, place, [None], {0: failure})
        for low, high in list(lease.missing):
            job.lender.give_back(borrower, lease.number, low, high - low)

    # ---- balance ----

    def balance(self) -> None:
        """Call back what waits after long items, for each borrower that is idle."""
        if any(job.lender.waiting for job in self._jobs):
            return
        for _ in range(len(self._idle)):
            if not any(self._recall_from(job) for job in self._jobs):
                return

    def _recall_from(self, job: Job) -> bool:
        """Call back the lease of a job that is worth it most; False where none is."""
        now = self._clock()
        holders = [
            Holder(borrower, job.credits[borrower], now - borrower.heard)
            for borrower in self._borrowers
            if borrower not in self._idle
        ]
        lease = choose_recall(job.lender, holders, job.recalled)
        if lease is None:
            return False
        job.recalled.add(lease.number)
        assert isinstance(lease.borrower, Borrower)
        lease.borrower.post(messages.Recall(lease.number))
        return True


__all__ = ["MAX_FRAME_BYTES", "Borrower", "Codec", "Job", "Lending"]
