"""The pace of requests, on a clock of the test's own, and by a real connection."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from pando.web import pace as paces
from pando.web.pace import REQUESTS_AT_ONCE, REQUESTS_PER_SECOND, Pace

from ..net.clients import client_of, serving
from .test_monitoring import watching

TURN = 1 / REQUESTS_PER_SECOND


async def ask(
    pace: Pace, address: str, count: int, answered: list[float], *, asked: int = 0
) -> None:
    """Make so many requests at once, and note when their turns come."""

    async def one() -> None:
        await pace.wait(address, asked)
        answered.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(one)


async def test_a_flood_is_answered_at_the_pace(autojump_clock: Any) -> None:
    pace, answered = Pace(), list[float]()
    start = trio.current_time()
    await ask(pace, "stranger", REQUESTS_AT_ONCE + 300, answered)
    assert sum(time < start + TURN / 2 for time in answered) == REQUESTS_AT_ONCE
    assert answered[-1] == pytest.approx(start + 300 * TURN)


@pytest.mark.parametrize(
    ("address", "asked", "turns"),
    [
        pytest.param("stranger", 0, 1, id="who has asked less, from the same address"),
        pytest.param("friend", 1, 2, id="who comes from elsewhere"),
        pytest.param("friend", 2, 301, id="not who has asked more"),
    ],
)
async def test_who_does_not_wait_for_a_flood(
    autojump_clock: Any, address: str, asked: int, turns: int
) -> None:
    pace, flood, others = Pace(), list[float](), list[float]()
    await ask(pace, "stranger", REQUESTS_AT_ONCE, flood)
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: ask(pace, "stranger", 300, flood, asked=1))
        await trio.sleep(TURN / 2)
        nursery.start_soon(lambda: ask(pace, address, 1, others, asked=asked))
    assert others[0] - start == pytest.approx(turns * TURN)


async def test_who_stops_waiting_costs_nothing(autojump_clock: Any) -> None:
    """As somebody would who connects, asks and hangs up, again and again."""
    pace, answered = Pace(), list[float]()
    await ask(pace, "stranger", REQUESTS_AT_ONCE, answered)
    start = trio.current_time()
    with trio.move_on_after(0.1):
        await ask(pace, "stranger", 5000, answered)
    await ask(pace, "stranger", 1, answered)
    assert answered[-1] - start <= 0.1 + 2 * TURN
    assert not pace._line
    assert not pace._waiting


async def test_after_a_while_all_may_be_asked_at_once_again(autojump_clock: Any) -> None:
    pace = Pace()
    await ask(pace, "stranger", REQUESTS_AT_ONCE + 100, [])
    await trio.sleep(REQUESTS_AT_ONCE * TURN)
    begun, answered = trio.current_time(), list[float]()
    await ask(pace, "stranger", REQUESTS_AT_ONCE, answered)
    assert max(answered) == pytest.approx(begun)


requests = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.integers(0, 2),
        st.floats(0, 0.2),
        st.one_of(st.none(), st.floats(0, 0.2)),
    ),
    max_size=40,
)


@given(requests)
def test_everybody_who_waits_has_a_turn_and_none_is_too_early(
    made: list[tuple[str, int, float, float | None]],
) -> None:
    """Each of: the address, how many before, when it comes, and for how long it waits."""
    at_once = 3

    async def one(pace: Pace, request: tuple[str, int, float, float | None]) -> None:
        address, asked, comes, patience = request
        await trio.sleep(comes)
        with trio.move_on_after(float("inf") if patience is None else patience) as scope:
            await pace.wait(address, asked)
            turns.append(trio.current_time())
        has_turn.append(not scope.cancelled_caught or patience is not None)

    async def main() -> None:
        pace = Pace()
        async with trio.open_nursery() as nursery:
            for request in made:
                nursery.start_soon(one, pace, request)
        assert not pace._line
        assert not pace._waiting

    turns, has_turn = list[float](), list[bool]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paces, "REQUESTS_AT_ONCE", at_once)
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert len(has_turn) == len(made)
    assert all(has_turn)
    for first, last in zip(turns, turns[at_once + 1 :], strict=False):
        assert last - first >= TURN - 1e-9


@pytest.mark.socket
async def test_each_connection_counts_what_it_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream of monitoring is one request, too."""
    counts = list[int]()
    wait = Pace.wait

    async def note(pace: Pace, address: str, asked: int) -> None:
        counts.append(asked)
        await wait(pace, address, asked)

    monkeypatch.setattr(Pace, "wait", note)
    async with serving() as served:
        async with client_of(served) as client:
            for path in ("/monitoring.json", "/nothing", "/"):
                await client.request("GET", path)
        async with watching(served) as watcher:
            await watcher.next()
        async with client_of(served) as client:
            await client.request("GET", "/")
    assert counts == [0, 1, 2, 0, 0]
