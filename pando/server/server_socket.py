"""The server's end of a WebSocket, whose messages are single frames, of a node or of a root."""

from __future__ import annotations

import logging
from contextlib import suppress

import trio
from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from ..channel import ChannelClosedError, ProtocolViolationError
from ..net.prefixed_stream import PrefixedStream
from ..net.relayed.frames import Ending
from ..net.websocket import WebSocketChannel

QUIET = logging.getLogger("pando.server.websockets")
"""Says nothing: at DEBUG the library would log heads of requests, addresses among them."""
QUIET.setLevel(logging.WARNING)
MAX_REASON_BYTES = 123
"""What a WebSocket's frame for closing has room for."""
CLOSE_SECONDS = 1.0


class SocketClosedError(Exception):
    """The other end has left, or has broken the rules."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.name)
        self.ending = ending


class ServerSocket:
    """The server's end.

    Args:
        stream: what carries the bytes; it gives the head of the request first.
        max_bytes: of a message.
    """

    __slots__ = ("_channel", "_protocol", "_stream")

    def __init__(self, stream: PrefixedStream, max_bytes: int) -> None:
        self._stream = stream
        self._protocol = ServerProtocol(max_size=max_bytes, logger=QUIET)
        self._channel = WebSocketChannel(stream, self._protocol)

    async def open(self, seconds: float) -> None:
        """The opening handshake, within so many seconds."""
        with trio.move_on_after(seconds):
            try:
                request = await self._channel.next_event()
                assert isinstance(request, Request)
                self._protocol.send_response(self._protocol.accept(request))
                request.headers.clear()  # which the protocol would keep to its end
                await self._channel.flush()
            except ChannelClosedError:
                pass
        if self._protocol.state is not OPEN:
            raise SocketClosedError(Ending.LEFT)

    async def send(self, message: bytes) -> None:
        """Send a message.

        Raises:
            SocketClosedError: the other end has left.
        """
        try:
            await self._channel.send(message)
        except ChannelClosedError:
            raise SocketClosedError(Ending.LEFT) from None

    async def receive(self) -> bytes:
        """The next message.

        Raises:
            SocketClosedError: the other end has left, or what came is no such message.
        """
        try:
            while True:
                frame = await self._channel.next_event()
                if not isinstance(frame, Frame) or frame.opcode in (
                    Opcode.PING,
                    Opcode.PONG,
                    Opcode.CLOSE,
                ):
                    continue
                if frame.opcode is not Opcode.BINARY or not frame.fin or not frame.data:
                    raise SocketClosedError(Ending.BROKEN_RULES)
                return bytes(frame.data)
        except ProtocolViolationError:
            raise SocketClosedError(Ending.BROKEN_RULES) from None
        except ChannelClosedError:
            raise SocketClosedError(Ending.LEFT) from None

    async def drain(self) -> None:
        """Read on until the other end closes as well; what comes counts no more.

        A connection that is closed with something unread is reset, and what has been sent last is
        lost with it.
        """
        with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            while await self._stream.receive_some():
                pass

    async def say_goodbye(self, code: int, sentence: str = "") -> None:
        """Say that nothing more is sent, and why; somebody else may be reading."""
        reason = sentence.encode()[:MAX_REASON_BYTES].decode("utf-8", "ignore")
        with suppress(InvalidState, ChannelClosedError):
            self._protocol.send_close(code, reason)
            await self._channel.flush()

    async def close(self, code: int, sentence: str = "") -> None:
        """Say why, within a second, and close."""
        with trio.move_on_after(CLOSE_SECONDS):
            await self.say_goodbye(code, sentence)
        await self._channel.aclose()
