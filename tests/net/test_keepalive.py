"""When a silent other end counts as dead, on a clock of the test's own."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from pando import messages
from pando.channel import ChannelClosedError, memory_channel_pair
from pando.net.keepalive import HEARTBEATS_PER_TIMEOUT, LATE_SECONDS, KeepaliveChannel

SILENCE = 9.0
PAUSE = SILENCE / HEARTBEATS_PER_TIMEOUT
BEAT = messages.encode(messages.Heartbeat())


async def find_end(link: KeepaliveChannel) -> float:
    """Return when a link ends of which nothing more is heard."""
    with pytest.raises(ChannelClosedError, match=f"nothing was heard for {SILENCE:g} s"):
        await link.receive()
    return trio.current_time()


@pytest.mark.parametrize("heard", [0.0, 0.1, PAUSE - 0.1, PAUSE, PAUSE + 0.1, 5 * PAUSE + 1.0])
async def test_a_silent_end_is_dead_as_soon_as_it_was_silent_for_so_long(
    heard: float, autojump_clock: trio.testing.MockClock
) -> None:
    """However the last message lies between two looks at the clock."""
    ours, theirs = memory_channel_pair()
    link = KeepaliveChannel(ours, silence=SILENCE)
    start = trio.current_time()

    async def speak() -> None:
        for _ in range(int(heard // PAUSE)):
            await theirs.send(BEAT)
            await trio.sleep(PAUSE)
        await trio.sleep(heard % PAUSE)
        await theirs.send(BEAT)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        nursery.start_soon(speak)
        assert await find_end(link) == pytest.approx(start + heard + SILENCE)


async def test_an_end_that_gives_signs_of_life_is_never_dead(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ours, theirs = memory_channel_pair()
    links = [KeepaliveChannel(end, silence=SILENCE) for end in (ours, theirs)]
    async with trio.open_nursery() as nursery:
        for link in links:
            nursery.start_soon(link.run)
        with trio.move_on_after(20 * SILENCE) as scope:
            async with trio.open_nursery() as readers:
                for link in links:
                    readers.start_soon(link.receive)
        assert scope.cancelled_caught
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("away", [2 * LATE_SECONDS, SILENCE, 3600.0])
async def test_what_came_while_this_process_slept_is_read_first(
    away: float, autojump_clock: trio.testing.MockClock
) -> None:
    """As when a laptop's lid was closed: the other end is there, and has gone on to speak."""
    ours, theirs = memory_channel_pair()
    link = KeepaliveChannel(ours, silence=SILENCE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        await trio.sleep(SILENCE - 0.1)
        autojump_clock.jump(away)
        await trio.sleep(0.1)
        await theirs.send(BEAT)
        back = trio.current_time()
        assert await find_end(link) == pytest.approx(back + SILENCE)


async def test_one_that_has_died_meanwhile_is_found_soon(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ours, _ = memory_channel_pair()
    link = KeepaliveChannel(ours, silence=SILENCE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        await trio.sleep(0.1)
        autojump_clock.jump(3600.0)
        back = trio.current_time()
        assert await find_end(link) <= back + PAUSE + 0.1
