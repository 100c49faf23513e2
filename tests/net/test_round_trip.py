"""The round-trip time of a link: how it is measured, and that its other end cannot bend it far."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from pando import messages
from pando.channel import ChannelClosedError
from pando.net.keepalive import HEARTBEATS_PER_TIMEOUT, KeepaliveChannel
from pando.net.round_trip import MAX_SECONDS, SAMPLES, RoundTrip
from pando.reporting.device import to_round_trip
from pando.reports.records import MAX_ROUND_TRIP

SILENCE = 9.0
PAUSE = SILENCE / HEARTBEATS_PER_TIMEOUT


class SlowChannel:
    """One end of a channel of bytes whose messages take a while."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.peer: SlowChannel = self
        self.sent: list[messages.Message] = []
        self._send, self._received = trio.open_memory_channel[bytes](1000)
        self._under_way, self._coming = trio.open_memory_channel[tuple[float, bytes]](1000)

    async def send(self, data: bytes) -> None:
        self.sent.append(messages.decode(data))
        arrives = trio.current_time() + self.seconds
        await self.peer._under_way.send((arrives, bytes(data)))

    async def receive(self) -> bytes:
        try:
            arrives, data = await self._coming.receive()
        except trio.EndOfChannel:
            raise ChannelClosedError("the link is closed") from None
        await trio.sleep_until(arrives)
        return data

    async def aclose(self) -> None:
        self.peer._under_way.close()
        await trio.lowlevel.checkpoint()


def pair(seconds: float) -> tuple[SlowChannel, SlowChannel]:
    here, there = SlowChannel(seconds), SlowChannel(seconds)
    here.peer, there.peer = there, here
    return here, there


async def read(link: KeepaliveChannel) -> None:
    while True:
        await link.receive()


async def measure(seconds: float, way: float) -> tuple[KeepaliveChannel, list[messages.Message]]:
    """Let a child measure for a while; returns its link, and what the parent has sent."""
    here, there = pair(way)
    child, parent = (KeepaliveChannel(each, silence=SILENCE) for each in (here, there))
    child.measures = True
    async with trio.open_nursery() as nursery:
        for link in (child, parent):
            nursery.start_soon(link.run)
            nursery.start_soon(read, link)
        await trio.sleep(seconds)
        nursery.cancel_scope.cancel()
    return child, there.sent


async def test_a_child_measures_the_time_to_its_parent_and_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    child, _ = await measure(1.0, 0.2)
    assert child.round_trip.seconds == pytest.approx(0.4)


async def test_the_parent_answers_and_measures_nothing_itself(
    autojump_clock: trio.testing.MockClock,
) -> None:
    child, sent = await measure(10 * PAUSE, 0.2)
    assert child.round_trip.seconds == pytest.approx(0.4)
    beats = [message for message in sent if isinstance(message, messages.Heartbeat)]
    assert not any(beat.ping for beat in beats)
    assert sum(bool(beat.pong) for beat in beats) == 10


async def test_no_number_is_sent_before_the_last_one_is_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    child, sent = await measure(5 * PAUSE, 1.9 * PAUSE)
    assert child.round_trip.seconds == pytest.approx(3.8 * PAUSE)
    assert sum(bool(getattr(message, "pong", 0)) for message in sent) == 1


async def test_many_numbers_at_once_are_not_all_sent_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    here, there = pair(0.0)
    link = KeepaliveChannel(here, silence=SILENCE)
    for number in range(1, 501):
        await there.send(messages.encode(messages.Heartbeat(number)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        nursery.start_soon(read, link)
        await trio.sleep(1.0)
        nursery.cancel_scope.cancel()
    pongs = [message.pong for message in here.sent if isinstance(message, messages.Heartbeat)]
    assert pongs[-1] == 500
    assert len(pongs) <= 500


def test_what_was_not_sent_is_no_answer() -> None:
    measured = RoundTrip()
    number = measured.begin(1.0)
    for forged in (0, number + 1, 2**53):
        measured.end(forged, 1.1)
    assert measured.seconds is None
    measured.end(number, 1.5)
    measured.end(number, 9.0)
    assert measured.seconds == 0.5


def test_numbers_cannot_be_guessed() -> None:
    numbers = {RoundTrip().begin(0.0) for _ in range(100)}
    assert len(numbers) == 100
    assert all(0 < number < 2**48 for number in numbers)


def test_one_time_that_waited_for_something_else_does_not_count() -> None:
    measured = RoundTrip()
    for turn in range(SAMPLES):
        number = measured.begin(100.0 * turn)
        measured.end(number, 100.0 * turn + (30.0 if turn == 1 else 0.25))
    assert measured.seconds == 0.25


def test_an_answer_that_never_comes_is_given_up_and_times_are_bounded() -> None:
    measured = RoundTrip()
    first = measured.begin(0.0)
    assert measured.begin(MAX_SECONDS - 1) == 0
    second = measured.begin(MAX_SECONDS)
    assert second not in (0, first)
    measured.end(second, 1e9)
    assert measured.seconds == MAX_SECONDS


@pytest.mark.parametrize(("seconds", "reported"), [(0.0, 1), (0.0012, 1200), (1e9, MAX_ROUND_TRIP)])
def test_reports_have_microseconds(seconds: float, reported: int) -> None:
    assert to_round_trip(seconds) == reported
