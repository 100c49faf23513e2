"""Sending in pieces: all comes in order, and how far that has come is known meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from trio.testing import memory_stream_pair

from pando.net.prefixed_stream import SEND_BYTES, PrefixedStream

GENEROUS_SECONDS = 20.0
PIECES = [b"head", b"", bytes(range(256)) * 20_000, *[b"ab"] * 5_000, b"tail"]
READ_BYTES = 10_000

MakePair = Callable[[], Awaitable[tuple[trio.abc.SendStream, trio.abc.ReceiveStream]]]


async def sockets() -> tuple[trio.abc.SendStream, trio.abc.ReceiveStream]:
    here, there = trio.socket.socketpair()
    return trio.SocketStream(here), trio.SocketStream(there)


async def in_memory() -> tuple[trio.abc.SendStream, trio.abc.ReceiveStream]:
    """A stream that is no socket, as one that is encrypted by TLS is none."""
    return memory_stream_pair()


@pytest.mark.socket
@pytest.mark.parametrize("make_pair", [sockets, in_memory])
async def test_pieces_come_in_order(make_pair: MakePair) -> None:
    here, there = await make_pair()
    stream = PrefixedStream(here)  # type: ignore[arg-type]
    received = bytearray()
    with trio.fail_after(GENEROUS_SECONDS):
        async with here, there, trio.open_nursery() as nursery:

            async def send() -> None:
                await stream.send_pieces(PIECES)
                await here.aclose()

            nursery.start_soon(send)
            while data := await there.receive_some(READ_BYTES):
                received += data
    assert received == b"".join(PIECES)


@pytest.mark.socket
async def test_progress_is_noted_as_the_other_end_reads() -> None:
    here, there = await sockets()
    stream = PrefixedStream(here)  # type: ignore[arg-type]
    has_sent = False
    with trio.fail_after(GENEROUS_SECONDS):
        async with here, there, trio.open_nursery() as nursery:

            async def send() -> None:
                nonlocal has_sent
                await stream.send_pieces(PIECES)
                has_sent = True

            nursery.start_soon(send)
            await trio.testing.wait_all_tasks_blocked()
            before = stream.last_progress
            while stream.last_progress == before:
                await there.receive_some(READ_BYTES)
            assert not has_sent, "there is more than the socket holds"
            nursery.cancel_scope.cancel()


async def test_what_is_no_socket_takes_a_long_piece_bit_by_bit() -> None:
    here, _ = memory_stream_pair()
    taken: list[int] = []

    async def note() -> None:
        taken.append(len(here.send_stream.get_data_nowait()))

    here.send_stream.send_all_hook = note
    await PrefixedStream(here).send_pieces([bytes(3 * SEND_BYTES + 1)])
    assert taken == [SEND_BYTES] * 3 + [1]
