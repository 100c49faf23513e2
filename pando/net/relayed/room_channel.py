"""A joining node's way into a room: a WebSocket to the server, whose messages are parts."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from ...channel import ChannelClosedError
from ...errors import one_line
from .. import websocket
from . import parts
from .channel import MAX_SEALED_BYTES
from .frames import CLOSE_CODE, Ending


class RoomClosedError(ChannelClosedError):
    """The server has closed the connection.

    Attributes:
        ending: why.
    """

    def __init__(self, ending: Ending, sentence: str) -> None:
        words = one_line(sentence) or "the server has closed the connection"
        super().__init__(words, code=CLOSE_CODE + ending)
        self.ending = ending


class RoomChannel:
    """A `pando.channel.Channel` to the root of a room.

    Args:
        channel: the WebSocket.

    Attributes:
        last_progress: when a part was sent last, on Trio's clock.
    """

    def __init__(self, channel: websocket.WebSocketChannel) -> None:
        self.last_progress = trio.current_time()
        self._channel = channel
        self._assembler = parts.Assembler(MAX_SEALED_BYTES)
        self._sending = trio.Lock()

    @property
    def last_activity(self) -> float:
        """When bytes came last, on Trio's clock."""
        return self._channel.last_activity

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        async with self._sending:
            try:
                for part in parts.split(data):
                    await self._channel.send(part)
                    self.last_progress = trio.current_time()
            except trio.Cancelled:
                # Half a message may have gone: nothing that follows it would be understood.
                await self._channel.aclose()
                raise
            except ChannelClosedError as error:
                raise _describe(error) from None

    async def receive(self) -> bytes:
        while True:
            try:
                part = bytes(await self._channel.receive())
            except ChannelClosedError as error:
                raise _describe(error) from None
            message = self._assembler.add(part)
            if message is not None:
                return message

    async def aclose(self) -> None:
        await self._channel.aclose()


@asynccontextmanager
async def connect_to_room(
    address: str, room: str, tls: ssl.SSLContext | None
) -> AsyncIterator[RoomChannel]:
    """Connect to the root of a room.

    Args:
        address: ``HOST:PORT`` of the server.
        room: the name of the room.
        tls: how to check the server's certificate, where the link is one of https.

    Raises:
        ChannelClosedError: nothing answers there, or not as a server does.
    """
    async with websocket.connect(address, path=f"/r/{room}/node", tls=tls) as channel:
        yield RoomChannel(channel)


def _describe(error: ChannelClosedError) -> ChannelClosedError:
    """The error for people, where the server has said why it closes the connection."""
    try:
        ending = Ending((error.code or 0) - CLOSE_CODE)
    except ValueError:
        return error
    return RoomClosedError(ending, error.said)
