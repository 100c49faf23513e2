"""Many orphans find places although a connection costs both ends time of their processors.

Placement, admission, turns, and the search for a parent are the real ones; processes, connections
and the clock are simulated. A processor that does several things at once does each more slowly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest
import trio
import trio.testing

from pando import messages
from pando.channel import Channel, ChannelClosedError, memory_channel_pair
from pando.net.keepalive import KeepaliveChannel
from pando.net.visitor import Visitor
from pando.net.webrtc import answerer, connection, turns
from pando.net.webrtc.answerer import Answerer
from pando.net.webrtc.turns import Turns
from pando.tree.admission import Admission
from pando.tree.child import Child
from pando.tree.overlay import Overlay
from pando.tree.placement import Placement
from pando.volunteering import Volunteer, VolunteerOptions
from pando.volunteering.backoff import Backoff

ROOT = bytes(8)
ORPHANS, PARENTS, PROCESSES = 200, 20, 2
END_SECONDS = 0.08
"""What a connection costs at each end."""
SLICE_SECONDS = 0.04
LEAST_SECONDS = 2 * ORPHANS * END_SECONDS / PROCESSES
"""What all of them cost, if nothing is done in vain."""


PROCESS: ContextVar[Process] = ContextVar("process")
"""That of the task that runs."""


class Process:
    """A process with a processor of its own, whose tasks share it."""

    def __init__(self) -> None:
        self.turns = Turns()
        self._active = 0

    async def work(self, seconds: float) -> None:
        self._active += 1
        try:
            while seconds > 0:
                await trio.sleep(min(seconds, SLICE_SECONDS) * self._active)
                seconds -= SLICE_SECONDS
        finally:
            self._active -= 1


class End:
    """One end of a simulated connection."""

    def __init__(self, scenery: Scenery, process: Process) -> None:
        self._scenery = scenery
        self._process = process
        self._ready = trio.Event()
        self._met = trio.Event()
        self.is_closed = False
        self.other: End | None = None
        self.channel: Channel | None = None

    async def make_offer(self) -> str:
        self._scenery.tries += 1
        return self._scenery.publish(self)

    async def make_answer(self, offer: str) -> str:
        offering = self._scenery.ends[int(offer)]
        self._meet(offering)
        return self._scenery.publish(self)

    def _meet(self, offering: End) -> None:
        self.other, offering.other = offering, self
        self.channel, offering.channel = memory_channel_pair()

    async def accept_answer(self, answer: str) -> None:
        assert self.other is self._scenery.ends[int(answer)]
        for end in (self, self.other):
            end._met.set()

    async def reach(self) -> None:
        await self._met.wait()
        assert self.other is not None
        if self.other.is_closed:
            await trio.sleep_forever()

    async def open(self) -> Channel:
        assert self.other is not None
        assert self.channel is not None
        await self._process.work(END_SECONDS)
        self._ready.set()
        await self.other._ready.wait()
        vars(self.channel)["host"] = "192.0.2.1"
        return self.channel


class ParentLink:
    """The root's link to a parent, which answers join requests."""

    def __init__(self, nursery: trio.Nursery, parent: Parent, root: Placement) -> None:
        self._nursery = nursery
        self._parent = parent
        self._root = root

    async def send(self, join: messages.Message) -> None:
        assert isinstance(join, messages.Join)
        self._nursery.start_soon(self._answer, join)

    async def _answer(self, join: messages.Join) -> None:
        parent = self._parent
        offer = await parent.placement.find_parent_slot(join.origin, join.offer)
        self._root.offered(parent.child, offer)


class Parent:
    """A parent below the root, in a process that it shares with others."""

    child: Child

    def __init__(self, number: int) -> None:
        self.node = number.to_bytes(8, "big")
        self.placement = Placement(Overlay(self.node, degree=ORPHANS), Counter())
        self.answerer = Answerer(self._serve)
        self.placement.answer_offer = self.answerer.answer

    async def _serve(self, channel: Channel, visitor: Visitor) -> None:
        await channel.send(messages.encode(messages.Welcome(self.node)))
        await trio.sleep_forever()


class Identity:
    """What an orphan proves itself with: here nobody doubts it."""

    identifier = b""

    async def join_parent(self, channel: Channel, *arguments: object) -> Channel:
        return channel


class Session:
    port, addresses, ice_servers, protocol = 0, (), (), "webrtc"

    def hello(self, name: str) -> messages.Hello:
        return messages.Hello(name)


class Scenery:
    """The root, its children, and the orphans that come to it all at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ends: list[End] = []
        self.tries = self.beyond_degree = 0
        self._all_again = trio.Event()
        self.again: list[float] = []
        self.processes = [Process() for _ in range(PROCESSES)]
        self._here = self.processes[0]
        counters: Counter[str] = Counter()
        self.root = Placement(Overlay(ROOT, degree=PARENTS), counters)
        nothing: Any = None
        self.admission = Admission(nothing, nothing, self.root, nothing, counters)
        monkeypatch.setattr(answerer, "shared_turns", lambda: self._here.turns)
        monkeypatch.setattr(connection, "open_connection", self.connect)

    def publish(self, end: End) -> str:
        self.ends.append(end)
        return str(len(self.ends) - 1)

    @asynccontextmanager
    async def connect(self, servers: object) -> AsyncIterator[End]:
        end = End(self, PROCESS.get())
        try:
            yield end
        finally:
            end.is_closed = True

    async def run(self, seconds: float) -> None:
        """Let all orphans look for a parent, for so long."""
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                for number in range(1, PARENTS + 1):
                    await self._start_parent(nursery, number)
                for number in range(ORPHANS):
                    nursery.start_soon(self._be_orphan, 1000 + number, nursery)
                await self._all_again.wait()
                nursery.cancel_scope.cancel()

    async def _start_parent(self, nursery: trio.Nursery, number: int) -> None:
        self._here = process = self.processes[number % PROCESSES]
        parent = Parent(number)
        link: Any = ParentLink(nursery, parent, self.root)
        parent.child = Child(parent.node, f"parent {number}", True, True, link)
        self.root.connected(parent.child)
        vars(parent.answerer)["_connect"] = self._in_process(process, parent.answerer)
        nursery.start_soon(parent.answerer.run)

    def _in_process(self, process: Process, of: Answerer) -> Any:
        """An answerer's way to connect, with connections of its process."""
        connect = Answerer._connect

        async def connect_here(offer: str, turn: Any, task_status: Any) -> None:
            opened = PROCESS.set(process)
            try:
                await connect(of, offer, turn, task_status)
            finally:
                PROCESS.reset(opened)

        return connect_here

    async def _be_orphan(self, number: int, nursery: trio.Nursery) -> None:
        PROCESS.set(self.processes[number % PROCESSES])
        node = number.to_bytes(8, "big")
        joiner = Volunteer("http://192.0.2.7:5000/", VolunteerOptions(), print)._joiner
        identity: Any = Identity()
        joiner._identity = identity
        vars(joiner)["_compute"] = self._compute_below
        vars(joiner)["_compute_for_root"] = self._compute_for_root
        told = messages.RunInfo(2, node, "run", "square", b"")
        session: Any = Session()
        backoff = Backoff(0.0)
        while True:
            ours, theirs = memory_channel_pair()
            try:
                nursery.start_soon(self._admit, KeepaliveChannel(theirs), node)
                await joiner.join(session, KeepaliveChannel(ours), told)
            except ChannelClosedError:
                await trio.sleep(backoff.next_pause(trio.current_time()))

    async def _compute_for_root(self, *arguments: object) -> bool:
        self.beyond_degree += 1
        return await self._compute_below()

    async def _compute_below(self, *arguments: object) -> bool:
        self.again.append(trio.current_time())
        if len(self.again) == ORPHANS:
            self._all_again.set()
        await trio.sleep_forever()
        raise AssertionError

    async def _admit(self, link: KeepaliveChannel, node: bytes) -> None:
        try:
            ready = await link.receive()
            assert isinstance(ready, messages.Ready)
            if await self.admission._place(link, node, ready.offer, stays=False):
                await link.send(messages.Welcome(ROOT))
        except ChannelClosedError:
            pass
        finally:
            if node not in self.root.overlay.candidates:
                await link.aclose()


async def test_two_hundred_orphans_have_parents_again_in_the_time_that_connecting_costs(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenery = Scenery(monkeypatch)
    await scenery.run(1000.0)
    assert len(scenery.again) == ORPHANS
    assert max(scenery.again) <= 1.1 * LEAST_SECONDS
    assert scenery.tries <= 1.1 * ORPHANS
    assert scenery.beyond_degree == 0


async def test_without_turns_they_would_keep_each_other_from_it(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All tries are slow, run into their limits together, and begin anew together.

    In the end all are children of the root, which has not asked for them: the tree is lost.
    """
    monkeypatch.setattr(turns, "FIRST_UNCONNECTED", 10 * ORPHANS)
    monkeypatch.setattr(turns, "LEAST_UNCONNECTED", 10 * ORPHANS)
    scenery = Scenery(monkeypatch)
    await scenery.run(1000.0)
    assert scenery.tries > 2 * ORPHANS
    assert scenery.beyond_degree > ORPHANS / 2
