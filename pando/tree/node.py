"""A node under Trio: borrowers come with a channel each, and results are waited for."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

import trio

from ..channel import ChannelClosedError, MessageChannel
from ..errors import ProtocolError, one_line
from ..limits import HEARTBEAT_TIMEOUT_SECONDS, MAX_VALUE_BYTES
from ..messages import Message
from ..net.keepalive import Traffic
from ..notifier import Notifier, to_nobody
from ..scheduler import (
    MAX_FRAME_BYTES,
    THIS_MACHINE,
    Borrower,
    Credit,
    LenderStatistics,
    ResultBatch,
    Source,
)
from ..source import EndOfInput
from .actions import Action, Notify, Send, Tell
from .codec import Codec
from .job import Job
from .lending import Lending
from .meter import Meter

logger = logging.getLogger(__name__)

BALANCE_SECONDS = 0.02
"""How soon it is asked whether an idle borrower could take over somebody's work."""
MAX_BALANCE_SECONDS = 0.32
"""How soon it is asked again, at the latest, when there was nothing to take over."""

TICK_SECONDS = 0.1
"""How often pauses and deadlines are looked at, where there are any."""


class _Outbox:
    """Messages to one borrower that wait for its channel."""

    def __init__(self) -> None:
        self._waiting: deque[Message] = deque()
        self._posted = trio.Event()

    def post(self, message: Message) -> None:
        self._waiting.append(message)
        self._posted.set()

    async def send_all(self, channel: MessageChannel) -> None:
        """Send what is posted, until the channel ends."""
        try:
            while True:
                await self._posted.wait()
                self._posted = trio.Event()
                while self._waiting:
                    await channel.send(self._waiting.popleft())
        except ChannelClosedError:
            return  # the reading task notices, too, and knows more


class Node:
    """Lends items to borrowers and gathers their results: carries out what `Lending` says.

    Args:
        codec: how items become messages.
        batch_limit: the most items in a batch, where the user chose it.
        names_workers, item_timeout, silence, max_value, speculates: see `Lending`.
        say: told what the person who runs this should know.

    Attributes:
        lending: the decisions, and the figures. Only this node tells it what happens.
        meter: measures the workers.
        traffic: what is transferred on the links to other nodes.
        on_lost: called with a borrower that is gone, and how many items it held.
    """

    def __init__(
        self,
        codec: Codec,
        *,
        batch_limit: int | None = None,
        names_workers: bool = False,
        item_timeout: float | None = None,
        silence: float = HEARTBEAT_TIMEOUT_SECONDS,
        max_value: int = MAX_VALUE_BYTES,
        speculates: bool = True,
        say: Notifier = to_nobody,
    ) -> None:
        self.lending = Lending(
            codec,
            trio.current_time,
            batch_limit=batch_limit,
            names_workers=names_workers,
            item_timeout=item_timeout,
            silence=silence,
            max_value=max_value,
            speculates=speculates,
        )
        self.meter = Meter(trio.current_time)
        self.traffic = Traffic()
        self.on_lost: Callable[[Borrower, int], None] = lambda borrower, count: None
        self._outboxes: dict[Borrower, _Outbox] = {}
        self._idle_event = trio.Event()
        self._results_of_closed_jobs = 0
        self._ticks_needed = trio.Event()
        self._say = say

    def __repr__(self) -> str:
        lending = self.lending
        return f"<Node, {len(lending.borrowers)} borrowers, {lending.workers} workers>"

    def _do(self, actions: list[Action]) -> None:
        """Carry out what `Lending` says."""
        for action in actions:
            if isinstance(action, Send):
                self._outboxes[action.borrower].post(action.message)
                self.meter.sent(action.borrower, action.message)
            elif isinstance(action, Notify):
                action.job.notify()
            elif isinstance(action, Tell):
                self._say(action.text)
            else:
                action.job.cancelled(action.start, action.size)
        if self.lending.has_idle_borrower:
            self._idle_event.set()
        if self.lending.needs_ticks:
            self._ticks_needed.set()

    # ---- jobs ----

    @property
    def workers(self) -> int:
        """How many workers compute here and below."""
        return self.lending.workers

    def open_job(self, job: Job) -> None:
        """Lend a job's items from now on, besides those of other jobs."""
        self._do(self.lending.open_job(job))

    def close_job(self, job: Job) -> None:
        """Lend no more of a job; what has not been started comes back and is dropped."""
        if self.lending.is_open(job):
            self._results_of_closed_jobs += _count_results(job)
        self._do(self.lending.close_job(job))

    def input_ready(self, job: Job) -> None:
        """Read from a job's source again, which may give something now."""
        self._do(self.lending.input_ready(job))

    def cancel_pending(self, job: Job, low: int, high: int, *, is_superseded: bool = False) -> None:
        """Let what has not been started of these indices leave the job, now or soon.

        Where they are superseded, what has been started of them is not wanted, either.
        """
        self._do(self.lending.cancel_pending(job, low, high, is_superseded=is_superseded))

    async def next_results(self, job: Job) -> ResultBatch:
        """The next results to hand out, as soon as there are some.

        Raises:
            EndOfInput: all has been handed out.
            trio.ClosedResourceError: the job has been closed.
            Exception: what the input raised, once all before it has been handed out.
        """
        while (batch := self.next_results_nowait(job)) is None:
            news = trio.Event()
            job.notify = news.set
            await news.wait()
        return batch

    def next_results_nowait(self, job: Job) -> ResultBatch | None:
        """`next_results`, or None where they have not come."""
        batch = job.lender.take()
        if batch is not None:
            self._do(self.lending.pump())
            return batch
        if job.lender.finished:
            raise job.input_error or EndOfInput
        if not self.lending.is_open(job):
            raise trio.ClosedResourceError("this job has been closed")
        return None

    def statistics(self) -> list[LenderStatistics]:
        """The figures of each job that is open, oldest first."""
        return [job.lender.statistics() for job in self.lending.jobs]

    @property
    def results(self) -> int:
        """How many results there have been, of all jobs and all devices."""
        return self._results_of_closed_jobs + sum(map(_count_results, self.lending.jobs))

    # ---- borrowers ----

    async def serve(
        self,
        channel: MessageChannel,
        name: str,
        credit: Credit | None = None,
        *,
        max_bytes: int = MAX_FRAME_BYTES,
        source: Source = THIS_MACHINE,
    ) -> Borrower:
        """Lend to whoever is at the other end of a channel, until it ends.

        Leaving this function, for whatever reason, is what gives the borrower's leases back.

        Args:
            channel: to the borrower.
            name: what people call it.
            credit: what it may hold.
            max_bytes: the largest batch that can be sent.
            source: where it is; what is on this machine is a worker.
        """
        borrower = Borrower(name, credit or Credit(), max_bytes=max_bytes, source=source)
        end: ChannelClosedError | None = None
        outbox = self._outboxes[borrower] = _Outbox()
        if source.is_local:
            self.meter.add_worker(borrower)
        self._do(self.lending.add(borrower))
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(outbox.send_all, channel)
                end = await self._read(borrower, channel)
                nursery.cancel_scope.cancel()
        finally:
            del self._outboxes[borrower]
            self.meter.remove(borrower)
            held = sum(job.lender.count_lent(borrower) for job in self.lending.jobs)
            if held:
                self.on_lost(borrower, held)
            # What a worker of this machine was running is known from its last message.
            is_lost = end is not None and not (end.in_order or source.is_local)
            self._do(
                self.lending.remove(
                    borrower,
                    lost=str(end) or "the connection has ended" if is_lost else "",
                    may_return=end is not None and end.fell_silent,
                )
            )
        return borrower

    async def _read(self, borrower: Borrower, channel: MessageChannel) -> ChannelClosedError | None:
        """Handle what a borrower sends; how its channel has ended, where it was not sent away."""
        lending = self.lending
        try:
            while True:
                message = await channel.receive()
                self._do(lending.handle(borrower, message))
                self.meter.received(borrower, message)
        except ChannelClosedError as error:
            logger.debug("%r has ended: %s", borrower, one_line(str(error)))
            return error
        except ProtocolError as error:
            logger.info("disconnected %r: %s", borrower, one_line(str(error)))
            lending.violations["protocol_violations"] += 1
        return None

    async def balance_forever(self) -> None:
        """Do what time brings, until cancelled: recalls for idle borrowers, and deadlines."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._recall_forever)
            nursery.start_soon(self._tick_forever)

    async def _tick_forever(self) -> None:
        lending = self.lending
        while True:
            await self._ticks_needed.wait()
            self._ticks_needed = trio.Event()
            while lending.needs_ticks:
                due = trio.current_time() + TICK_SECONDS
                await trio.sleep_until(due)
                self._do(lending.tick(late=trio.current_time() - due))

    async def _recall_forever(self) -> None:
        """While a borrower is idle, call back what waits after long items elsewhere."""
        lending = self.lending
        while True:
            await self._idle_event.wait()
            self._idle_event = trio.Event()
            pause = BALANCE_SECONDS
            while lending.has_idle_borrower:
                await trio.sleep(pause)
                self._do(lending.balance())
                pause = min(2 * pause, MAX_BALANCE_SECONDS)


def _count_results(job: Job) -> int:
    statistics = job.lender.statistics()
    return statistics.finished + statistics.delivered
