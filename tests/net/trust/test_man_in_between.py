"""Somebody in between changes each byte in turn: nothing is computed that the root has not sent.

A whole volunteer and a root, over memory channels, with workers that note what they are given.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from pando import messages, values
from pando.channel import ChannelClosedError, MemoryChannel, MessageChannel, memory_channel_pair
from pando.net import websocket
from pando.net.trust.identity import LinkInUse, RootIdentity
from pando.net.trust.join_link import JoinLink
from pando.net.trust.key_store import LinkKeys
from pando.net.visitor import Visitor
from pando.running.inputs import open_source
from pando.running.value_codec import ValueCodec
from pando.scheduler import Borrower, Window
from pando.tree.child import Child
from pando.tree.job import Job
from pando.tree.membership import Membership
from pando.tree.node import Node
from pando.tree.overlay import Overlay
from pando.volunteering import Volunteer, VolunteerOptions

Tamper = Callable[[str, int, bytes], bytes]
TO_VOLUNTEER, TO_ROOT = "to the volunteer", "to the root"
STEP = 19
"""Of the long messages after the handshake, every so many bytes are changed."""
LEND = 4
"""The root's first message with items: after hello, reply, function and welcome."""
KEYS = LinkKeys.generate()
LINK = str(JoinLink("root:5000", False, KEYS.fingerprint, KEYS.secret))


class Ignored:
    """Events that nobody wants to know of."""

    def on_joined(self, child: Child) -> None: ...

    def on_left(self, child: Child, borrower: Borrower) -> None: ...

    def on_load_failed(self, name: str, host: str, reason: str) -> None: ...

    def on_function_unavailable(self, reason: str) -> None: ...

    def on_not_admitted(self, host: str, reason: str) -> None: ...


class Trips:
    """When messages arrive that take `seconds` each, and do not hold up one another."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._arrivals: dict[str, deque[float]] = {TO_VOLUNTEER: deque(), TO_ROOT: deque()}

    def set_out(self, way: str) -> None:
        self._arrivals[way].append(trio.current_time() + self._seconds)

    async def arrive(self, way: str) -> None:
        arrival = self._arrivals[way].popleft()
        if arrival > trio.current_time():
            await trio.sleep_until(arrival)


class Between:
    """A channel that has somebody in it.

    Args:
        channel: the one that it comes through.
        way: in which direction messages go that are sent here.
        tamper: given the way, a message's number on that way, and the message.
        trips: when the messages of each way arrive.
    """

    def __init__(
        self,
        channel: MemoryChannel[bytes],
        way: str,
        tamper: Tamper,
        trips: Trips,
    ) -> None:
        self._channel = channel
        self._way = way
        self._tamper = tamper
        self._trips = trips
        self._sent = 0

    async def send(self, data: bytes) -> None:
        number, self._sent = self._sent, self._sent + 1
        changed = self._tamper(self._way, number, bytes(data))
        self._trips.set_out(self._way)
        await self._channel.send(changed)

    async def receive(self) -> bytes:
        data = await self._channel.receive()
        await self._trips.arrive(TO_ROOT if self._way == TO_VOLUNTEER else TO_VOLUNTEER)
        return data

    async def aclose(self) -> None:
        await self._channel.aclose()


class NotingPool:
    """Workers that note what they are given, and compute nothing else."""

    def __init__(self, executed: list[Any], serve: Any) -> None:
        executed.append("loaded")
        self._executed = executed
        self._serve = serve

    async def run(self, failed: Callable[[Exception], None]) -> None:
        ours, theirs = memory_channel_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._serve, ours, "worker")
            nursery.start_soon(self._work, theirs)

    async def _work(self, channel: MessageChannel) -> None:
        while True:
            message = await channel.receive()
            if isinstance(message, messages.Lend):
                items = values.decode(memoryview(message.items))
                self._executed.extend(items)
                encoded = msgspec.Raw(values.encode([item**2 for item in items]))
                await channel.send(messages.Results(message.lease, 0, 0.001, encoded))


async def take_part(
    monkeypatch: pytest.MonkeyPatch, tamper: Tamper, trip: float = 0
) -> tuple[list[Any], list[Any], str]:
    """What a volunteer has executed when its first connection is over, what came, what it said.

    A message takes `trip` seconds.
    """
    executed: list[Any] = []
    results: list[Any] = []
    said = ""
    node = Node(ValueCodec())
    membership = Membership.of_root(
        node,
        Overlay(bytes(8)),
        Ignored(),
        RootIdentity(lambda: LinkInUse(KEYS, KEYS.secret, lasts=True), lambda visitor: True),
        messages.RunInfo(messages.VERSION, b"", "run", "square", b"\x91\xa6python"),
    )
    job = Job(open_source([3, 4]), node.lending.new_lender(), Window())
    node.open_job(job)
    async with trio.open_nursery() as nursery:

        @asynccontextmanager
        async def connect(address: str, **options: object) -> AsyncIterator[Between]:
            ours, theirs = memory_channel_pair()
            trips = Trips(trip)
            there = Between(theirs, TO_VOLUNTEER, tamper, trips)

            async def serve() -> None:
                await membership.handle_connection(there, Visitor("elsewhere"))
                await there.aclose()

            nursery.start_soon(serve)
            try:
                yield Between(ours, TO_ROOT, tamper, trips)
            finally:
                await ours.aclose()

        def note(text: str) -> None:
            nonlocal said
            said += text
            if "trying again" in text:
                nursery.cancel_scope.cancel()

        async def collect() -> None:
            while len(results) < 2:
                results.extend((await node.next_results(job)).values)
            nursery.cancel_scope.cancel()

        monkeypatch.setattr(websocket, "connect", connect)
        volunteer = Volunteer(
            LINK,
            VolunteerOptions(workers=1, name="tablet"),
            note,
            make_pool=lambda function, count, serve, **options: NotingPool(executed, serve),
        )
        monkeypatch.setattr("pando.volunteering.session.Session._accept_children", nothing)
        nursery.start_soon(volunteer.run)
        nursery.start_soon(collect)
        with trio.move_on_after(60):
            await trio.sleep_forever()
        nursery.cancel_scope.cancel()
    return executed, results, said


async def nothing(*arguments: object) -> None:
    await trio.lowlevel.checkpoint()


def changing(way: str, number: int, place: int) -> Tamper:
    def tamper(on: str, nth: int, message: bytes) -> bytes:
        if (on, nth) != (way, number) or place >= len(message):
            return message
        changed = bytearray(message)
        changed[place] ^= 1 << place % 8
        return bytes(changed)

    return tamper


async def lengths(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, int], int]:
    """The messages of a connection that nobody is in between of, and how long each is."""
    found: dict[tuple[str, int], int] = {}

    def note(way: str, number: int, message: bytes) -> bytes:
        found[way, number] = len(message)
        return message

    executed, results, _ = await take_part(monkeypatch, note)
    assert executed == ["loaded", 3, 4]
    assert results == [9, 16]
    return found


async def test_the_first_item_comes_after_two_round_trips(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: Any
) -> None:
    """As many as without a handshake: hello and function, ready and welcome.

    The root shows its keys unasked, right after the upgrade; proofs and function go together.
    """
    sent: dict[tuple[str, int], float] = {}

    def note(way: str, number: int, message: bytes) -> bytes:
        sent[way, number] = trio.current_time()
        return message

    executed, _, _ = await take_part(monkeypatch, note, trip=1.0)
    assert executed == ["loaded", 3, 4]
    assert sent[TO_VOLUNTEER, LEND] - sent[TO_VOLUNTEER, 0] == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("way", "number", "name"),
    [
        (TO_VOLUNTEER, 0, "hello"),
        (TO_ROOT, 0, "request"),
        (TO_VOLUNTEER, 1, "reply"),
        (TO_VOLUNTEER, 2, "the function"),
    ],
)
async def test_each_byte_before_the_function_is_loaded(
    way: str, number: int, name: str, monkeypatch: pytest.MonkeyPatch, autojump_clock: Any
) -> None:
    length = (await lengths(monkeypatch))[way, number]
    assert length > 50
    for place in range(length):
        executed, results, said = await take_part(monkeypatch, changing(way, number, place))
        assert executed == [], (name, place)
        assert results == []
        assert "trying again" in said, (name, place)


async def test_each_byte_of_what_is_lent(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: Any
) -> None:
    """The function has come whole; an item that was changed on the way is not computed."""
    found = await lengths(monkeypatch)
    for place in range(found[TO_VOLUNTEER, LEND]):
        executed, results, _ = await take_part(
            monkeypatch, only_once(changing(TO_VOLUNTEER, LEND, place))
        )
        assert executed == ["loaded"], place
        assert results == []


async def test_each_byte_of_a_result(monkeypatch: pytest.MonkeyPatch, autojump_clock: Any) -> None:
    """What the root takes is what the volunteer has sent, or nothing."""
    found = await lengths(monkeypatch)
    for number in range(1, max(number for way, number in found if way == TO_ROOT) + 1):
        for place in range(0, found[TO_ROOT, number], STEP):
            _, results, _ = await take_part(monkeypatch, changing(TO_ROOT, number, place))
            assert results in ([], [9, 16]), (number, place)


def only_once(tamper: Tamper) -> Tamper:
    """The same on the first connection only: on later ones nothing comes at all."""
    connections = 0

    def once(way: str, nth: int, message: bytes) -> bytes:
        nonlocal connections
        if (way, nth) == (TO_VOLUNTEER, 0):
            connections += 1
        if connections > 1:
            raise ChannelClosedError("nobody is there")
        return tamper(way, nth, message)

    return once
