"""Large messages over a channel: in parts, overtaken by others, within the memory for them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio

from pando import messages
from pando.channel import ChannelClosedError, memory_channel_pair
from pando.net import large_messages
from pando.net.keepalive import STALL_SECONDS, KeepaliveChannel
from pando.net.large_messages import FREE_BYTES, MAX_WHOLE_BYTES, Memory

MEGABYTE = 1024 * 1024


def lend(size: int) -> messages.Lend:
    return messages.Lend(1, msgspec.Raw(msgspec.msgpack.encode([b"x" * size])))


@pytest.mark.parametrize("size", [1, MAX_WHOLE_BYTES, MAX_WHOLE_BYTES + 1, 70 * MEGABYTE])
async def test_a_message_of_any_size_arrives_whole(size: int, autojump_clock: Any) -> None:
    here, there = map(KeepaliveChannel, memory_channel_pair())
    async with trio.open_nursery() as nursery:
        for link in (here, there):
            nursery.start_soon(link.run)
        nursery.start_soon(here.send, lend(size))
        nursery.start_soon(_ignore_all, here)
        received = await there.receive()
        assert isinstance(received, messages.Lend)
        assert msgspec.msgpack.decode(received.items) == [b"x" * size]
        nursery.cancel_scope.cancel()


async def _ignore_all(link: KeepaliveChannel) -> None:
    while True:
        await link.receive()


async def test_other_messages_overtake_a_large_one(autojump_clock: Any) -> None:
    ours, theirs = memory_channel_pair(capacity=0)
    here = KeepaliveChannel(ours)
    tags = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.send, lend(4 * MEGABYTE))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(here.send, messages.Heartbeat())
        while tags.count("Part") < 17:
            tags.append(type(messages.decode(await theirs.receive())).__name__)
    assert tags[0] == "Large"
    assert tags.index("Heartbeat") < 5


async def test_values_wait_until_there_is_memory_for_them(autojump_clock: Any) -> None:
    memory = Memory(30 * MEGABYTE)
    memory._free = 40 * MEGABYTE
    ends = [memory_channel_pair() for _ in range(3)]
    arrived = []

    async def take(link: KeepaliveChannel) -> None:
        message = await link.receive()
        assert isinstance(message, messages.Lend)
        arrived.append(len(bytes(message.items)))

    async with trio.open_nursery() as nursery:
        for ours, theirs in ends:
            here, there = KeepaliveChannel(ours), KeepaliveChannel(theirs, memory=memory)
            nursery.start_soon(there.run)
            nursery.start_soon(take, there)
            nursery.start_soon(_ignore_all, here)
            nursery.start_soon(here.send, lend(25 * MEGABYTE))
        with trio.move_on_after(20):
            while len(arrived) < 3:
                assert memory._free >= 0
                await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    assert len(arrived) == 3
    assert memory._free == 40 * MEGABYTE


async def test_memory_is_free_again_when_a_sender_is_gone_or_stalls(autojump_clock: Any) -> None:
    memory = Memory(30 * MEGABYTE)
    free = memory._free
    ours, theirs = memory_channel_pair()
    there = KeepaliveChannel(theirs, memory=memory)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(there.run)
        await ours.send(messages.encode(messages.Large(20 * MEGABYTE)))
        nursery.start_soon(_keep_alive, ours)
        started = trio.current_time()
        with pytest.raises(ChannelClosedError, match="did not go on"):
            await there.receive()
        assert trio.current_time() - started < 2 * STALL_SECONDS
        nursery.cancel_scope.cancel()
    assert memory._free == free


async def _keep_alive(channel: Any) -> None:
    while True:
        await trio.sleep(1)
        await channel.send(messages.encode(messages.Heartbeat()))


@pytest.mark.parametrize(
    "sent",
    [
        [messages.Large(0)],
        [messages.Large(10**12)],
        [messages.Large(FREE_BYTES), messages.Large(FREE_BYTES)],
        [messages.Part(b"x")],
        [messages.Large(MAX_WHOLE_BYTES + 1), messages.Part(b"")],
        [messages.Large(MAX_WHOLE_BYTES + 1), messages.Part(b"x" * (MAX_WHOLE_BYTES + 2))],
    ],
)
async def test_parts_that_make_no_sense_are_refused(sent: list[messages.Message]) -> None:
    ours, theirs = memory_channel_pair()
    for message in sent:
        await ours.send(messages.encode(message))
    with pytest.raises(messages.MalformedMessageError):
        await KeepaliveChannel(theirs).receive()


def test_what_is_announced_takes_no_memory_before_it_comes() -> None:
    assembly = large_messages.Assembly(Memory())
    assembly.begin(FREE_BYTES, lambda: None)
    assert not assembly._data
