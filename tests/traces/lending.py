"""Traces of a node's lending: events with their arguments, and what the node decides of each.

An event is a list: its name, the time, and its arguments. What comes of it is a list of actions,
and a digest of the state that follows: whole numbers, and every few events the doubles as well.
"""

from __future__ import annotations

import itertools
from typing import Any
from unittest.mock import patch

import msgspec

from pando import messages
from pando.errors import ProtocolError
from pando.scheduler import Borrower, Credit, Source, Window
from pando.source import EndOfInput
from pando.tree import incoming_results, outgoing_batches
from pando.tree.actions import Action, Cancelled, Notify, Send
from pando.tree.child import credit_for_child
from pando.tree.job import Job
from pando.tree.lending import Lending
from pando.tree.uplink import RawCodec, Uplink

Event = list[Any]
Outcome = list[Any]

FAILURE_BYTES = 300
"""What a failure counts for, which differs between the languages and versions of Python."""
FULL_EVERY = 12
"""Events from one digest with doubles to the next."""
LARGE_BYTES = 700
"""Bytes of an item that is too large for some."""
UNBOUNDED = 2**53 - 1


def encoded(spec: int) -> msgspec.Raw:
    """An item: a whole number, or so many bytes where the number is negative."""
    return msgspec.Raw(msgspec.msgpack.encode(spec if spec >= 0 else bytes(-spec)))


def fingerprint(data: bytes) -> int:
    """A number that both languages compute of bytes."""
    found = 0
    for byte in data:
        found = (found * 31 + byte) % 2**32
    return found


class Numbers:
    """A source of the whole numbers up to an end, which the node knows."""

    def __init__(self, end: int) -> None:
        self._next = 0
        self._end = end

    def read_nowait(self, limit: int) -> list[msgspec.Raw]:
        if self._next == self._end:
            raise EndOfInput
        first, self._next = self._next, min(self._end, self._next + limit)
        return [encoded(number) for number in range(first, self._next)]

    def remaining(self) -> int:
        return self._end - self._next

    async def run(self, wake: Any) -> None: ...

    def close(self) -> None: ...


class LendingPlayer:
    """Plays events to a lending, and tells what came of each."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.now = 0.0
        self.lending = Lending(
            RawCodec(),
            lambda: self.now,
            batch_limit=options["batchLimit"],
            item_timeout=options["itemTimeout"],
            silence=options["silence"],
            max_value=options["maxValue"],
            speculates=options["speculates"],
        )
        self.jobs: list[Job] = []
        self.borrowers: dict[int, Borrower] = {}
        self._names: dict[Borrower, int] = {}
        self._told: list[Any] = []
        self._events = 0
        self._known: list[Any] = []

    def play(self, event: Event) -> Outcome:
        """Let an event happen; the actions and the digest."""
        name, self.now, *arguments = event
        self._told = []
        self._events += 1
        size = lambda failure: FAILURE_BYTES
        with (
            patch.object(incoming_results, "failure_bytes", size),
            patch.object(outgoing_batches, "failure_bytes", size),
        ):
            try:
                self._do(getattr(self, f"_{name}")(*arguments))
            except ProtocolError:
                self._told.append(["malformed"])
        return [self._told, self._changes(self._digest())]

    def _changes(self, digest: list[Any]) -> list[Any]:
        """What is new in a digest; nothing for each part that is as it was before."""
        changes = [
            None if part == known else part
            for part, known in itertools.zip_longest(digest[:5], self._known)
        ]
        self._known = digest[:5]
        return changes + digest[5:]

    # ---- events ----

    def _open(self, numbers: int | None) -> list[Action]:
        lending = self.lending
        if numbers is None:
            uplink = Uplink("device")
            lender = lending.new_lender(ordered=False, max_attempts=1)
            lender.is_final = uplink.is_copy
            job = Job(uplink, lender, Window(limit=UNBOUNDED))
        else:
            job = Job(Numbers(numbers), lending.new_lender(), Window())
        self.jobs.append(job)
        return lending.open_job(job)

    def _close(self, job: int) -> list[Action]:
        return self.lending.close_job(self.jobs[job])

    def _lend(
        self, job: int, lease: int, count: int, large: list[int], is_copy: bool
    ) -> list[Action]:
        items = RawCodec.encode(
            [encoded(-LARGE_BYTES if place in large else place) for place in range(count)]
        )
        self._uplink(job).add(messages.Lend(lease, msgspec.Raw(items), is_copy))
        return self.lending.input_ready(self.jobs[job])

    def _recall(self, job: int, lease: int, is_superseded: bool) -> list[Action]:
        answer, unstarted = self._uplink(job).recall(messages.Recall(lease))
        self._answer(job, answer)
        if unstarted is None:
            return []
        return self.lending.cancel_pending(self.jobs[job], *unstarted, is_superseded=is_superseded)

    def _leave(self, job: int) -> list[Action]:
        return self.lending.cancel_pending(self.jobs[job], 0, UNBOUNDED)

    def _add(self, number: int, description: dict[str, Any]) -> list[Action]:
        workers, device = description["workers"], description["device"]
        if device is None:
            borrower = Borrower(f"worker {number}", Credit())
        else:
            source = Source(device, description["address"])
            borrower = Borrower(f"child {number}", credit_for_child(workers), source=source)
        if description["maxBytes"] is not None:
            borrower.max_bytes = description["maxBytes"]
        self.borrowers[number] = borrower
        self._names[borrower] = number
        return self.lending.add(borrower)

    def _remove(self, number: int, lost: str, may_return: bool) -> list[Action]:
        borrower = self.borrowers.pop(number)
        return self.lending.remove(borrower, lost=lost, may_return=may_return)

    def _want(self, number: int, workers: int, most: int) -> list[Action]:
        return self.lending.handle(self.borrowers[number], messages.Capacity(workers, most))

    def _results(
        self, number: int, lease: int, offset: int, seconds: float, count: int, failed: list[int]
    ) -> list[Action]:
        values = RawCodec.encode([encoded(offset + place) for place in range(count)])
        failures = {place: messages.Failure("Error", "no") for place in failed}
        message = messages.Results(lease, offset, seconds, msgspec.Raw(values), failures)
        return self.lending.handle(self.borrowers[number], message)

    def _returned(self, number: int, lease: int, offset: int, count: int) -> list[Action]:
        message = messages.ReturnItems(lease, offset, count)
        return self.lending.handle(self.borrowers[number], message)

    def _struck(self, number: int, lease: int, offset: int) -> list[Action]:
        message = messages.ItemCrashed(lease, offset, "lost")
        return self.lending.handle(self.borrowers[number], message)

    def _tick(self, late: float) -> list[Action]:
        return self.lending.tick(late)

    def _balance(self) -> list[Action]:
        return self.lending.balance()

    # ---- what comes of them ----

    def _uplink(self, job: int) -> Uplink:
        uplink = self.jobs[job].source
        assert isinstance(uplink, Uplink)
        return uplink

    def _do(self, actions: list[Action]) -> None:
        due = list(actions)
        for action in due:
            if isinstance(action, Send):
                self._told.append(self._sent(self._names[action.borrower], action.message))
            elif isinstance(action, Notify):
                due += self._take(self.jobs.index(action.job))
            elif isinstance(action, Cancelled):
                job = self.jobs.index(action.job)
                for answer in self._uplink(job).give_back(action.start, action.size):
                    self._answer(job, answer)
            else:
                self._told.append(["tell", action.text])

    @staticmethod
    def _sent(borrower: int, message: messages.Message) -> list[Any]:
        if isinstance(message, messages.Recall):
            return ["recall", borrower, message.lease, message.is_superseded]
        assert isinstance(message, messages.Lend)
        data, count = bytes(message.items), len(RawCodec.decode(message.items))
        return ["lend", borrower, message.lease, count, fingerprint(data), message.is_copy]

    def _take(self, number: int) -> list[Action]:
        """Hand out what is ready: to the parent, or to the program."""
        job, actions = self.jobs[number], list[Action]()
        while (batch := job.lender.take()) is not None:
            if isinstance(job.source, Uplink):
                for answer in job.source.answer(batch, self.lending.item_seconds):
                    self._answer(number, answer)
            else:
                failed = sorted(batch.failures)
                self._told.append(["out", number, batch.start, len(batch.values), failed])
                actions += self.lending.pump()
        return actions

    def _answer(self, job: int, answer: messages.Message | None) -> None:
        match answer:
            case messages.Results(lease, offset, seconds, values, failures):
                mark = fingerprint(bytes(values))
                told = ["results", job, lease, offset, seconds, mark, sorted(failures)]
                self._told.append(told)
            case messages.ReturnItems(lease, offset, count):
                self._told.append(["returned", job, lease, offset, count])
            case messages.ItemCrashed(lease, offset, _):
                self._told.append(["struck", job, lease, offset])

    def _digest(self) -> list[Any]:
        lending = self.lending
        found: list[Any] = [
            lending.workers,
            int(lending.needs_ticks),
            int(lending.has_idle_borrower),
            [lender_digest(job) for job in lending.jobs],
            [[name, self._count_held(each)] for name, each in self.borrowers.items()],
        ]
        if self._events % FULL_EVERY == 0:
            found.append([self._doubles(each) for each in self.borrowers.values()])
            found.append([job_digest(job) for job in lending.jobs])
        return found

    def _count_held(self, borrower: Borrower) -> int:
        return sum(job.lender.count_lent(borrower) for job in self.lending.jobs)

    def _doubles(self, borrower: Borrower) -> list[Any]:
        known = [job.credits[borrower].item_seconds for job in self.lending.jobs]
        times = [borrower.seconds, borrower.charged, borrower.conduct.paused_until]
        return [borrower.workers, int(borrower.is_paused), borrower.max_bytes, *times, *known]


def lender_digest(job: Job) -> list[int]:
    """Where a job's items are, and what has happened to them."""
    figures = job.lender.statistics()
    return [
        figures.read,
        figures.queued,
        figures.in_flight,
        figures.finished,
        figures.delivered,
        figures.reassigned,
        figures.ignored_results,
        figures.strikes,
        figures.doubled,
    ]


def job_digest(job: Job) -> list[Any]:
    """What a job has had, and which items are lent under which lease."""
    leases = [
        [lease.number, lease.start, *(end for span in lease.missing for end in span)]
        for lease in job.lender.holdings.leases.values()
    ]
    return [job.share.seconds, job.window.mean_size, job.lender.finished_bytes, leases]
