"""What every channel keeps to, whatever it is made of.

Those that carry bytes and those that carry messages pass the same suite: order, ends that are
noticed at both sides, closing twice, cancelling.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple

import msgspec
import pytest
import trio
import trio.testing

from pando import messages, values
from pando.channel import (
    ChannelClosedError,
    ProtocolViolationError,
    limit_messages,
    memory_channel_pair,
)
from pando.functions.serialized import serialize
from pando.messages import Capacity, Results
from pando.net import websocket
from pando.net.addresses import listen
from pando.net.keepalive import KeepaliveChannel
from pando.net.listener import ConnectionServer
from pando.net.request_policy import RequestPolicy
from pando.net.trust.noise import CipherState
from pando.net.trust.secure_channel import SecureChannel
from pando.net.trust.transport import Transport
from pando.net.webrtc.connection import open_connection
from pando.net.websocket import TAG_BYTES
from pando.worker.launcher import Launcher
from pando.worker.process import WorkerProcess
from pando.worker.starting import run_worker

HOME = "127.0.0.1"
GENEROUS_SECONDS = 20.0


class Pair(NamedTuple):
    """Two ends of a channel.

    Attributes:
        make: makes what the first end sends for a number.
        read: the number in what the second end receives.
    """

    here: Any
    there: Any
    make: Callable[[int], Any]
    read: Callable[[Any], int]


def make_bytes(number: int) -> bytes:
    return number.to_bytes(4, "big")


def read_bytes(data: bytes) -> int:
    return int.from_bytes(bytes(data), "big")


def read_capacity(message: messages.Message) -> int:
    assert isinstance(message, Capacity)
    return message.workers


@asynccontextmanager
async def memory() -> AsyncIterator[Pair]:
    here, there = memory_channel_pair()
    yield Pair(here, there, make_bytes, read_bytes)


@asynccontextmanager
async def over_websocket() -> AsyncIterator[Pair]:
    listeners, port = await listen(0, HOME)
    send, receive = trio.open_memory_channel[Any](1)

    async def serve(channel: Any, host: str) -> None:
        await send.send(channel)
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ConnectionServer(RequestPolicy(), serve).run, listeners)
        async with websocket.connect(f"{HOME}:{port}") as here:
            yield Pair(here, await receive.receive(), make_bytes, read_bytes)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def keepalive(
    below: Callable[[], AbstractAsyncContextManager[Pair]],
) -> AsyncIterator[Pair]:
    async with below() as pair, trio.open_nursery() as nursery:
        ends = KeepaliveChannel(pair.here), KeepaliveChannel(pair.there)
        for end in ends:
            nursery.start_soon(end.run)
        yield Pair(*ends, Capacity, read_capacity)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def worker() -> AsyncIterator[Pair]:
    """A worker process that squares: what is sent to it is a lease, what it sends are results."""
    launcher = Launcher(serialize(square), 1)
    send, receive = trio.open_memory_channel[WorkerProcess](1)
    done = trio.Event()

    async def serve(process: WorkerProcess) -> None:
        await send.send(process)
        await done.wait()

    def make(number: int) -> messages.Message:
        return messages.Lend(number + 1, msgspec.Raw(values.encode([number])))

    def read(message: messages.Message) -> int:
        assert isinstance(message, Results)
        (result,) = values.decode(message.values)
        assert result == (message.lease - 1) ** 2
        return message.lease - 1

    async def run() -> None:
        await run_worker(launcher, serve)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        process = await receive.receive()
        yield Pair(process, process, make, read)
        done.set()
    launcher.close()


@asynccontextmanager
async def over_webrtc() -> AsyncIterator[Pair]:
    pytest.importorskip("aiortc")
    async with open_connection() as offering, open_connection() as answering:
        answer = await answering.make_answer(await offering.make_offer())
        await offering.accept_answer(answer)
        yield Pair(await offering.open(), await answering.open(), make_bytes, read_bytes)


def square(number: int) -> int:
    return number * number


CHANNELS = [
    pytest.param(memory, id="memory"),
    pytest.param(lambda: keepalive(memory), id="keepalive"),
    pytest.param(over_websocket, id="websocket", marks=pytest.mark.socket),
    pytest.param(
        lambda: keepalive(over_websocket), id="keepalive-websocket", marks=pytest.mark.socket
    ),
    pytest.param(over_webrtc, id="webrtc", marks=pytest.mark.socket),
    pytest.param(lambda: keepalive(over_webrtc), id="keepalive-webrtc", marks=pytest.mark.socket),
    pytest.param(worker, id="worker", marks=pytest.mark.process),
]
on_each_channel = pytest.mark.parametrize("open_pair", CHANNELS)
OpenPair = Callable[[], AbstractAsyncContextManager[Pair]]


@on_each_channel
async def test_messages_come_whole_and_in_order(open_pair: OpenPair) -> None:
    with trio.fail_after(GENEROUS_SECONDS):
        async with open_pair() as pair, trio.open_nursery() as nursery:

            async def send() -> None:
                for number in range(50):
                    await pair.here.send(pair.make(number))

            nursery.start_soon(send)
            for number in range(50):
                assert pair.read(await pair.there.receive()) == number


@on_each_channel
async def test_a_receiver_that_is_cancelled_loses_nothing(open_pair: OpenPair) -> None:
    with trio.fail_after(GENEROUS_SECONDS):
        async with open_pair() as pair:
            with trio.move_on_after(0.01) as waiting:
                await pair.there.receive()
            assert waiting.cancelled_caught
            await pair.here.send(pair.make(7))
            assert pair.read(await pair.there.receive()) == 7


@on_each_channel
async def test_the_end_is_noticed_at_both_ends(open_pair: OpenPair) -> None:
    with trio.fail_after(GENEROUS_SECONDS):
        async with open_pair() as pair:
            await pair.here.aclose()
            for end in (pair.here, pair.there):
                with pytest.raises(ChannelClosedError) as caught:
                    while True:  # what was under way may come before
                        await end.receive()
                assert str(caught.value), "an end has a reason"
                with pytest.raises(ChannelClosedError):
                    for number in range(1000):  # the network may take some before it knows
                        await end.send(pair.make(number))


@on_each_channel
async def test_whoever_waits_learns_of_the_end(open_pair: OpenPair) -> None:
    with trio.fail_after(GENEROUS_SECONDS):
        async with open_pair() as pair, trio.open_nursery() as nursery:

            async def wait() -> None:
                with pytest.raises(ChannelClosedError):
                    await pair.there.receive()

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked(0.01)
            await pair.here.aclose()


@on_each_channel
async def test_closing_twice_is_closing_once(open_pair: OpenPair) -> None:
    with trio.fail_after(GENEROUS_SECONDS):
        async with open_pair() as pair:
            for end in (pair.here, pair.there, pair.here):
                await end.aclose()


@on_each_channel
async def test_sending_and_receiving_are_points_where_a_task_can_be_cancelled(
    open_pair: OpenPair,
) -> None:
    with trio.fail_after(GENEROUS_SECONDS):
        async with open_pair() as pair:
            for operation in (lambda: pair.here.send(pair.make(0)), pair.there.receive):
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await operation()
                    pytest.fail("it was not cancelled")


@asynccontextmanager
async def encrypted(
    below: Callable[[], AbstractAsyncContextManager[Pair]],
) -> AsyncIterator[Pair]:
    async with below() as pair:
        keys = bytes(32), bytes(range(32))
        here = SecureChannel(pair.here, Transport((CipherState(keys[0]), CipherState(keys[1]))))
        there = SecureChannel(pair.there, Transport((CipherState(keys[1]), CipherState(keys[0]))))
        yield Pair(here, there, pair.make, pair.read)


@pytest.mark.socket
@pytest.mark.parametrize(
    "open_pair",
    [
        pytest.param(over_websocket, id="websocket"),
        pytest.param(lambda: encrypted(over_websocket), id="encrypted-websocket"),
        pytest.param(over_webrtc, id="webrtc"),
    ],
)
async def test_a_longer_message_than_was_agreed_on_ends_the_channel(open_pair: OpenPair) -> None:
    with trio.fail_after(GENEROUS_SECONDS):
        async with open_pair() as pair:
            await pair.here.send(bytes(5000))
            assert len(await pair.there.receive()) == 5000
            limit_messages(pair.there, 1000 + TAG_BYTES)
            await pair.here.send(bytes(1000))
            assert len(await pair.there.receive()) == 1000
            await pair.here.send(bytes(5000))
            with pytest.raises(ProtocolViolationError):
                await pair.there.receive()
