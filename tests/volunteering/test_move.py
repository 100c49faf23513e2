"""A parent takes no children any more: its child finds another place, and then leaves it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from pando import messages, values
from pando.channel import Channel, ChannelClosedError, memory_channel_pair
from pando.errors import PandoError, WorkerError
from pando.net.keepalive import KeepaliveChannel
from pando.net.trust.identity import NodeIdentity
from pando.volunteering import Volunteer, VolunteerOptions, below
from pando.volunteering.device import LEAVE_SECONDS
from pando.volunteering.session import GOODBYE_SECONDS, LEAVE_PARENT_SECONDS, Session

from ..tree.workers import FakeWorker

NODE = bytes(range(8))
ROOT = bytes(8)
RUN = messages.RunInfo(messages.VERSION, NODE, "a run", "square", b"", delegates=False)
ITEM_SECONDS = 0.4
SLOW = 100
"""An item that takes longer than leaving a parent may."""


class Pool:
    """One worker, which squares."""

    def __init__(self, function: object, count: int, serve: Any, **options: object) -> None:
        self._serve = serve

    async def run(self, failed: object) -> None:
        ours, theirs = memory_channel_pair()
        worker = FakeWorker(theirs, lambda item: ITEM_SECONDS * (item if item == SLOW else 1))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker.run)
            await self._serve(ours, "worker 1")


class End:
    """The other end of one of the node's links: it says something, and notes what it hears."""

    def __init__(self, scene: Scene, name: str) -> None:
        self._scene = scene
        self._name = name
        self.channel, theirs = memory_channel_pair()
        self.link = KeepaliveChannel(theirs)
        self.results: list[Any] = []

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.link.run)
            try:
                while True:
                    self._hear(await self.link.receive())
            except ChannelClosedError:
                self._scene.note(f"{self._name} is closed")
            nursery.cancel_scope.cancel()

    def _hear(self, message: messages.Message) -> None:
        if isinstance(message, messages.Results):
            self.results += values.decode(message.values)
        elif not isinstance(message, messages.Update | messages.Capacity):
            self._scene.note(f"{type(message).__name__} to {self._name}")

    async def say(self, *said: messages.Message) -> None:
        for message in said:
            await self.link.send(message)

    async def lend(self, lease: int, *items: int) -> None:
        await self.say(messages.Lend(lease, msgspec.Raw(values.encode(list(items)))))


class Scene:
    """A node, a root that it can ask, and parents at addresses; what happens, in order.

    Attributes:
        connects: called when it connects to the root.
    """

    def __init__(self) -> None:
        self.log: list[str] = []
        self.ends: dict[str, End] = {}
        self.nursery: trio.Nursery
        self.volunteer: Volunteer
        self.session: Session
        self.ended: list[bool] = []
        self._opened = trio.Event()
        self.connects: Callable[[], None] = lambda: None

    def note(self, what: str) -> None:
        self.log.append(what)

    async def meet(self, name: str) -> End:
        """The other end of the link of this name, once it is there."""
        while name not in self.ends:
            await self._opened.wait()
        return self.ends[name]

    def _open(self, name: str) -> End:
        self.ends[name] = end = End(self, name)
        self.nursery.start_soon(end.run)
        self._opened.set()
        self._opened = trio.Event()
        return end

    @asynccontextmanager
    async def connect_to_root(self, hello: bytes) -> AsyncIterator[KeepaliveChannel]:
        self.connects()
        end = self._open(f"root {sum(name.startswith('root') for name in self.ends) + 1}")
        async with closing(end.channel):
            yield KeepaliveChannel(end.channel)

    @asynccontextmanager
    async def connect_to_parent(self, address: str) -> AsyncIterator[Channel]:
        end = self._open(address)
        await end.say(messages.Welcome(bytes(8)))
        async with closing(end.channel):
            yield end.channel

    async def sends(self, root: str, address: str) -> End:
        """Let the root send the node to a parent; returns the parent's end of their link."""
        end = await self.meet(root)
        await end.say(RUN, messages.Redirect(bytes([1] * 8), [address], "a ticket"))
        return await self.meet(address)


@asynccontextmanager
async def closing(channel: Channel) -> AsyncIterator[None]:
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):
            await channel.aclose()


async def join_parent(channel: Channel, *arguments: object) -> Channel:
    return channel


@asynccontextmanager
async def joined(
    monkeypatch: pytest.MonkeyPatch, *, goes_on: bool = False
) -> AsyncIterator[tuple[Scene, End]]:
    """A node below a parent, and that parent's end of their link.

    Args:
        monkeypatch: replaces how it connects.
        goes_on: whether it joins again after a stay; an error that ends it is noted.
    """
    scene = Scene()
    monkeypatch.setattr(below.websocket, "connect", scene.connect_to_parent)
    volunteer = Volunteer("http://192.0.2.7:5000/", VolunteerOptions(), print)
    identity: Any = SimpleNamespace(identifier=NODE, join_parent=join_parent, root_signing_key=b"")
    root: Any = SimpleNamespace(connect=scene.connect_to_root)
    for part in (volunteer, volunteer._joiner):
        part._identity, part._root = identity, root
    session = Session(RUN, "device", 1, Pool, NodeIdentity(), scene.connect_to_root)
    await session.prepare(install=False, say=print)

    async def stay() -> None:
        if goes_on:
            try:
                await volunteer.run()
            except PandoError as problem:
                scene.note(str(problem))
            return
        scene.ended.append(await volunteer._stay(scene.nursery))
        scene.note("the stay has ended")

    async with trio.open_nursery() as scene.nursery:
        await scene.nursery.start(session.run)
        volunteer._session = scene.session = session
        scene.volunteer = volunteer
        session.find_other = lambda: volunteer._moves.begin(session, scene.nursery)
        scene.nursery.start_soon(stay)
        parent = await scene.sends("root 1", "first")
        await trio.sleep(0.1)
        scene.log.clear()
        yield scene, parent
        scene.nursery.cancel_scope.cancel()


async def test_it_has_the_new_place_before_it_leaves_the_old_one_and_delivers_what_runs(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with joined(monkeypatch) as (scene, parent):
        await parent.lend(1, 2, 3)
        await parent.say(messages.Leave())
        new = await scene.sends("root 2", "second")
        await new.lend(1, 5)
        await trio.sleep(5)
        assert scene.log[:2] == ["Ready to root 2", "Joined to root 2"]
        assert scene.log[-2:] == ["Leave to first", "first is closed"]
        assert "ReturnItems to first" in scene.log[2:-2]
        assert (parent.results, new.results) == ([4], [25])
        assert scene.session.results == 2
        await new.say(messages.RunEnded(2))
        await trio.sleep(1)
        assert scene.ended == [True]


async def test_while_it_looks_for_another_place_it_computes_for_its_parent(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with joined(monkeypatch) as (scene, parent):
        await parent.say(messages.Leave())
        for lease in range(5):
            await parent.lend(lease, lease)
            await trio.sleep(1)
        assert scene.log == []  # the root has not answered
        assert parent.results == [0, 1, 4, 9, 16]


async def test_an_item_that_takes_long_is_not_waited_for(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with joined(monkeypatch) as (scene, parent):
        await parent.lend(1, SLOW)
        await parent.say(messages.Leave())
        await scene.sends("root 2", "second")
        await trio.sleep(LEAVE_PARENT_SECONDS + 0.1)
        assert scene.log[-2:] == ["Leave to first", "first is closed"]
        assert scene.ended == []


async def test_who_leaves_for_good_says_goodbye_though_an_item_takes_long(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with joined(monkeypatch) as (scene, parent):
        await parent.lend(1, SLOW, 2)
        await trio.sleep(0.1)
        began = trio.current_time()
        await scene.volunteer.leave()
        assert trio.current_time() - began <= LEAVE_SECONDS + GOODBYE_SECONDS
        await trio.sleep(0.1)
        assert scene.log == ["ReturnItems to first", "Leave to first"]


async def test_it_may_move_again_and_the_stay_goes_on(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with joined(monkeypatch) as (scene, parent):
        for number, name in enumerate(["second", "third", "fourth"], 2):
            await parent.say(messages.Leave())
            parent = await scene.sends(f"root {number}", name)
            await parent.lend(1, number)
            await trio.sleep(3)
            assert parent.results == [number**2]
        assert scene.log[-1] == "third is closed"
        assert scene.ended == []
        await parent.link.aclose()
        await trio.sleep(3)
        assert scene.ended == [False]


async def test_the_root_itself_may_be_the_next_parent(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with joined(monkeypatch) as (scene, parent):
        await parent.say(messages.Leave())
        root = await scene.meet("root 2")
        await root.say(RUN, messages.Welcome(ROOT))
        await root.lend(1, 6)
        await trio.sleep(3)
        assert scene.log == ["Ready to root 2", "Leave to first", "first is closed"]
        assert root.results == [36]


@pytest.mark.parametrize("why", ["away", "another run", "refused"])
async def test_where_there_is_no_other_place_it_keeps_the_one_that_it_has(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    def is_away() -> None:
        raise ChannelClosedError("nobody is there")

    async with joined(monkeypatch) as (scene, parent):
        if why == "away":
            scene.connects = is_away
        await parent.say(messages.Leave())
        if why != "away":
            root = await scene.meet("root 2")
            other = msgspec.structs.replace(RUN, run="another run")
            await root.say(other if why == "another run" else messages.JoinRejected("no"))
        await trio.sleep(3)
        await parent.lend(1, 7)
        await trio.sleep(3)
        assert parent.results == [49]
        assert scene.ended == []
        # It may ask again.
        scene.connects = lambda: None
        await parent.say(messages.Leave())
        new = await scene.sends("root 2" if why == "away" else "root 3", "second")
        await new.lend(1, 8)
        await trio.sleep(3)
        assert new.results == [64]


async def test_a_parent_that_is_lost_meanwhile_ends_the_stay_and_the_search(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with joined(monkeypatch) as (scene, parent):
        await parent.say(messages.Leave())
        await scene.meet("root 2")
        await parent.link.aclose()
        await trio.sleep(3)
        assert scene.ended == [False]
        assert "root 2 is closed" in scene.log
        assert "Leave to first" not in scene.log


async def test_a_run_that_ends_meanwhile_is_over(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with joined(monkeypatch) as (scene, parent):
        await parent.say(messages.Leave())
        await scene.meet("root 2")
        await parent.say(messages.RunEnded(3))
        await trio.sleep(3)
        assert scene.ended == [True]


@pytest.mark.parametrize("moves", [False, True], ids=["first place", "next place"])
async def test_workers_that_fail_end_the_volunteer_with_their_error(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch, moves: bool
) -> None:
    async with joined(monkeypatch, goes_on=True) as (scene, parent):
        if moves:
            await parent.say(messages.Leave())
            await scene.sends("root 2", "second")
            await trio.sleep(3)
        scene.session._fail(WorkerError("the workers keep crashing"))
        await trio.sleep(3)
        assert "the workers keep crashing" in scene.log
