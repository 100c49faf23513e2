"""Channels over WebSockets, as client and as server.

`websockets` speaks the protocol, and `websocket_frames` reads and writes whole messages, both
without I/O; the bytes are read and written here. A message is read by whoever waits for it, with
no task in between.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import CLOSED, OPEN, Event, Protocol
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from .. import messages
from ..channel import ChannelClosedError, ProtocolViolationError
from ..errors import UsageError, one_line
from .addresses import split_address
from .prefixed_stream import PrefixedStream
from .tls import describe_failure, has_certificate
from .websocket_frames import FrameReader, encode_message

PATH = "/node"
"""Where nodes connect to, on the port that serves the pages as well."""
FIRST_MESSAGE_BYTES = 64 * 1024
"""Bytes that a client may send before its first message has been read."""
TAG_BYTES = 16
"""What encryption adds to a message."""
RECEIVE_BYTES = 64 * 1024
"""Bytes to ask the operating system for at once; whoever reads no messages reads no more."""
MAX_RECEIVE_BYTES = 256 * 1024
"""The same amid a long message."""
BROKEN_RULES = {
    1002: "a frame was malformed",
    1007: "a text was malformed",
    1009: "a message was too large",
}
"""WebSocket's codes for closing a connection because of what came on it."""
IS_PUBLIC_SERVER = "This is a pando-server: links to its runs have a path, /r/…."
"""What a public server answers who takes it for a run."""
SERVER_HEADER = "Pando"
"""The header by which refusals of a Pando node are told from other servers' answers."""
TLS_ALERT = b"\x15\x03"
"""How a server begins that expects TLS, and answers what is not."""
CONNECT_SECONDS = 10.0
"""How long connecting may take."""
CONNECTING = re.compile(r"^Error connecting to \(.*?\): ")
"""What Trio says before the reason: the address, which is said already, as Python has it."""
CLOSE_TIMEOUT_SECONDS = 1.0
"""How long saying why a connection is closed may take."""


class WebSocketChannel:
    """A `pando.channel.Channel` over a WebSocket. It has no heartbeats: see `keepalive`.

    Args:
        stream: what carries the bytes.
        protocol: this end of the WebSocket, open or about to be.

    Attributes:
        arrival_seconds: time from the first part of the last message to its last one.
    """

    def __init__(self, stream: PrefixedStream, protocol: Protocol) -> None:
        self._stream = stream
        self._protocol = protocol
        self._sending = trio.Lock()
        self._reader = FrameReader(protocol)
        self._events: list[Event] = []
        """Those that have come and are not taken, the next one last."""
        self._parts = bytearray()
        self._first_part_at: float | None = None
        self.arrival_seconds = 0.0

    @property
    def last_progress(self) -> float:
        """When a part of a message was taken last, on Trio's clock."""
        return self._stream.last_progress

    @property
    def last_activity(self) -> float:
        """When bytes came last, on Trio's clock."""
        return self._stream.last_activity

    @property
    def socket(self) -> trio.socket.SocketType:
        """The socket below it."""
        return self._stream.socket

    def began_with(self, prefix: bytes) -> bool:
        """Whether these are the first bytes that came."""
        return self._stream.first_received.startswith(prefix)

    def limit_messages(self, max_bytes: int) -> None:
        """Take no message from now on that is longer."""
        self._protocol.max_message_size = max_bytes

    async def send(self, data: bytes) -> None:
        if self._protocol.state is not OPEN:
            raise self._closed()
        await self.flush(encode_message(self._protocol, data))

    async def receive(self) -> bytes | bytearray | memoryview:
        while True:
            frame = await self.next_event()
            if isinstance(frame, Frame) and frame.opcode in (Opcode.BINARY, Opcode.CONT):
                if frame.fin and not self._parts:
                    return self._whole(frame.data)
                self._note_part()
                self._parts += frame.data
                if frame.fin:
                    whole, self._parts = self._parts, bytearray()
                    return self._whole(whole)
            elif isinstance(frame, Frame) and frame.opcode is Opcode.TEXT:
                raise messages.MalformedMessageError("text, where messages are bytes")

    def _whole(self, data: bytes | bytearray | memoryview) -> bytes | bytearray | memoryview:
        """A whole message: from the first on any number of bytes may come."""
        self._stream.remaining_bytes = None
        first, self._first_part_at = self._first_part_at, None
        self.arrival_seconds = 0.0 if first is None else self.last_activity - first
        return data

    def _note_part(self) -> None:
        """Note that a part of a message has come, of which the rest has not."""
        if self._first_part_at is None:
            self._first_part_at = self.last_activity

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self._stream)

    async def next_event(self) -> object:
        """The next frame, or what the opening handshake consists of."""
        while not self._events:
            if self._protocol.state is CLOSED or self._protocol.close_expected():
                raise self._closed()
            if self._reader.is_behind:
                self._events = self._reader.receive(b"")
            else:
                await self._receive_more()
            self._events.reverse()
            if not self._events:
                self._note_part()
            if self._protocol.writes:
                await self._answer()
        return self._events.pop()

    async def _receive_more(self) -> None:
        size = max(RECEIVE_BYTES, min(self._reader.missing, MAX_RECEIVE_BYTES))
        try:
            data = await self._stream.receive_some(size)
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
            raise self._closed(error) from None
        if data:
            self._events = self._reader.receive(data)
        else:
            self._protocol.receive_eof()

    async def _answer(self) -> None:
        """Send what the protocol has to say to what came: a pong, or why it is the end."""
        if self._protocol.state is OPEN:
            await self.flush()
            return
        with trio.move_on_after(CLOSE_TIMEOUT_SECONDS):
            try:
                await self.flush()
            except ChannelClosedError:
                return

    async def flush(self, message: Sequence[bytes] = ()) -> None:
        """Send what the protocol has written, then a message, and all of it before anything else.

        Args:
            message: its frame, in pieces.

        Raises:
            ChannelClosedError: the channel has ended.
        """
        try:
            self._sending.acquire_nowait()
        except trio.WouldBlock:
            await self._sending.acquire()
        try:
            # An empty piece says that no more comes, which closing says as well.
            await self._stream.send_pieces([*self._protocol.data_to_send(), *message])
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
        if self._stream.remaining_bytes == 0:
            return ProtocolViolationError("the first message was too large")
        if self._protocol.parser_exc is not None and sent and sent.code in BROKEN_RULES:
            return ProtocolViolationError(BROKEN_RULES[sent.code])
        if error is not None:
            why = f": {error}" if str(error) else ""
            return ChannelClosedError(f"the link is lost{why}")
        received = self._protocol.close_rcvd
        if received is not None:
            return ChannelClosedError(
                "the link is closed", code=received.code, said=received.reason
            )
        return ChannelClosedError("the link is closed")


def _root_cause(error: BaseException) -> str:
    """What the operating system, or TLS, said in the end."""
    while True:
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[-1]
        elif error.__cause__ is not None:
            error = error.__cause__
        else:
            text = getattr(error, "strerror", None) or str(error) or type(error).__name__
            return CONNECTING.sub("", text)


class PublicServerError(ChannelClosedError):
    """At this address is no node, but a public server, whose runs have rooms."""


@asynccontextmanager
async def connect(
    address: str,
    *,
    path: str = PATH,
    tls: ssl.SSLContext | None = None,
    fingerprint: str = "",
) -> AsyncIterator[WebSocketChannel]:
    """Connect to a node.

    Args:
        address: ``HOST:PORT``.
        path: where on that server.
        tls: how to check its certificate, where the connection is to be encrypted by TLS.
        fingerprint: that of the only certificate to believe.

    Raises:
        ChannelClosedError: nothing answers there, or not as a node does.
    """
    stream = PrefixedStream(await open_stream(address, tls, fingerprint))
    try:
        uri = parse_uri(f"{'ws' if tls is None else 'wss'}://{address}{path}")
        protocol = ClientProtocol(uri, max_size=messages.MAX_MESSAGE_BYTES + TAG_BYTES)
        channel = WebSocketChannel(stream, protocol)
        with trio.move_on_after(CONNECT_SECONDS) as deadline:
            await _ask_for_websocket(address, channel, protocol, is_encrypted=tls is not None)
        if deadline.cancelled_caught:
            raise ChannelClosedError(f"{address} does not answer")
        yield channel
    finally:
        await trio.aclose_forcefully(stream)


async def open_stream(
    address: str, tls: ssl.SSLContext | None, fingerprint: str = ""
) -> trio.abc.Stream:
    """Open a connection, encrypted by TLS or not; see `connect`.

    Raises:
        ChannelClosedError: nothing answers there, or not with the right certificate.
    """
    try:
        host, port = split_address(address)
        with trio.fail_after(CONNECT_SECONDS):
            plain = await trio.open_tcp_stream(host, port)
            return plain if tls is None else await _encrypt(plain, host, tls, fingerprint, address)
    except (OSError, UnicodeError, UsageError, trio.BrokenResourceError) as error:
        raise ChannelClosedError(f"{address} cannot be reached: {_root_cause(error)}") from None
    except trio.TooSlowError:
        raise ChannelClosedError(f"{address} does not answer") from None


async def _encrypt(
    plain: trio.SocketStream, host: str, tls: ssl.SSLContext, fingerprint: str, address: str
) -> trio.abc.Stream:
    encrypted = trio.SSLStream(plain, tls, server_hostname=host)
    try:
        await encrypted.do_handshake()
        if fingerprint and not has_certificate(encrypted, fingerprint):
            raise ChannelClosedError(f"{address} has another certificate than the link names")
    except trio.BrokenResourceError as error:
        await trio.aclose_forcefully(plain)
        raise describe_failure(address, error.__cause__ or error) from None
    except ssl.SSLError as error:
        await trio.aclose_forcefully(plain)
        raise describe_failure(address, error) from None
    except BaseException:
        await trio.aclose_forcefully(plain)
        raise
    return encrypted


async def _ask_for_websocket(
    address: str, channel: WebSocketChannel, protocol: ClientProtocol, *, is_encrypted: bool
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
        if _tells_of_server(refusal.response):
            raise PublicServerError(_describe_refusal(address, refusal.response))
        raise ChannelClosedError(_describe_refusal(address, refusal.response))
    if refusal is not None:
        if not is_encrypted and channel.began_with(TLS_ALERT):
            raise ChannelClosedError(f"{address} speaks https: use the link with https://")
        raise ChannelClosedError(f"{address} is not a Pando node")


def _tells_of_server(response: Response) -> bool:
    said = bytes(response.body or b"").decode(errors="replace")
    return SERVER_HEADER in response.headers and said.startswith(IS_PUBLIC_SERVER)


def _describe_refusal(address: str, response: Response) -> str:
    """What an answer that opens no WebSocket means."""
    text = bytes(response.body or b"").decode(errors="replace")
    if SERVER_HEADER in response.headers:
        return f"{address} refuses: {one_line(text).rstrip('.')}"
    if response.status_code == 400 and "https" in text.lower():
        return f"{address} speaks https: use the link with https://"
    return f"{address} is a web server, but not Pando (it answers {response.status_code})"


@asynccontextmanager
async def accept(stream: PrefixedStream) -> AsyncIterator[WebSocketChannel]:
    """The server's side of a connection whose client asks for a WebSocket.

    Raises:
        ChannelClosedError: the client does not finish the opening handshake.
    """
    try:
        protocol = ServerProtocol(max_size=messages.MAX_MESSAGE_BYTES + TAG_BYTES)
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
