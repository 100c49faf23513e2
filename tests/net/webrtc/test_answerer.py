"""How many offers a node answers at a time, and what becomes of the others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
import trio
import trio.testing

from pando.channel import ChannelClosedError
from pando.messages import MalformedMessageError, Signal
from pando.net.visitor import Visitor
from pando.net.webrtc import connection
from pando.net.webrtc.answerer import OPEN_SECONDS, REACH_SECONDS, Answerer
from pando.net.webrtc.turns import (
    FIRST_UNCONNECTED,
    LEAST_PAUSE_SECONDS,
    MAX_UNCONNECTED,
    WAIT_SECONDS,
)


class Answering:
    """A connection that is answered at once, and is open after so long as its offer says."""

    async def make_answer(self, offer: str) -> str:
        if offer == "none":
            raise MalformedMessageError("no offer")
        self._seconds = float(offer)
        return f"answer to {offer}"

    async def reach(self) -> None:
        if self._seconds > 1e5:
            await trio.sleep_forever()

    async def open(self) -> SimpleNamespace:
        await trio.sleep(abs(self._seconds))
        if self._seconds < 0:
            raise ChannelClosedError("the devices cannot reach each other")
        return SimpleNamespace(host="192.0.2.1")


class Scenery:
    """An answerer on fake connections; what it has served, and how many were made at once."""

    def __init__(self) -> None:
        self.served = self.open = self.most = 0
        self.answerer = Answerer(self._serve)

    @staticmethod
    def beside(first: Scenery) -> Scenery:
        """Another node of the same process, whose connections are counted with the first one's."""
        other = Scenery()
        other.answerer = Answerer(other._serve_beside(first))
        return other

    def _serve_beside(self, first: Scenery) -> Callable[[object, Visitor], Awaitable[None]]:
        async def serve(channel: object, visitor: Visitor) -> None:
            self.served += 1
            await first._serve(channel, visitor)

        return serve

    async def _serve(self, channel: object, visitor: Visitor) -> None:
        self.served += 1
        self.open -= 1  # what is connected is counted no more
        try:
            await trio.sleep_forever()
        finally:
            self.open += 1

    @asynccontextmanager
    async def make_connection(self, servers: object) -> AsyncIterator[Answering]:
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            yield Answering()
        finally:
            self.open -= 1

    async def signal(self, *offers: str) -> list[Signal]:
        answers: list[Signal] = []

        async def ask(offer: str) -> None:
            answers.append(await self.answerer.answer(offer))

        async with trio.open_nursery() as nursery:
            for offer in offers:
                nursery.start_soon(ask, offer)
        return answers

    async def answer(self, *offers: str) -> list[str]:
        return [each.description for each in await self.signal(*offers)]


@pytest.fixture
async def scenery(
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Scenery]:
    scenery = Scenery()
    monkeypatch.setattr(connection, "open_connection", scenery.make_connection)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scenery.answerer.run)
        await trio.testing.wait_all_tasks_blocked()
        yield scenery
        nursery.cancel_scope.cancel()


async def test_a_thousand_offers_at_once_take_turns(
    scenery: Scenery, autojump_clock: trio.testing.MockClock
) -> None:
    """Those that open soon let others follow; others are told when to ask again."""
    began = trio.current_time()
    told = await scenery.signal(*["0.4"] * 1000)
    answers = [each.description for each in told]
    assert scenery.most == MAX_UNCONNECTED
    assert trio.current_time() - began <= WAIT_SECONDS
    assert 200 < answers.count("answer to 0.4") < 1000
    assert all(each.description or each.again >= LEAST_PAUSE_SECONDS for each in told)
    assert all(not each.again for each in told if each.description)
    await trio.sleep(1.0)
    assert scenery.served == answers.count("answer to 0.4")
    assert await scenery.answer("0.4") == ["answer to 0.4"]


async def test_as_turns_get_longer_fewer_wait_in_vain(
    scenery: Scenery, autojump_clock: trio.testing.MockClock
) -> None:
    """Whoever would not have a turn in time is told so at once, and may look elsewhere."""
    for _ in range(3):
        await scenery.answer(*["2"] * FIRST_UNCONNECTED)
        await trio.sleep(3.0)
    began = trio.current_time()
    refused: list[float] = []

    async def ask() -> None:
        if (await scenery.answerer.answer("2")).again:
            refused.append(trio.current_time() - began)

    async with trio.open_nursery() as nursery:
        for _ in range(200):
            nursery.start_soon(ask)
    assert sum(each == 0.0 for each in refused) > 100
    assert sum(each > 0.0 for each in refused) < 20


async def test_nodes_of_one_process_take_turns_together(
    scenery: Scenery, autojump_clock: trio.testing.MockClock
) -> None:
    other = Scenery.beside(scenery)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(other.answerer.run)
        await trio.testing.wait_all_tasks_blocked()
        for one in (scenery, other):
            nursery.start_soon(one.answer, *["1"] * 50)  # neither fast nor slow
        await trio.sleep(10.0)
        nursery.cancel_scope.cancel()
    assert min(scenery.served, other.served) > 0
    assert scenery.most == FIRST_UNCONNECTED


async def test_an_offer_whose_link_has_ended_waits_no_more(
    scenery: Scenery, autojump_clock: trio.testing.MockClock
) -> None:
    await scenery.answer(*["5"] * FIRST_UNCONNECTED)
    with trio.move_on_after(1.0):
        await scenery.answer(*["5"] * 50)
    assert scenery.answerer._turns.expected_wait < 1.0  # nobody is ahead
    assert await scenery.answer("1") == ["answer to 1"]
    assert scenery.most == FIRST_UNCONNECTED


async def test_offers_answered_in_vain_hold_their_turns_for_a_limited_time(
    scenery: Scenery, autojump_clock: trio.testing.MockClock
) -> None:
    await scenery.answer(*["1e6"] * FIRST_UNCONNECTED)  # never reached
    began = trio.current_time()
    assert await scenery.answer("1") == ["answer to 1"]
    assert trio.current_time() - began == pytest.approx(REACH_SECONDS)
    await trio.sleep(1.0)
    await scenery.answer(*["1e4"] * FIRST_UNCONNECTED)  # reached, and then nothing
    began = trio.current_time()
    while (await scenery.answer("1")) != ["answer to 1"]:
        pass
    assert OPEN_SECONDS <= trio.current_time() - began < OPEN_SECONDS + 1.0 + WAIT_SECONDS


@pytest.mark.parametrize("offer", ["none", "-1"])
async def test_what_comes_to_nothing_gives_its_turn_back(
    scenery: Scenery, autojump_clock: trio.testing.MockClock, offer: str
) -> None:
    for _ in range(2 * FIRST_UNCONNECTED):
        await scenery.answer(offer)
        await trio.sleep(1.0)
    assert await scenery.answer("1") == ["answer to 1"]
