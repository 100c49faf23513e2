"""A node's stay below one parent: its items come in, results go out."""

from __future__ import annotations

import enum
import logging
import math
from collections.abc import Awaitable, Callable

import trio

from .. import messages
from ..channel import ChannelClosedError
from ..errors import ProtocolError, one_line
from ..net.keepalive import KeepaliveChannel
from ..scheduler import Window
from .children import send_quietly
from .job import Job
from .node import Node
from .placement import Placement
from .uplink import Uplink

logger = logging.getLogger(__name__)

MAX_GATHER_SECONDS = 0.2
"""How long a node gathers what its children send, at the most, where items take long enough."""
REPORT_WAITS = 1 / 3
"""Part of the reporting interval for which a report waits for a message to go along with."""
LAST_REPORT_SECONDS = 0.5
"""Maximum seconds for sending the last report at the end of the run."""
MAX_BUNDLE = 64
"""Messages that go up in one; `messages.MAX_BUNDLED` would be taken."""
UNBOUNDED = 2**62
"""More items than there will ever be."""


class ParentState(enum.Enum):
    """What a child's stay below its parent has come to."""

    COMPUTING = enum.auto()
    """It is lent items, and answers for them."""
    LEAVING = enum.auto()
    """It gives back what has not been started, and takes nothing more."""
    RUN_ENDED = enum.auto()
    """The parent has said that the run is over."""


class Parent:
    """A parent, as its child has it, from the welcome to the loss of the link.

    Args:
        node: the child's, which computes.
        placement: finds places for joining nodes that the parent passes on.
        link: to the parent.
        device: what the child is called in failures.
        disconnect: ends the connection of a node, here or below.
        report: gives what has changed at the child and below since the time before.
        end_children: tells the child's own children that the run is over, and how many results it
            has had, and waits a moment for their last reports.
        reporting_interval: seconds between two reports.
        find_other: has another place be found, since this parent takes no children any more.
    """

    def __init__(
        self,
        node: Node,
        placement: Placement,
        link: KeepaliveChannel,
        device: str,
        disconnect: Callable[[bytes], Awaitable[None]],
        report: Callable[[], messages.Update],
        end_children: Callable[[int], Awaitable[None]],
        reporting_interval: float,
        find_other: Callable[[], None],
    ) -> None:
        self.delivered = 0
        self.run_results = 0
        self._node = node
        self._placement = placement
        self._disconnect = disconnect
        self._make_report = report
        self._end_children = end_children
        self._link = link
        link.traffic = node.traffic
        link.measures = True
        self._reporting_interval = reporting_interval
        self._find_other = find_other
        self._uplink = Uplink(device)
        lender = self._node.lending.new_lender(ordered=False, max_attempts=1)
        lender.is_final = self._uplink.is_copy
        self._job = Job(self._uplink, lender, Window(limit=UNBOUNDED))
        self._job.cancelled = self._given_back
        self._job.notify = self._pass_results_up
        self._outbox: list[messages.Message] = []
        self._posted = trio.Event()
        self._progressed = trio.Event()
        self._wanted = 0
        self._unanswered = 0
        self._signalled: trio.Event | None = None
        self._answer = messages.Signal()
        self._report_is_due = True
        self._state = ParentState.COMPUTING

    async def run(self) -> bool:
        """Be its child until the link ends; returns whether the run is over."""
        self._node.open_job(self._job)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._link.run)
                nursery.start_soon(self._write)
                nursery.start_soon(self._report)
                self.post_want()
                await self._read(nursery)
                if self._state is ParentState.RUN_ENDED:
                    await self._end_children(self.run_results)
                    await self._send_last_report()
                nursery.cancel_scope.cancel()
        finally:
            self._node.close_job(self._job)
        return self._state is ParentState.RUN_ENDED

    @property
    def link_kind(self) -> str:
        """What carries the link, in a word."""
        return self._link.kind

    def post(self, message: messages.Message) -> None:
        """Have a message sent to the parent."""
        self._outbox.append(message)
        self._posted.set()

    def post_want(self) -> None:
        """Tell the parent how many workers compute here and below, where that has changed."""
        if self._node.workers != self._wanted:
            self._wanted = self._node.workers
            self.post(messages.Capacity(self._wanted, self._node.lending.max_value))

    async def hang_up(self) -> None:
        """End the link at once: the parent lends again what is here."""
        await self._link.aclose()

    async def finish(self) -> None:
        """Give back what has not been started, deliver what is running, and take no more."""
        self._state = ParentState.LEAVING
        self._node.cancel_pending(self._job, 0, UNBOUNDED)
        while self._job.lender.lent:
            self._progressed = trio.Event()
            await self._progressed.wait()
        self._post_report()
        self._posted.set()
        await self._sent()

    async def leave(self, patience: float = math.inf) -> None:
        """Finish, in so many seconds, and say goodbye: the parent gives this place to others."""
        with trio.move_on_after(patience) as scope:
            await self.finish()
        if scope.cancelled_caught:
            self._post_report()
        self.post(messages.Leave())
        await self._sent()

    async def _sent(self) -> None:
        while self._outbox:
            self._progressed = trio.Event()
            await self._progressed.wait()

    async def _read(self, nursery: trio.Nursery) -> None:
        try:
            while True:
                self._handle(await self._link.receive(), nursery)
                if self._state is ParentState.RUN_ENDED:
                    return
        except ChannelClosedError as error:
            logger.info("lost the parent at %r: %s", self._link, one_line(str(error)))
            return
        except ProtocolError as error:
            logger.info("left the parent at %r: %s", self._link, one_line(str(error)))
            self._node.lending.violations["parent_protocol_violations"] += 1
            return

    def _handle(self, message: messages.Message, nursery: trio.Nursery) -> None:
        match message:
            case messages.Lend() if self._state is ParentState.LEAVING:
                pass  # given back now it would come again at once; so it goes back with the link
            case messages.Lend():
                self._uplink.add(message)
                self._node.input_ready(self._job)
            case messages.Recall():
                self._recall(message)
            case messages.Join(origin, offer):
                nursery.start_soon(self._offer_place, origin, offer)
            case messages.Signal() if self._unanswered:
                self._take_answer(message)
            case messages.Disconnect(node):
                nursery.start_soon(self._disconnect, node)
            case messages.Leave():
                self._find_other()
            case messages.RunEnded(results):
                self.run_results = results
                self._state = ParentState.RUN_ENDED
            case _:
                raise ProtocolError(f"unexpected message {type(message).__name__}")

    def _recall(self, message: messages.Recall) -> None:
        answer, unstarted = self._uplink.recall(message)
        if answer is not None:
            self._node.meter.returned += answer.count
            self.post(answer)
        if unstarted is not None:
            self._node.cancel_pending(self._job, *unstarted, is_superseded=message.is_superseded)

    def _given_back(self, start: int, count: int) -> None:
        for answer in self._uplink.give_back(start, count):
            self._node.meter.returned += answer.count
            self.post(answer)
        self._progressed.set()

    async def _offer_place(self, origin: bytes, offer: str) -> None:
        self.post(await self._placement.find_parent_slot(origin, offer))

    async def signal(self, offer: str) -> messages.Signal:
        """Return the parent's answer to an offer to connect by WebRTC; empty where it has none."""
        self._signalled = trio.Event()
        self._unanswered += 1
        self.post(messages.Signal(offer))
        try:
            await self._signalled.wait()
            return self._answer
        finally:
            self._signalled = None

    def _take_answer(self, answer: messages.Signal) -> None:
        """Take the answer to the oldest offer; one that nobody waits for any more is left."""
        self._unanswered -= 1
        if not self._unanswered and self._signalled is not None:
            self._answer = answer
            self._signalled.set()

    def _pass_results_up(self) -> None:
        while (batch := self._job.lender.take()) is not None:
            self.delivered += len(batch.values)
            for answer in self._uplink.answer(batch, self._node.lending.item_seconds):
                self.post(answer)
        self._progressed.set()

    async def _report(self) -> None:
        waiting = REPORT_WAITS * self._reporting_interval
        while True:
            await trio.sleep(self._reporting_interval - waiting)
            self.post_want()
            self._report_is_due = True
            await trio.sleep(waiting)
            if self._report_is_due:
                self._posted.set()

    def _post_report(self) -> None:
        """Have a report sent, unless nothing has changed."""
        self._report_is_due = False
        report = self._make_report()
        if not report.is_empty:
            self._outbox.append(report)

    async def _send_last_report(self) -> None:
        """Report what was done since the last time: the run is over."""
        report = self._make_report()
        with trio.move_on_after(LAST_REPORT_SECONDS):
            if not report.is_empty:
                await send_quietly(self._link, report)

    async def _write(self) -> None:
        try:
            while True:
                await self._posted.wait()
                if self._placement.children and self._state is ParentState.COMPUTING:
                    await trio.sleep(min(self._node.lending.item_seconds / 5, MAX_GATHER_SECONDS))
                self._posted = trio.Event()
                if self._report_is_due:
                    self._post_report()
                while self._outbox:
                    sent = self._outbox[:MAX_BUNDLE]
                    self._node.meter.set_blocked(True)
                    await self._link.send_bundle(sent)
                    self._node.meter.set_blocked(False)
                    del self._outbox[: len(sent)]
                self._progressed.set()
        except ChannelClosedError:
            return  # the reading task notices, too
        finally:
            self._node.meter.set_blocked(False)
