"""Channels over WebSockets, as client and as server.

`websockets` speaks the protocol, without I/O; the bytes are read and written here. A message is
read by whoever waits for it, with no task in between.
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidState, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import CLOSED, OPEN, Protocol
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from .. import messages
from ..channel import BrokenRulesError, ChannelClosedError
from ..errors import UsageError
from .addresses import split_address

PATH = "/node"
"""Where nodes connect to, on the port that serves the pages as well."""
FIRST_MESSAGE_BYTES = 64 * 1024
"""Bytes that a client may send before its first message has been read."""
RECEIVE_BYTES = 64 * 1024
"""Bytes to ask the operating system for at once; whoever reads no messages reads no more."""
BROKEN_RULES = {
    1002: "a frame was malformed",
    1007: "a text was malformed",
    1009: "a message was too large",
}
"""WebSocket's codes for closing a connection because of what came on it."""
CONNECT_SECONDS = 10.0
"""How long connecting may take."""
GOODBYE_SECONDS = 1.0
"""How long saying why a connection is closed may take."""


class WebSocketChannel:
    """A `pando.channel.Channel` over a WebSocket. It has no signs of life: see `Link`.

    Args:
        stream: what carries the bytes.
        protocol: this end of the WebSocket, open or about to be.
    """

    def __init__(self, stream: ActiveStream, protocol: Protocol) -> None:
        self._stream = stream
        self._protocol = protocol
        self._sending = trio.Lock()
        self._events: deque[object] = deque()
        self._parts = bytearray()

    @property
    def last_activity(self) -> float:
        """When bytes came last, on Trio's clock."""
        return self._stream.last_activity

    async def send(self, message: messages.Message) -> None:
        try:
            self._protocol.send_binary(messages.encode(message))
        except InvalidState:
            raise self._closed() from None
        await self.flush()

    async def receive(self) -> messages.Message:
        while True:
            frame = await self.next_event()
            if isinstance(frame, Frame) and frame.opcode in (Opcode.BINARY, Opcode.CONT):
                if frame.fin and not self._parts:
                    return self._decode(frame.data)
                self._parts += frame.data
                if frame.fin:
                    whole, self._parts = self._parts, bytearray()
                    return self._decode(whole)
            elif isinstance(frame, Frame) and frame.opcode is Opcode.TEXT:
                raise messages.MalformedMessageError("text, where messages are bytes")

    def _decode(self, data: bytes | bytearray | memoryview) -> messages.Message:
        self._stream.allowance = None
        return messages.decode(data)

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self._stream)

    async def next_event(self) -> object:
        """The next frame, or what the opening handshake consists of."""
        while not self._events:
            if self._protocol.state is CLOSED or self._protocol.close_expected():
                raise self._closed()
            try:
                data = await self._stream.receive_some(RECEIVE_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
                raise self._closed(error) from None
            if data:
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
            self._events.extend(self._protocol.events_received())
            if self._protocol.writes:
                await self._answer()
        return self._events.popleft()

    async def _answer(self) -> None:
        """Send what the protocol has to say to what came: a pong, or why it is the end."""
        if self._protocol.state is OPEN:
            await self.flush()
            return
        with trio.move_on_after(GOODBYE_SECONDS):
            try:
                await self.flush()
            except ChannelClosedError:
                return

    async def flush(self) -> None:
        """Send what the protocol has written, and all of it before anything else.

        Raises:
            ChannelClosedError: the channel has ended.
        """
        try:
            self._sending.acquire_nowait()
        except trio.WouldBlock:
            await self._sending.acquire()
        try:
            for data in self._protocol.data_to_send():
                if data:  # the empty one says that no more comes, which closing says as well
                    await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
            raise self._closed(error) from None
        except trio.Cancelled:
            # Half a message may have gone: nothing that follows it would be understood.
            await self.aclose()
            raise
        finally:
            self._sending.release()

    def _closed(self, error: BaseException | None = None) -> ChannelClosedError:
        """Why the channel has ended, from what has been raised, if anything has."""
        sent = self._protocol.close_sent
        if self._stream.allowance == 0:
            return BrokenRulesError("the first message was too large")
        if self._protocol.parser_exc is not None and sent and sent.code in BROKEN_RULES:
            return BrokenRulesError(BROKEN_RULES[sent.code])
        if error is not None:
            why = f": {error}" if str(error) else ""
            return ChannelClosedError(f"the link is lost{why}")
        return ChannelClosedError("the link is closed")


class ActiveStream(trio.abc.Stream):
    """A stream that remembers when bytes came, and gives some bytes once more at first.

    Args:
        stream: what carries the bytes.
        read_already: bytes that have been read from it, to be read again.
        allowance: how many more bytes may be read; None is any number.
    """

    def __init__(
        self, stream: trio.abc.Stream, read_already: bytes = b"", *, allowance: int | None = None
    ) -> None:
        self._stream = stream
        self._first = read_already
        self.allowance = allowance
        self.last_activity = trio.current_time()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._first:
            data, self._first = self._first, b""
            await trio.lowlevel.checkpoint()
            return data
        if self.allowance == 0:
            raise trio.BrokenResourceError("too much has come before the first message was read")
        if self.allowance is not None:
            max_bytes = min(self.allowance, max_bytes or self.allowance)
        data = bytes(await self._stream.receive_some(max_bytes))
        if self.allowance is not None:
            self.allowance -= len(data)
        self.last_activity = trio.current_time()
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


def _root_cause(error: BaseException) -> str:
    """What the operating system, or TLS, said in the end."""
    while True:
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[-1]
        elif error.__cause__ is not None:
            error = error.__cause__
        else:
            return getattr(error, "strerror", None) or str(error) or type(error).__name__


@asynccontextmanager
async def connect(address: str, *, tls: bool = False) -> AsyncIterator[WebSocketChannel]:
    """Connect to a node at ``HOST:PORT``.

    Raises:
        ChannelClosedError: nobody answers there, or not as a node does.
    """
    stream = ActiveStream(await _open_stream(address, tls=tls))
    try:
        uri = parse_uri(f"{'wss' if tls else 'ws'}://{address}{PATH}")
        protocol = ClientProtocol(uri, max_size=messages.MAX_MESSAGE_BYTES)
        channel = WebSocketChannel(stream, protocol)
        with trio.move_on_after(CONNECT_SECONDS) as deadline:
            await _ask_for_websocket(address, channel, protocol)
        if deadline.cancelled_caught:
            raise ChannelClosedError(f"{address} does not answer")
        yield channel
    finally:
        await trio.aclose_forcefully(stream)


async def _open_stream(address: str, *, tls: bool) -> trio.abc.Stream:
    try:
        host, port = split_address(address)
        with trio.fail_after(CONNECT_SECONDS):
            plain = await trio.open_tcp_stream(host, port)
            if not tls:
                return plain
            context = ssl.create_default_context()
            encrypted = trio.SSLStream(plain, context, server_hostname=host)
            await encrypted.do_handshake()
            return encrypted
    except (OSError, UnicodeError, UsageError, trio.BrokenResourceError) as error:
        raise ChannelClosedError(f"{address} cannot be reached: {_root_cause(error)}") from None
    except trio.TooSlowError:
        raise ChannelClosedError(f"{address} does not answer") from None


async def _ask_for_websocket(
    address: str, channel: WebSocketChannel, protocol: ClientProtocol
) -> None:
    """The client's opening handshake."""
    protocol.send_request(protocol.connect())
    refusal: Exception | None
    try:
        await channel.flush()
        await channel.next_event()
        refusal = protocol.handshake_exc
    except ChannelClosedError as error:
        refusal = error
    if isinstance(refusal, InvalidStatus):
        text = bytes(refusal.response.body or b"").decode(errors="replace")[:200]
        raise ChannelClosedError(f"{address} refuses: {text}")
    if refusal is not None:
        raise ChannelClosedError(f"{address} does not speak as a node does")


@asynccontextmanager
async def accept(stream: ActiveStream) -> AsyncIterator[WebSocketChannel]:
    """The server's side of a connection whose client asks for a WebSocket.

    Raises:
        ChannelClosedError: the client does not finish the opening handshake.
    """
    try:
        protocol = ServerProtocol(max_size=messages.MAX_MESSAGE_BYTES)
        channel = WebSocketChannel(stream, protocol)
        with trio.move_on_after(CONNECT_SECONDS):
            request = await channel.next_event()
            assert isinstance(request, Request)
            protocol.send_response(protocol.accept(request))
            await channel.flush()
        if protocol.state is not OPEN:
            raise ChannelClosedError("the opening handshake was not finished")
        yield channel
    finally:
        await trio.aclose_forcefully(stream)
