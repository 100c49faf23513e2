"""Whose turn it is to connect, how long others wait, and what those are told who cannot."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from pando.net.webrtc.turns import (
    FAST_SECONDS,
    FIRST_GUESS_SECONDS,
    FIRST_UNCONNECTED,
    LEAST_PAUSE_SECONDS,
    LEAST_UNCONNECTED,
    MAX_UNCONNECTED,
    SLOW_SECONDS,
    WAIT_SECONDS,
    TooManyAskError,
    Turns,
    shared_turns,
)
from pando.volunteering.second_link import ANSWER_SECONDS


def test_a_turn_comes_before_whoever_waits_for_it_gives_up() -> None:
    assert WAIT_SECONDS < ANSWER_SECONDS


async def test_turns_are_had_in_the_order_of_asking(
    autojump_clock: trio.testing.MockClock,
) -> None:
    turns, had = Turns(), []

    async def take(number: int) -> None:
        await trio.sleep(number / 1000)
        turn = await turns.wait()
        had.append(number)
        await trio.sleep(1.0)
        turn.end(is_open=True)

    async with trio.open_nursery() as nursery:
        for number in range(4 * FIRST_UNCONNECTED):
            nursery.start_soon(take, number)
    assert had == sorted(had)
    assert trio.current_time() == pytest.approx(4.0, abs=0.1)


async def test_the_expected_wait_is_that_of_turns_as_they_were_lately(
    autojump_clock: trio.testing.MockClock,
) -> None:
    turns = Turns()
    for _ in range(50):
        turn = await turns.wait()
        await trio.sleep(4.0)
        turn.end()
        turn.end()  # once is enough
    held = [await turns.wait() for _ in range(FIRST_UNCONNECTED)]
    assert turns.expected_wait == pytest.approx(4.0 / FIRST_UNCONNECTED, rel=0.01)
    async with trio.open_nursery() as nursery:
        for _ in range(FIRST_UNCONNECTED - 1):
            nursery.start_soon(turns.wait)
        await trio.testing.wait_all_tasks_blocked()
        assert turns.expected_wait == pytest.approx(4.0, rel=0.01)
        nursery.cancel_scope.cancel()
    assert turns.expected_wait == pytest.approx(4.0 / FIRST_UNCONNECTED, rel=0.01)
    for each in held:
        each.end()
    assert turns.expected_wait == 0.0


async def test_who_would_wait_too_long_is_told_at_once_and_others_when_they_have(
    autojump_clock: trio.testing.MockClock,
) -> None:
    turns = Turns()
    for _ in range(FIRST_UNCONNECTED):
        await turns.wait()
    told: list[tuple[float, float]] = []

    async def take() -> None:
        with pytest.raises(TooManyAskError) as problem:
            await turns.wait()
        told.append((trio.current_time(), problem.value.pause))

    most = int(WAIT_SECONDS / FIRST_GUESS_SECONDS * FIRST_UNCONNECTED)
    async with trio.open_nursery() as nursery:
        for _ in range(most + 100):
            nursery.start_soon(take)
    at_once = [pause for when, pause in told if when == 0.0]
    assert 90 <= len(at_once) <= 110
    assert min(at_once) >= WAIT_SECONDS
    assert {when for when, _ in told} == {0.0, WAIT_SECONDS}
    assert min(pause for _, pause in told) >= LEAST_PAUSE_SECONDS


async def test_all_of_a_process_share_them() -> None:
    assert shared_turns() is shared_turns()


async def have(turns: Turns, count: int, seconds: float, *, is_open: bool = True) -> None:
    """Have turns that last so long, one after the other."""
    for _ in range(count):
        turn = await turns.wait()
        await trio.sleep(seconds)
        turn.end(is_open=is_open)


async def test_slow_turns_make_them_fewer_fast_ones_more_and_what_never_opens_neither(
    autojump_clock: trio.testing.MockClock,
) -> None:
    turns = Turns()
    await have(turns, 40, 1.5 * SLOW_SECONDS, is_open=False)
    await have(turns, 40, 0.1, is_open=False)
    await have(turns, 40, (FAST_SECONDS + SLOW_SECONDS) / 2)
    assert turns.allowed == FIRST_UNCONNECTED
    await have(turns, 40, 1.5 * SLOW_SECONDS)
    assert turns.allowed == LEAST_UNCONNECTED
    held = [await turns.wait() for _ in range(LEAST_UNCONNECTED)]
    assert turns.expected_wait > 0.0
    for each in held:
        each.end(is_open=True)
    await have(turns, 100, 0.1)
    assert turns.allowed == MAX_UNCONNECTED
