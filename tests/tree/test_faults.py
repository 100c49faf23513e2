"""Nodes over links with faults: whatever happens, nothing is lost, doubled or reordered.

Whole volunteers take part, with all that they are made of but sockets and processes, on a clock
that jumps. What happens comes from a seed, which is in the name of the test, and replays.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any
from unittest import mock

import msgspec
import pytest
import trio
import trio.testing

from pando import messages, values
from pando.channel import ChannelClosedError, MessageChannel, memory_channel_pair
from pando.net import websocket
from pando.net.keepalive import KeepaliveChannel
from pando.running.inputs import open_source
from pando.running.value_codec import ValueCodec
from pando.scheduler import Borrower, Window
from pando.tree.child import Child
from pando.tree.job import Job
from pando.tree.membership import Membership
from pando.tree.node import Node
from pando.tree.overlay import Overlay
from pando.volunteering import Volunteer, VolunteerOptions
from pando.volunteering.session import Session

from .faults import FaultyLink, Network
from .test_admission import open_identity
from .test_node import all_results
from .workers import FakeWorker

PEACE_SECONDS = 60.0
"""When nothing happens any more."""
PATIENCE_SECONDS = 40_000.0
"""More than the slowest volunteer takes alone for all items."""
RUN = "run"


class FakePool:
    """Workers that square, each item in a time that the item and the worker decide."""

    def __init__(
        self, count: int, serve: Callable[[MessageChannel, str], Awaitable[Any]], pace: float
    ):
        self._count = count
        self._serve = serve
        self._pace = pace

    async def run(self, failed: Callable[[Exception], None]) -> None:
        async with trio.open_nursery() as nursery:
            for number in range(self._count):
                ours, theirs = memory_channel_pair()
                worker = FakeWorker(theirs, lambda item: self._pace * (1 + item % 5))
                nursery.start_soon(self._serve, ours, f"worker {number}")
                nursery.start_soon(worker.run)


class Ignored:
    """Events of the root's membership that nobody wants to know of."""

    def on_joined(self, child: Child) -> None: ...

    def on_left(self, child: Child, borrower: Borrower) -> None: ...

    def on_load_failed(self, name: str, host: str, reason: str) -> None: ...

    def on_function_unavailable(self, reason: str) -> None: ...

    def on_not_admitted(self, host: str, reason: str) -> None: ...


class Scenario:
    """A run and all that happens to it.

    Attributes:
        trace: what has happened and when, to compare one time with another.
    """

    def __init__(self, seed: int) -> None:
        self.chance = chance = random.Random(seed)
        self.items = list(range(chance.choice([1, 40, 300])))
        self.volunteers = chance.randrange(1, 9)
        self.degree = chance.randrange(1, 4)
        self.pace = chance.choice([0.0001, 0.01, 0.3, 1.0])
        self.faults_per_second = chance.choice([0.1, 0.5, 2.0])
        self.trace: list[tuple[float, str]] = []
        self.network = Network(chance, chance.choice([0.0, 0.05, 1.0]))
        self._scopes: list[tuple[Volunteer, trio.CancelScope]] = []
        self._works: list[Session] = []

    def note(self, what: str) -> None:
        self.trace.append((trio.current_time(), what))

    async def play(self) -> list[Any]:
        """The results of the whole run."""
        node = Node(ValueCodec())
        identifier = self.chance.randbytes(messages.ID_BYTES)
        membership = Membership.of_root(
            node,
            Overlay(identifier, degree=self.degree, timeout=20),
            Ignored(),
            open_identity(),
            messages.RunInfo(messages.VERSION, b"", RUN, "square", b"function", degree=self.degree),
            ids=self.chance,
        )
        async with trio.open_nursery() as nursery:
            self.network.listen(membership.handle_connection, nursery)
            nursery.start_soon(membership.expire_candidates)
            nursery.start_soon(node.balance_forever)
            job = Job(open_source(self.items), node.lending.new_lender(), Window())
            node.open_job(job)
            for number in range(self.volunteers):
                nursery.start_soon(self._take_part, f"volunteer {number}")
            nursery.start_soon(self._make_trouble, nursery, node)
            with trio.fail_after(PATIENCE_SECONDS):
                results = await all_results(node, job)
            self.note(f"{len(results)} results")
            await self._end(membership)
            nursery.cancel_scope.cancel()
        return results

    async def _end(self, membership: Membership) -> None:
        """What happens when all results are there: here nothing."""

    async def _take_part(self, name: str) -> None:
        """A volunteer, and one in its place when it has crashed or left."""
        while True:
            await trio.sleep(self.chance.uniform(0, 5))
            options = VolunteerOptions(workers=self.chance.choice([1, 1, 3]), name=name)
            volunteer = Volunteer(
                "http://net:5000/#", options, lambda text: None, make_pool=self._make_pool
            )
            with trio.CancelScope() as scope:
                self._scopes.append((volunteer, scope))
                await volunteer.run()
            self.note(f"{name} has ended")

    def _make_pool(self, function: bytes, count: int, serve: Any, **options: object) -> FakePool:
        return FakePool(count, serve, self.pace * self.chance.choice([1, 1, 10]))

    async def open_door(self, work: Session, nursery: trio.Nursery) -> None:
        """What `Session._accept_children` does, in this network."""
        work.port = self.network.listen(work.membership.handle_connection, nursery)
        self._works.append(work)

    async def _make_trouble(self, nursery: trio.Nursery, root: Node) -> None:
        while trio.current_time() < PEACE_SECONDS:
            await trio.sleep(self.chance.expovariate(self.faults_per_second))
            await self._make_some_trouble(nursery)
            for node in (root, *(work.node for work in self._works)):
                for job in node.lending.jobs:
                    job.lender.validate_state()

    async def _make_some_trouble(self, nursery: trio.Nursery) -> None:
        links, chance = self.network.links, self.chance
        kind = chance.choice(["lose", "vanish", "half-close", "stall", "stall", "crash", "leave"])
        self.note(kind)
        if kind in ("crash", "leave") and self._scopes:
            volunteer, scope = self._scopes.pop(chance.randrange(len(self._scopes)))
            if kind == "leave":
                await volunteer.leave()
            scope.cancel()
        elif links:
            link = chance.choice(links)
            if kind == "lose":
                link.lose()
            elif kind == "vanish":
                link.vanish()
            elif kind == "half-close":
                link.half_close(chance.randrange(2))
            else:
                link.stall(chance.randrange(2), chance.uniform(0, 20))


def play(seed: int, kind: type[Scenario] = Scenario) -> tuple[Scenario, list[Any]]:
    """One scenario on a clock that jumps, with all that is left to chance decided by the seed."""
    scenario = kind(seed)
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(websocket, "connect", scenario.network.connect))
        stack.enter_context(
            mock.patch.object(
                Session, "_accept_children", lambda *given: scenario.open_door(*given)
            )
        )
        stack.enter_context(mock.patch.object(random, "uniform", random.Random(seed).uniform))
        trio._core._run._r.seed(seed)
        results = trio.run(scenario.play, clock=trio.testing.MockClock(autojump_threshold=0))
    return scenario, results


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_lost_doubled_or_reordered(seed: int) -> None:
    scenario, results = play(seed)
    assert results == [item * item for item in scenario.items]


@pytest.mark.parametrize("seed", [3, 17])
def test_a_seed_replays_identically(seed: int) -> None:
    (one, results), (other, again) = play(seed), play(seed)
    assert results == again
    assert one.trace == other.trace
    assert len(one.trace) > 3


# ---- one link ----


async def receive_all(channel: MessageChannel) -> list[int]:
    """The numbers that come until the channel's end."""
    numbers: list[int] = []
    try:
        while True:
            message = await channel.receive()
            assert isinstance(message, messages.Capacity)
            numbers.append(message.workers)
    except ChannelClosedError:
        return numbers


async def send_numbers(channel: MessageChannel, count: int) -> None:
    for number in range(count):
        await channel.send(messages.Capacity(number))


async def test_messages_come_in_order_and_each_in_its_time(autojump_clock: Any) -> None:
    link = FaultyLink(random.Random(1), delay=2.0)
    here, there = map(KeepaliveChannel, link.ends)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_numbers, here, 50)
        for number in range(50):
            assert await there.receive() == messages.Capacity(number)
    assert 2.0 < trio.current_time() < 100.0


async def test_what_is_under_way_when_a_link_is_lost_is_lost(autojump_clock: Any) -> None:
    link = FaultyLink(random.Random(1), delay=10.0)
    here, there = map(KeepaliveChannel, link.ends)
    await send_numbers(here, 5)
    link.lose()
    assert await receive_all(there) == []
    with pytest.raises(ChannelClosedError):
        await here.send(messages.Capacity(1))


async def test_a_half_closed_link_goes_on_the_other_way(autojump_clock: Any) -> None:
    link = FaultyLink(random.Random(1), delay=1.0)
    here, there = map(KeepaliveChannel, link.ends)
    await send_numbers(here, 5)
    link.half_close(0)
    assert await receive_all(there) == [0, 1, 2, 3, 4]
    await there.send(messages.Capacity(7))
    assert await here.receive() == messages.Capacity(7)
    with pytest.raises(ChannelClosedError):
        await here.send(messages.Capacity(1))


async def test_a_link_that_does_not_take_messages_holds_its_sender_up(autojump_clock: Any) -> None:
    here, there = map(KeepaliveChannel, FaultyLink(random.Random(1)).ends)
    with trio.move_on_after(100) as waiting:
        await send_numbers(here, 1000)
    assert waiting.cancelled_caught
    await here.aclose()
    assert await receive_all(there) == list(range(8))


@pytest.mark.parametrize(("seconds", "survives"), [(5.0, True), (15.0, False)])
async def test_a_stall_is_the_end_only_when_it_is_too_long(
    seconds: float, survives: bool, autojump_clock: Any
) -> None:
    link = FaultyLink(random.Random(1))
    ends = [KeepaliveChannel(end, silence=10.0) for end in link.ends]
    got: list[int] = []

    async def listen(end: KeepaliveChannel) -> None:
        got.extend(await receive_all(end))

    async with trio.open_nursery() as nursery:
        for end in ends:
            nursery.start_soon(listen, end)
            nursery.start_soon(end.run)
        await trio.sleep(100.0)
        link.stall(0, seconds)
        await trio.sleep(50.0)
        if survives:
            await ends[0].send(messages.Capacity(5))
            await ends[0].aclose()
        else:
            with pytest.raises(ChannelClosedError):
                await ends[0].send(messages.Capacity(5))
    assert got == ([5] if survives else [])


async def test_a_link_that_has_vanished_is_noticed_at_both_ends(autojump_clock: Any) -> None:
    link = FaultyLink(random.Random(1))
    ends = [KeepaliveChannel(end, silence=10.0) for end in link.ends]

    async def listen(end: KeepaliveChannel) -> None:
        with pytest.raises(ChannelClosedError, match="nothing was heard for 10 s"):
            await end.receive()

    async with trio.open_nursery() as nursery:
        for end in ends:
            nursery.start_soon(listen, end)
            nursery.start_soon(end.run)
        await trio.sleep(100.0)
        link.vanish()
    assert 109.0 < trio.current_time() < 115.0


async def test_a_node_s_item_survives_a_link_that_is_lost_before_its_result_arrives(
    autojump_clock: Any,
) -> None:
    node = Node(ValueCodec())
    link = FaultyLink(random.Random(1), delay=1.0)
    job = Job(open_source([3]), node.lending.new_lender(), Window())
    node.open_job(job)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.serve, KeepaliveChannel(link.ends[0]), "lost")
        there = KeepaliveChannel(link.ends[1])
        lend = await there.receive()
        assert isinstance(lend, messages.Lend)
        await there.send(messages.Results(lend.lease, 0, 0.0, msgspec.Raw(values.encode([9]))))
        link.lose()
        ours, theirs = memory_channel_pair()
        nursery.start_soon(node.serve, ours, "other")
        nursery.start_soon(FakeWorker(theirs).run)
        assert await all_results(node, job) == [9]
        nursery.cancel_scope.cancel()
