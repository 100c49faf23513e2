"""A server in the test's own process, roots and nodes that connect to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from pando.channel import ChannelClosedError
from pando.net.prefixed_stream import PrefixedStream
from pando.net.relayed import parts
from pando.net.relayed.channel import RelayedChannel
from pando.net.relayed.link import RelayLink
from pando.net.relayed.proof import RoomKey
from pando.net.relayed.server_address import ServerAddress
from pando.net.trust.keys import RootKeys
from pando.net.websocket import WebSocketChannel
from pando.server.options import ServerOptions
from pando.server.serving import Server

HOME = "127.0.0.1"
SECRET = "correct horse battery"
GENEROUS_SECONDS = 20.0


def new_key() -> RoomKey:
    return RoomKey.of(RootKeys.generate())


@asynccontextmanager
async def serving(
    is_from_own_user: Callable[[Any], bool] = lambda socket: False,
    said: list[str] | None = None,
    **options: Any,
) -> AsyncIterator[Server]:
    """A server; it must end soon after the block."""
    given = {"port": 0, "listen": HOME, "secret": SECRET, **options}
    server = Server(ServerOptions(**given), (said or []).append, is_from_own_user)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        yield server
        server.close()
        nursery.cancel_scope.deadline = trio.current_time() + GENEROUS_SECONDS


async def echo(channel: RelayedChannel, purpose: object, address: str) -> None:
    """A root that sends each message back."""
    while True:
        await channel.send(await channel.receive())


@asynccontextmanager
async def root_at(
    port: int, serve: Any = echo, key: RoomKey | None = None, **options: Any
) -> AsyncIterator[RelayLink]:
    """A root that is registered."""
    link = RelayLink(
        ServerAddress(HOME, port, tls=False),
        key or new_key(),
        serve,
        **{"secret": SECRET, **options},
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(link.run)
        yield link
        nursery.cancel_scope.cancel()


class Node:
    """A joining node, which says exactly what a test wants said."""

    def __init__(self, stream: PrefixedStream, protocol: ClientProtocol) -> None:
        self.stream = stream
        self.protocol = protocol
        self.channel = WebSocketChannel(stream, protocol)
        self._assembler = parts.Assembler(10**9)

    async def send(self, message: bytes) -> None:
        for part in parts.split(message):
            await self.send_part(part)

    async def send_part(self, part: bytes) -> None:
        self.protocol.send_binary(part)
        await self.channel.flush()

    async def receive(self) -> bytes:
        with trio.fail_after(GENEROUS_SECONDS):
            while True:
                frame = await self.channel.next_event()
                if isinstance(frame, Frame) and frame.opcode is Opcode.BINARY:
                    message = self._assembler.add(bytes(frame.data))
                    if message is not None:
                        return message

    async def ending(self) -> tuple[int, str]:
        """The code and the reason with which the server closes the connection."""
        with trio.fail_after(GENEROUS_SECONDS):
            try:
                while True:
                    await self.channel.next_event()
            except ChannelClosedError:
                pass
        assert self.protocol.close_rcvd is not None, "closed without a word"
        return self.protocol.close_rcvd.code, self.protocol.close_rcvd.reason


@asynccontextmanager
async def node_at(port: int, room: str, path: str = "node", **headers: str) -> AsyncIterator[Node]:
    """A node that has opened its WebSocket."""
    stream = PrefixedStream(await trio.open_tcp_stream(HOME, port))
    try:
        uri = parse_uri(f"ws://{HOME}:{port}/r/{room}/{path}")
        protocol = ClientProtocol(uri, max_size=2**20)
        node = Node(stream, protocol)
        with trio.fail_after(GENEROUS_SECONDS):
            request = protocol.connect()
            for name, value in headers.items():
                request.headers[name.replace("_", "-")] = value
            protocol.send_request(request)
            await node.channel.flush()
            await node.channel.next_event()
        if protocol.handshake_exc is not None:
            raise protocol.handshake_exc
        yield node
    finally:
        await trio.aclose_forcefully(stream)
