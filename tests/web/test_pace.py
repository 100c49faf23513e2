"""The pace of requests, on a clock of the test's own."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from pando.web import pace as paces
from pando.web.pace import REQUESTS_AT_ONCE, REQUESTS_PER_SECOND, Pace


async def ask(pace: Pace, address: str, count: int, answered: list[float]) -> None:
    """Make so many requests at once, and note when each has its turn."""

    async def one() -> None:
        await pace.wait(address)
        answered.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(one)


async def test_a_flood_is_answered_at_the_pace_and_others_at_once(autojump_clock: Any) -> None:
    pace, flood, others = Pace(), list[float](), list[float]()
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, pace, "stranger", REQUESTS_AT_ONCE + 300, flood)
        await trio.sleep(1.0)
        nursery.start_soon(ask, pace, "friend", REQUESTS_AT_ONCE, others)
    assert sum(time < start + 0.001 for time in flood) == REQUESTS_AT_ONCE
    assert flood[-1] == pytest.approx(start + 300 / REQUESTS_PER_SECOND)
    assert max(others) == pytest.approx(start + 1.0)


async def test_who_stops_waiting_costs_nothing(autojump_clock: Any) -> None:
    """As somebody would who connects, asks and hangs up, again and again."""
    pace, answered = Pace(), list[float]()
    await ask(pace, "stranger", REQUESTS_AT_ONCE, answered)
    start = trio.current_time()
    with trio.move_on_after(0.1):
        await ask(pace, "stranger", 5000, answered)
    await ask(pace, "stranger", 1, answered)
    assert answered[-1] - start <= 0.1 + 2 / REQUESTS_PER_SECOND


async def test_after_a_while_all_may_be_asked_at_once_again(autojump_clock: Any) -> None:
    pace = Pace()
    await ask(pace, "stranger", REQUESTS_AT_ONCE + 100, [])
    await trio.sleep(REQUESTS_AT_ONCE / REQUESTS_PER_SECOND)
    begun, answered = trio.current_time(), list[float]()
    await ask(pace, "stranger", REQUESTS_AT_ONCE, answered)
    assert max(answered) == pytest.approx(begun)


async def test_addresses_are_forgotten_but_not_those_that_wait(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paces, "MANY_ADDRESSES", 10)
    pace = Pace()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, pace, "stranger", REQUESTS_AT_ONCE + 200, [])
        await trio.sleep(1.0)
        for number in range(100):
            await pace.wait(f"visitor {number}")
            await trio.sleep(0.02)
            assert len(pace._lines) <= 10
            assert number > 40 or "stranger" in pace._lines
    await trio.sleep(0.1)
