"""A run on a clock that jumps, in which a parent is killed: whole volunteers, links in memory.

Whoever is killed says nothing any more: all that it has sent and that has not arrived is lost, its
links are broken or silent, nobody can connect to it, and its tasks are cancelled.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from unittest import mock

import trio
import trio.testing

from pando import messages
from pando.channel import Channel, ChannelClosedError
from pando.net import websocket
from pando.net.visitor import Visitor
from pando.net.webrtc import availability, connection
from pando.running.inputs import open_source
from pando.running.value_codec import ValueCodec
from pando.scheduler import Window
from pando.tree.job import Job
from pando.tree.membership import Membership
from pando.tree.node import Node
from pando.tree.overlay import Overlay
from pando.volunteering import Volunteer, VolunteerOptions
from pando.volunteering.session import Session

from ..tree.faults import FaultyLink, Network, Welcome
from ..tree.test_admission import open_identity
from ..tree.test_faults import FakePool, Ignored
from ..tree.test_node import all_results
from .stages import GRANDPARENT, JOINING, PARENT, Stage, plant

ROOT = "root"
BROKEN, SILENT = "broken", "silent"
ITEMS = list(range(40))
PACE = 0.5
PART_BYTES = 4
BOOTSTRAP_SECONDS = 20.0
PATIENCE_SECONDS = 2000.0
who: ContextVar[str] = ContextVar("who", default="")
"""Whose task is running."""


@contextmanager
def acting(name: str) -> Iterator[None]:
    token = who.set(name)
    try:
        yield
    finally:
        who.reset(token)


class Switchboard(Network):
    """A network that knows whose each link is, and can kill a node.

    Attributes:
        data_channels: the ends of WebRTC connections that are not closed, with their owners.
    """

    def __init__(self) -> None:
        super().__init__(random.Random(1), delay=0.002)
        self.data_channels: list[DataEnd] = []
        self._owners: list[tuple[FaultyLink, str, str]] = []
        self._listeners: dict[str, str] = {}
        self._dead: dict[str, str] = {}

    def listen(self, welcome: Welcome, nursery: trio.Nursery) -> int:
        owner = who.get()

        async def greet(channel: Channel, visitor: Visitor) -> None:
            with acting(owner):
                await welcome(channel, visitor)

        port = super().listen(greet, nursery)
        self._listeners[f"net:{port}"] = owner
        return port

    @asynccontextmanager
    async def connect(
        self, address: str, *, tls: object = None, fingerprint: str = ""
    ) -> AsyncIterator[Channel]:
        owner = self._listeners.get(address, "")
        if self._dead.get(owner) == SILENT:
            with trio.move_on_after(websocket.CONNECT_SECONDS):
                await trio.sleep_forever()
            raise ChannelClosedError(f"{address} does not answer")
        if owner in self._dead:
            raise ChannelClosedError(f"{address} cannot be reached")
        async with super().connect(address) as channel:
            self.own(self.links[-1], who.get(), owner)
            yield channel

    def own(self, link: FaultyLink, *owners: str) -> None:
        """Note whose the ends of a link are."""
        self._owners.append((link, owners[0], owners[1]))
        for owner in owners:
            if owner in self._dead:
                self._cut(link, self._dead[owner])

    def link_ends(self) -> list[str]:
        """Return whose the ends of links are that their owners have not closed."""
        ends = [
            (owner, end)
            for link, *owners in self._owners
            for owner, end in zip(owners, link.ends, strict=True)
        ]
        return sorted(owner for owner, end in ends if not end.is_closed)

    def is_dead(self, name: str) -> bool:
        return name in self._dead

    def kill(self, name: str, how: str) -> None:
        """Let nothing that a node says arrive any more."""
        self._dead[name] = how
        for link, *owners in self._owners:
            if name in owners:
                self._cut(link, how)

    def _cut(self, link: FaultyLink, how: str) -> None:
        if how == BROKEN:
            link.lose()
        else:
            link.vanish()

    # ---- WebRTC ----

    @asynccontextmanager
    async def open_connection(self, servers: Sequence[object] = ()) -> AsyncIterator[DataEnd]:
        """What `pando.net.webrtc.connection.open_connection` does, here."""
        end = DataEnd(self, len(self.data_channels), who.get())
        self.data_channels.append(end)
        try:
            yield end
        finally:
            await end.aclose()

    def data_ends(self) -> list[str]:
        """Return whose the ends are that are not closed."""
        return [end.owner for end in self.data_channels if end is not _CLOSED]


class DataEnd:
    """One end of a WebRTC connection; what `pando.net.webrtc.connection.Connection` is, here.

    A step to the open channel is done when the other end has begun it, too. Nobody is told when
    the other end is gone: UDP has no end.
    """

    def __init__(self, network: Switchboard, number: int, owner: str) -> None:
        self.number = number
        self.owner = owner
        self.channel: Any = None
        self._network = network
        self._other: DataEnd | None = None
        self._begun: set[str] = set()
        self._changed = trio.Event()

    async def make_offer(self) -> str:
        await trio.sleep(0.01)
        return f"offer {self.number}"

    async def make_answer(self, offer: str) -> str:
        await trio.sleep(0.01)
        return f"answer {self.number}"

    async def accept_answer(self, answer: str) -> None:
        await trio.sleep(0.01)
        other = self._network.data_channels[int(answer.split()[1])]
        if other is _CLOSED:
            return
        link = FaultyLink(random.Random(1), delay=0.002)
        self._network.own(link, self.owner, other.owner)
        for end, channel in zip((self, other), link.ends, strict=True):
            vars(channel).update(kind="webrtc", host="net", binding=answer.encode())
            end.channel = channel
        self._other, other._other = other, self
        other._changed.set()

    async def aclose(self) -> None:
        self._network.data_channels[self.number] = _CLOSED
        if self.channel is not None:
            await self.channel.aclose()

    async def reach(self) -> None:
        await self.check()

    async def open(self) -> Any:
        await self.encrypt()
        await self.begin()
        return self.channel

    async def check(self) -> None:
        """Find a pair of addresses that works."""
        await self._step("check")

    async def encrypt(self) -> None:
        """Prove the certificates by DTLS."""
        await self._step("encrypt")

    async def begin(self) -> None:
        """Open the data channel, which both ends have."""
        await self._step("begin")

    async def _step(self, step: str) -> None:
        await trio.sleep(0.01)
        self._begun.add(step)
        if self._other is not None:
            self._other._changed.set()
        while not self._is_answered(step):
            self._changed = trio.Event()
            await self._changed.wait()

    def _is_answered(self, step: str) -> bool:
        other = self._other
        return other is not None and step in other._begun and not self._network.is_dead(other.owner)


_CLOSED = DataEnd.__new__(DataEnd)


@dataclass(frozen=True)
class End:
    """What there is when the results are there and all time limits are over.

    Attributes:
        children: the children of the root, and of the grandparent.
        link_ends: whose the ends of links are that are not closed, data channels included.
        data_ends: whose the ends of WebRTC connections are that are not closed.
        kept: places, tickets and questions for those who are not there, at either of the two.
        tasks: how many tasks of each name the root has, and the joining node.
    """

    children: list[bytes]
    link_ends: list[str]
    data_ends: list[str]
    kept: list[object]
    tasks: Counter[str]


class World:
    """A root, a parent below it or below a grandparent, and a node that joins there.

    Args:
        stage: when the parent is killed; None where it never is.
        how: whether its links break or are silent.
        depth: the length of the chain above the joining node: 2 where its parent's parent is
            another node than the root.
        protocol: how the joining node connects.
        waits: whether the node joins only when the parent has been killed, which was joining
            itself.

    Attributes:
        killed_at: when the parent was killed.
        computes: whose child each node became, and when.
        end: what there is when the results are there and all time limits are over.
    """

    def __init__(
        self,
        stage: Stage | None,
        how: str = BROKEN,
        *,
        depth: int = 1,
        protocol: str = "websocket",
        waits: bool = False,
    ) -> None:
        self.stage = stage
        self.how = how
        self.depth = depth
        self.protocol = protocol
        self.waits = waits
        self.network = Switchboard()
        self.killed_at: float | None = None
        self.computes: list[tuple[str, bytes, float]] = []
        self.end: End
        self.sessions: dict[str, Session] = {}
        self.root: Membership
        self._scopes: dict[str, trio.CancelScope] = {}
        self._nurseries: dict[str, trio.Nursery] = {}

    def acting(self) -> str:
        """Return whose task is running; the root is the grandparent where nobody else is."""
        name = who.get()
        return GRANDPARENT if name == ROOT and self.depth == 1 else name

    async def play(self) -> list[Any]:
        """Return the results of the run."""
        node, identifier = Node(ValueCodec()), random.Random(7).randbytes(messages.ID_BYTES)
        self.root = Membership.of_root(
            node,
            Overlay(identifier, degree=1, timeout=BOOTSTRAP_SECONDS),
            Ignored(),
            open_identity(),
            messages.RunInfo(
                messages.VERSION,
                b"",
                "run",
                "square",
                b"function",
                degree=1,
                bootstrap_timeout=BOOTSTRAP_SECONDS,
                protocol="auto",
            ),
            ids=random.Random(11),
        )
        results: list[Any] = []
        async with trio.open_nursery() as everything, trio.open_nursery() as nursery:
            with acting(ROOT):
                self._nurseries[ROOT] = nursery
                self.network.listen(self.root.handle_connection, nursery)
                nursery.start_soon(self.root.expire_candidates)
                nursery.start_soon(node.balance_forever)
                job = Job(open_source(ITEMS), node.lending.new_lender(), Window())
                node.open_job(job)
            if self.stage is not None:
                plant(self.stage, self.acting, self._kill, patch_method)
            if self.depth == 2:
                await self._join(everything, GRANDPARENT)
            if self.stage is not None:
                await self._join(everything, PARENT)
            self._start(everything, JOINING)
            with trio.fail_after(PATIENCE_SECONDS):
                results = await all_results(node, job)
            await trio.sleep(5 * BOOTSTRAP_SECONDS)
            self.end = self._look()
            everything.cancel_scope.cancel()
        return results

    async def _join(self, everything: trio.Nursery, name: str) -> None:
        self._start(everything, name)
        while not any(each == name for each, _, _ in self.computes):
            await trio.sleep(0.1)
            if self.killed_at is not None and self.waits:
                return

    def _start(self, everything: trio.Nursery, name: str) -> None:
        with acting(name):
            everything.start_soon(self._volunteer, name)

    async def _volunteer(self, name: str) -> None:
        protocol = self.protocol if name == JOINING else "auto"
        volunteer = Volunteer(
            "http://net:5000/#",
            VolunteerOptions(workers=1, name=name, protocol=protocol),
            lambda text: None,
            make_pool=self._make_pool,
        )
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                self._scopes[name], self._nurseries[name] = scope, nursery
                nursery.start_soon(volunteer.run)

    def _make_pool(self, function: bytes, count: int, serve: Any, **options: object) -> FakePool:
        return FakePool(count, serve, PACE)

    async def open_door(self, session: Session, nursery: trio.Nursery) -> None:
        """What `Session._accept_children` does, in this network."""
        session.port = self.network.listen(session.membership.handle_connection, nursery)
        self.sessions[who.get()] = session

    def note_parent(self, parent: bytes) -> None:
        self.computes.append((who.get(), parent, trio.current_time()))

    def _look(self) -> End:
        memberships = [self.root]
        if GRANDPARENT in self.sessions:
            memberships.append(self.sessions[GRANDPARENT].membership)
        return End(
            children=[child.node for each in memberships for child in each.children],
            link_ends=self.network.link_ends(),
            data_ends=self.network.data_ends(),
            kept=[kept for each in memberships for kept in find_kept(each)],
            tasks=Counter(
                f"{name}: {task}"
                for name in (ROOT, JOINING)
                for task in tasks_in(self._nurseries[name])
            ),
        )

    def _kill(self) -> None:
        self.killed_at = trio.current_time()
        self.network.kill(PARENT, self.how)
        self._scopes[PARENT].cancel()


def find_kept(membership: Membership) -> list[object]:
    """Return the places, tickets and questions at a node that are for nobody who is there."""
    placement = membership.placement
    waiting = [*placement.overlay.candidates, *placement.overlay._waiting]
    asked = [*placement._tickets, *placement._offers, *placement._decisions]
    return [*waiting, *asked, *["joining"] * membership.joining]


def tasks_in(nursery: trio.Nursery) -> Iterator[str]:
    """Yield the names of all tasks in a nursery and in the nurseries of these."""
    for task in nursery.child_tasks:
        yield task.name.rpartition(".")[2]
        for below in task.child_nurseries:
            yield from tasks_in(below)


patches = ExitStack()


def patch_method(kind: object, name: str, method: object) -> None:
    patches.enter_context(mock.patch.object(kind, name, method))


def play(world: World) -> list[Any]:
    """Play a world on a clock that jumps, and give its results."""
    compute_for = Session.compute_for

    async def noting(session: Session, link: Any, parent: bytes) -> bool:
        world.note_parent(parent)
        return await compute_for(session, link, parent)

    async def open_door(session: Session, nursery: trio.Nursery) -> None:
        await world.open_door(session, nursery)

    replaced: list[tuple[object, str, Callable[..., Any]]] = [
        (websocket, "connect", world.network.connect),
        (connection, "open_connection", world.network.open_connection),
        (availability, "is_available", lambda: True),
        (Session, "_accept_children", open_door),
        (Session, "compute_for", noting),
        (random, "uniform", random.Random(1).uniform),
    ]
    with patches:
        for kind, name, method in replaced:
            patch_method(kind, name, method)
        patches.enter_context(mock.patch.object(messages, "PART_BYTES", PART_BYTES))
        trio._core._run._r.seed(1)
        return list(trio.run(world.play, clock=trio.testing.MockClock(autojump_threshold=0)))
