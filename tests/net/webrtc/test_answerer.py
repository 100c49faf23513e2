"""How many offers a node answers at a time, and what becomes of the others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
import trio
import trio.testing

from pando.channel import ChannelClosedError
from pando.messages import MalformedMessageError
from pando.net.visitor import Visitor
from pando.net.webrtc import connection
from pando.net.webrtc.answerer import MAX_UNCONNECTED, OPEN_SECONDS, WAIT_SECONDS, Answerer


class Answering:
    """A connection that is answered at once, and is open after so long as its offer says."""

    async def make_answer(self, offer: str) -> str:
        if offer == "none":
            raise MalformedMessageError("no offer")
        self._seconds = float(offer)
        return f"answer to {offer}"

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

    async def answer(self, *offers: str) -> list[str]:
        answers: list[str] = []

        async def ask(offer: str) -> None:
            answers.append(await self.answerer.answer(offer))

        async with trio.open_nursery() as nursery:
            for offer in offers:
                nursery.start_soon(ask, offer)
        return answers


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
    """Those that open soon let others follow; whoever has waited in vain is told so."""
    began = trio.current_time()
    answers = await scenery.answer(*["0.5"] * 1000)
    assert scenery.most == MAX_UNCONNECTED
    assert trio.current_time() - began <= WAIT_SECONDS
    turns = int(WAIT_SECONDS / 0.5)
    assert (turns - 1) * MAX_UNCONNECTED <= answers.count("answer to 0.5") < 1000
    assert answers.count("") == 1000 - answers.count("answer to 0.5")
    await trio.sleep(1.0)
    assert scenery.served == answers.count("answer to 0.5")
    assert await scenery.answer("0.5") == ["answer to 0.5"]


async def test_offers_answered_in_vain_hold_their_turns_for_a_limited_time(
    scenery: Scenery, autojump_clock: trio.testing.MockClock
) -> None:
    answers = await scenery.answer(*["1e6"] * (MAX_UNCONNECTED + 1))
    assert answers.count("") == 1
    await trio.sleep(OPEN_SECONDS)
    assert await scenery.answer("1") == ["answer to 1"]


@pytest.mark.parametrize("offer", ["none", "-1"])
async def test_what_comes_to_nothing_gives_its_turn_back(
    scenery: Scenery, autojump_clock: trio.testing.MockClock, offer: str
) -> None:
    for _ in range(2 * MAX_UNCONNECTED):
        await scenery.answer(offer)
        await trio.sleep(1.0)
    assert await scenery.answer("1") == ["answer to 1"]
