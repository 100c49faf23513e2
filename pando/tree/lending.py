"""Lending: what a node does with the messages of its borrowers, without I/O.

The decisions are the scheduler's. Here messages come in, the scheduler is told what happened, and
what it says becomes messages. Each method that tells `Lending` of something returns what to do
about it, in order: a list of `Action`. `pando.tree.node` drives this under Trio, and a simulator
drives thousands of them.
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Callable

import msgspec

from .. import messages
from ..errors import ProtocolError, one_line, truncate
from ..figures import Tally
from ..limits import HEARTBEAT_TIMEOUT_SECONDS, MAX_VALUE_BYTES
from ..scheduler import Allocator, Borrower, Lender, Read
from .actions import Action, Notify, Send
from .codec import Codec
from .deadlines import Deadlines
from .incoming_results import IncomingResults
from .job import Job
from .lending_steps import cancel_waiting, read
from .outgoing_batches import OutgoingBatches
from .pauses import Pauses

logger = logging.getLogger(__name__)


class Lending:
    """A node's lending to all its borrowers, of all its jobs.

    Args:
        codec: how items become messages.
        clock: gives the time, in seconds.
        batch_limit: the most items in a batch, where the user chose it.
        names_workers: whether a failure without a device gets the name of the borrower; at the
            root, for elsewhere it gets the name of the node.
        item_timeout: seconds that an item may take, where that is bounded.
        silence: seconds that a borrower may take longer, to answer.
        max_value: bytes of the largest value that is taken, and lent to a child.
        speculates: whether an item that holds up others is lent a second time.

    Attributes:
        violations: protocol violations of borrowers and parents, by name of the counter.
        reported: what the function has reported on this node's own workers.
        max_value: as it was given.
    """

    def __init__(
        self,
        codec: Codec,
        clock: Callable[[], float],
        *,
        batch_limit: int | None = None,
        names_workers: bool = False,
        item_timeout: float | None = None,
        silence: float = HEARTBEAT_TIMEOUT_SECONDS,
        max_value: int = MAX_VALUE_BYTES,
        speculates: bool = True,
    ) -> None:
        self._speculates = speculates
        self._clock = clock
        self._allocator: Allocator[Job] = Allocator(batch_limit)
        self.max_value = max_value
        self._lease_numbers = itertools.count(1)
        self._job_of: dict[int, Job] = {}
        self._pauses = Pauses(self._allocator, clock)
        patience = None if item_timeout is None else item_timeout + silence
        self._deadlines = Deadlines(self._allocator, self._pauses, self._job_of, patience)
        self._incoming = IncomingResults(
            codec, self._allocator, self._pauses, names_workers=names_workers
        )
        self._batches = OutgoingBatches(codec, self._allocator, clock, self._job_of)
        self.violations: Counter[str] = Counter()
        self.reported = Tally()

    # ---- looking in ----

    @property
    def jobs(self) -> list[Job]:
        """All that are open, oldest first."""
        return list(self._allocator.backlogs)

    def is_open(self, job: Job) -> bool:
        """Whether a job's items are lent."""
        return job in self._allocator.backlogs

    @property
    def borrowers(self) -> list[Borrower]:
        """All that are here now."""
        return list(self._allocator.borrowers)

    @property
    def workers(self) -> int:
        """How many workers compute here and below."""
        return self._allocator.workers

    @property
    def item_seconds(self) -> float:
        """The mean time of an item, over all borrowers."""
        return self._incoming.item_seconds

    @property
    def results(self) -> int:
        """How many results have come."""
        return self._incoming.results

    @property
    def seconds(self) -> float:
        """The time that computing them has taken."""
        return self._incoming.seconds

    @property
    def has_idle_borrower(self) -> bool:
        """Whether a borrower has nothing, while others hold items."""
        return self._allocator.has_idle_borrower

    def figures_reported(self) -> messages.FunctionReport | None:
        """What the function has reported on this node's own workers, if it has."""
        figures = self.reported.read()
        return messages.FunctionReport(*figures) if figures else None

    # ---- jobs ----

    def new_lender(self, *, ordered: bool = True, max_attempts: int = 3) -> Lender:
        """A lender whose leases cannot be mistaken for another job's."""
        return Lender(ordered=ordered, max_attempts=max_attempts, numbers=self._lease_numbers)

    def open_job(self, job: Job) -> list[Action]:
        """Lend a job's items from now on, besides those of other jobs."""
        self._allocator.open(job)
        return self.pump()

    def close_job(self, job: Job) -> list[Action]:
        """Lend no more of a job; what has not been started comes back and is dropped."""
        if not self.is_open(job):
            return []
        job.source.close()
        actions: list[Action] = []
        for borrower in self._allocator.borrowers:
            for lease in job.lender.leases_of(borrower):
                del self._job_of[lease.number]
                actions.append(Send(borrower, messages.Recall(lease.number)))
        self._allocator.close(job)
        actions.append(Notify(job))
        return self.pump(actions)

    def input_ready(self, job: Job) -> list[Action]:
        """Read from a job's source again, which may give something now."""
        self._allocator.unblock(job)
        return self.pump() if self.is_open(job) else []

    def cancel_pending(
        self, job: Job, low: int, high: int, *, is_superseded: bool = False
    ) -> list[Action]:
        """Let what has not been started of these indices leave the job, now or soon.

        Where they are superseded, what has been started of them is not wanted, either.
        """
        if not self.is_open(job):
            return []
        job.cancelling.append((low, high))
        actions: list[Action] = []
        cancel_waiting(job, actions)
        for borrower in self._allocator.borrowers:
            for lease in job.lender.leases_of(borrower):
                start, end = lease.start, lease.start + len(lease.items)
                if start < high and low < end:
                    lease.was_recalled = True
                    unwanted = is_superseded and low <= start and end <= high
                    actions.append(Send(borrower, messages.Recall(lease.number, unwanted)))
        return actions

    # ---- borrowers ----

    def add(self, borrower: Borrower) -> list[Action]:
        """Register a borrower."""
        now = self._clock()
        self._pauses.recognize(borrower)
        self._allocator.add(borrower, now)
        self._pauses.begin_if_due(borrower, now)
        return self.pump()

    def remove(
        self, borrower: Borrower, *, lost: str = "", may_return: bool = False
    ) -> list[Action]:
        """Let what a borrower holds be lent again: it is gone.

        Args:
            borrower: who is gone.
            lost: how, where something that it was lent may be what ended it.
            may_return: whether it has only fallen silent.
        """
        now, actions = self._clock(), list[Action]()
        for job in self._allocator.backlogs:
            for lease in job.lender.leases_of(borrower):
                del self._job_of[lease.number]
        held = self._allocator.remove(borrower, now, lost=lost, may_return=may_return)
        self._pauses.forget(borrower)
        if held:
            logger.info("lost %r; its %d items are reassigned: %s", borrower, held, one_line(lost))
            if lost and not may_return:
                self._pauses.set_aside_if(borrower, borrower.conduct.lost(now), actions)
        self._batches.fail_too_large()
        return self.pump(actions)

    def handle(self, borrower: Borrower, message: messages.Message) -> list[Action]:
        """Take in a message of a borrower.

        Raises:
            ProtocolError: it makes no sense. The borrower should be sent away.
        """
        now = borrower.heard = self._clock()
        actions: list[Action] = []
        match message:
            case messages.FunctionReport():
                self.reported.add(msgspec.structs.astuple(message))
                return []
            case messages.Capacity(workers, max_value):
                self._allocator.ask(borrower, workers)
                borrower.has_announced = True
                if not borrower.source.is_local:
                    # Never less than a message holds: who takes nothing would fail all items.
                    borrower.max_bytes = max(borrower.max_bytes, min(max_value, self.max_value))
                self._batches.fail_too_large()
            case _ if not self._allocator.backlogs:
                return []
            case messages.Results() | messages.ReturnItems() | messages.ItemCrashed():
                self._settle(borrower, message, now, actions)
            case _:
                raise ProtocolError(f"unexpected message {type(message).__name__}")
        self._allocator.requeue(borrower)
        return self.pump(actions)

    def _settle(
        self,
        borrower: Borrower,
        message: messages.Results | messages.ReturnItems | messages.ItemCrashed,
        now: float,
        actions: list[Action],
    ) -> None:
        """Tell the lender of a lease what has become of its items."""
        # A lease that is no more is any lender's to ignore, and to count.
        job = self._job_of.get(message.lease) or next(iter(self._allocator.backlogs))
        match message:
            case messages.Results():
                borrower.answered = now
                self._incoming.add(job, borrower, message, now, actions)
            case messages.ReturnItems():
                self._take_back(job, borrower, message, now)
            case messages.ItemCrashed(lease, offset, reason):
                if job.lender.record_crash(borrower, lease, offset, truncate(reason), now):
                    logger.info("%r lost what ran an item: %s", borrower, one_line(reason))
                    self._pauses.set_aside_if(borrower, borrower.conduct.lost(now), actions)
        if not job.lender.has_lease(message.lease):
            self._job_of.pop(message.lease, None)

    def _take_back(
        self, job: Job, borrower: Borrower, message: messages.ReturnItems, now: float
    ) -> None:
        """Let returned items wait again; a borrower that was not asked for them waits, too."""
        lease = job.lender.lease(message.lease)
        if not job.lender.give_back(borrower, message.lease, message.offset, message.count):
            return
        assert lease is not None
        lease.recalled = False
        is_expected = lease.was_recalled or borrower.has_no_workers
        if not (is_expected or borrower.source.is_local):
            self._pauses.refuse(borrower, now)

    # ---- pauses and deadlines ----

    @property
    def needs_ticks(self) -> bool:
        """Whether `tick` has to be called again."""
        return bool(self._pauses) or (self._deadlines.patience is not None and bool(self._job_of))

    def tick(self, late: float = 0.0) -> list[Action]:
        """Do what is due by now: end pauses, and take back what is not answered in time.

        Args:
            late: seconds for which this process did not run; nobody could have answered then.
        """
        now, actions = self._clock(), list[Action]()
        self._pauses.end_due(now)
        self._deadlines.revoke_due(now, late, actions)
        return self.pump(actions)

    # ---- lending ----

    def pump(self, actions: list[Action] | None = None) -> list[Action]:
        """Read and lend as much as is wanted now, after other actions, if there are any."""
        actions = [] if actions is None else actions
        jobs = tuple(self._allocator.backlogs)
        for job in jobs:
            if job.cancelling:
                cancel_waiting(job, actions)
            if job.lender.holdings.superseded:
                self._end_superseded(job, actions)
        for step in self._allocator.steps():
            if isinstance(step, Read):
                read(step.backlog, step.limit)
            else:
                self._batches.send(step.backlog, step.borrower, step.lease, actions)
        for job in jobs:
            lender = job.lender
            if lender.ready or lender.finished or (job.tell_when_dry and job.awaits_input):
                actions.append(Notify(job))
        return actions

    def balance(self) -> list[Action]:
        """Call back what waits after long items, for each borrower that is idle."""
        actions: list[Action] = []
        now = self._clock()
        for lease in self._allocator.recalls(now):
            assert isinstance(lease.borrower, Borrower)
            logger.debug("%r is recalled from %r", lease, lease.borrower)
            actions.append(Send(lease.borrower, messages.Recall(lease.number)))
        if self._speculates:
            for step in self._allocator.doublings(now):
                logger.debug("%r is lent a second time, to %r", step.lease, step.borrower)
                self._batches.send(step.backlog, step.borrower, step.lease, actions)
        return self.pump(actions)

    def _end_superseded(self, job: Job, actions: list[Action]) -> None:
        """Tell borrowers whose leases ended because another was faster."""
        for lease in job.lender.take_superseded():
            borrower = lease.borrower
            assert isinstance(borrower, Borrower)
            self._job_of.pop(lease.number, None)
            if borrower not in self._allocator.borrowers:
                continue
            actions.append(Send(borrower, messages.Recall(lease.number, is_superseded=True)))
            now = self._clock()
            if lease.was_outrun and not borrower.source.is_local:
                # It is slow, or silent: others are not to wait for it again at once.
                self._pauses.refuse(borrower, now, wasted=now - lease.since)
            self._allocator.requeue(borrower)
