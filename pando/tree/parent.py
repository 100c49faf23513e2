"""A node's stay below one parent: its items come in, results go out."""

from __future__ import annotations

import functools
from collections.abc import Callable

import trio

from .. import messages
from ..channel import ChannelClosedError
from ..errors import PandoError
from ..net.keepalive import Link
from ..scheduler import Window
from .lending import Job
from .membership import Membership
from .node import Node
from .uplink import Uplink

MAX_GATHER_SECONDS = 0.2
"""How long a node gathers what its children send, at the most, where items take long enough."""
STATUS_WAITS = 1 / 3
"""Part of the reporting interval for which figures wait for a message to go along with."""
MAX_BUNDLE = 64
"""Messages that go up in one; `messages.MAX_BUNDLED` would be taken."""
EVERYTHING = 2**62
"""More items than there will ever be."""


class Parent:
    """A parent, as its child has it, from the welcome to the loss of the link.

    Args:
        node: the child's, which computes.
        membership: finds places for newcomers that the parent passes on.
        link: to the parent.
        device: what the child is called in failures.
        status: gives the figures of the child and of all below it.
        reporting_interval: seconds between two reports of them.
    """

    def __init__(
        self,
        node: Node,
        membership: Membership,
        link: Link,
        device: str,
        status: Callable[[], messages.Status],
        reporting_interval: float,
    ) -> None:
        self.delivered = 0
        self._node = node
        self._membership = membership
        self._status = status
        self._link = link
        self._reporting_interval = reporting_interval
        self._uplink = Uplink(device)
        lender = self._node.new_lender(ordered=False, max_strikes=1)
        self._job = Job(self._uplink, lender, Window(limit=EVERYTHING))
        self._job.withdrawn = self._given_back
        self._job.notify = self._pass_results_up
        self._outbox: list[messages.Message] = []
        self._posted = trio.Event()
        self._progressed = trio.Event()
        self._wanted = 0
        self._status_is_due = True
        self._left = False
        self._run_is_over = False

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
                nursery.cancel_scope.cancel()
        finally:
            self._node.close_job(self._job)
        return self._run_is_over

    def post(self, message: messages.Message) -> None:
        """Have a message sent to the parent."""
        self._outbox.append(message)
        self._posted.set()

    def post_want(self) -> None:
        """Tell the parent how many workers compute here and below, where that has changed."""
        if self._node.workers != self._wanted:
            self._wanted = self._node.workers
            self.post(messages.Want(self._wanted))

    async def hang_up(self) -> None:
        """End the link at once: the parent lends again what is here."""
        await self._link.aclose()

    async def leave(self) -> None:
        """Give back what has not been started, wait a moment for what is running, say goodbye."""
        self._left = True
        self._node.withdraw(self._job, 0, EVERYTHING)
        while self._job.lender.lent:
            self._progressed = trio.Event()
            await self._progressed.wait()
        self.post(messages.Leaving())
        while self._outbox:
            self._progressed = trio.Event()
            await self._progressed.wait()

    async def _read(self, nursery: trio.Nursery) -> None:
        try:
            while True:
                self._handle(await self._link.receive(), nursery)
                if self._run_is_over:
                    return
        except ChannelClosedError:
            return
        except PandoError:
            self._node.violations["parent"] += 1
            return

    def _handle(self, message: messages.Message, nursery: trio.Nursery) -> None:
        match message:
            case messages.Lend() if self._left:
                pass  # given back now it would come again at once; so it goes back with the link
            case messages.Lend():
                self._uplink.add(message)
                self._node.input_has_news(self._job)
            case messages.Recall():
                self._recall(message)
            case messages.Join(origin):
                nursery.start_soon(self._offer_place, origin)
            case messages.Ended():
                self._run_is_over = True
            case _:
                raise PandoError(f"unexpected message {type(message).__name__}")

    def _recall(self, message: messages.Recall) -> None:
        for answer in self._uplink.recall(
            message, functools.partial(self._node.withdraw, self._job)
        ):
            self.post(answer)

    def _given_back(self, start: int, count: int) -> None:
        answer = self._uplink.give_back(start, count)
        if answer is not None:
            self.post(answer)
        self._progressed.set()

    async def _offer_place(self, origin: bytes) -> None:
        self.post(await self._membership.offer_place(origin))

    def _pass_results_up(self) -> None:
        while (run := self._job.lender.take()) is not None:
            self.delivered += len(run.values)
            for answer in self._uplink.answer(run, self._node.item_seconds):
                self.post(answer)
        self._progressed.set()

    async def _report(self) -> None:
        waiting = STATUS_WAITS * self._reporting_interval
        while True:
            await trio.sleep(self._reporting_interval - waiting)
            self.post_want()
            self._status_is_due = True
            await trio.sleep(waiting)
            if self._status_is_due:
                self._posted.set()

    async def _write(self) -> None:
        try:
            while True:
                await self._posted.wait()
                if self._membership.children and not self._left:
                    await trio.sleep(min(self._node.item_seconds / 5, MAX_GATHER_SECONDS))
                self._posted = trio.Event()
                if self._status_is_due:
                    self._status_is_due = False
                    self._outbox.append(self._status())
                while self._outbox:
                    sent = self._outbox[:MAX_BUNDLE]
                    await self._link.send_bundle(sent)
                    del self._outbox[: len(sent)]
                self._progressed.set()
        except ChannelClosedError:
            return  # the reading task notices, too
