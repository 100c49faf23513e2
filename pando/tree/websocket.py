"""Channels over WebSockets, as client and as server, with trio-websocket."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import trio
import trio_websocket

from .. import messages
from ..channel import BrokenRulesError, ChannelClosedError
from ..errors import UsageError

PATH = "/node"
"""Where nodes connect to, on the port that serves the pages as well."""
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""The largest message that is taken; whoever sends a larger one is cut off."""
FIRST_MESSAGE_BYTES = 64 * 1024
"""Bytes that a client may send before its first message has been read."""
QUEUED_MESSAGES = 16
RECEIVE_BYTES = 256 * 1024
BROKEN_RULES = {
    1002: "a frame was malformed",
    1007: "a text was malformed",
    1009: "a message was too large",
}
"""WebSocket's codes for closing a connection because of what came on it."""
CONNECT_SECONDS = 10.0
"""How long connecting may take."""


class WebSocketChannel:
    """A `pando.channel.Channel` over a WebSocket. It has no signs of life: see `Link`."""

    def __init__(self, socket: trio_websocket.WebSocketConnection, stream: ActiveStream) -> None:
        self._socket = socket
        self._stream = stream

    @property
    def last_activity(self) -> float:
        """When bytes came last, on Trio's clock."""
        return self._stream.last_activity

    async def send(self, message: messages.Message) -> None:
        try:
            await self._socket.send_message(messages.encode(message))
        except (trio_websocket.ConnectionClosed, trio.ClosedResourceError, OSError) as error:
            raise self._closed(error) from None

    async def receive(self) -> messages.Message:
        try:
            data = await self._socket.get_message()
        except (trio_websocket.ConnectionClosed, trio.ClosedResourceError, OSError) as error:
            raise self._closed(error) from None
        self._stream.allowance = None
        if isinstance(data, str):
            raise messages.MalformedMessageError("text, where messages are bytes")
        return messages.decode(data)

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self._stream)

    def _closed(self, error: BaseException) -> ChannelClosedError:
        """Why the channel has ended, from what the library raises."""
        code = getattr(getattr(error, "reason", None), "code", None)
        if self._stream.allowance == 0:
            return BrokenRulesError("the first message was too large")
        if code in BROKEN_RULES:
            return BrokenRulesError(BROKEN_RULES[code])
        return ChannelClosedError(_reason(error))


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


def _reason(error: BaseException) -> str:
    if isinstance(error, trio_websocket.ConnectionClosed):
        return "the link is closed"
    return f"the link is lost: {error}" if str(error) else "the link is lost"


@asynccontextmanager
async def _open(
    stream: ActiveStream, make: Callable[[trio.Nursery], Awaitable[Any]]
) -> AsyncIterator[WebSocketChannel]:
    """A channel with its reading task. What goes wrong inside the library ends the channel."""
    body_error: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            with trio.fail_after(CONNECT_SECONDS):
                socket = await make(nursery)
            try:
                yield WebSocketChannel(socket, stream)
            except trio.Cancelled:
                raise
            except BaseException as error:
                body_error = error
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if body_error is None:
            others = group.split(Exception)[1]
            if others is not None:
                raise
            raise ChannelClosedError(_reason(group.exceptions[0])) from None
    finally:
        await trio.aclose_forcefully(stream)
    if body_error is not None:
        raise body_error


@asynccontextmanager
async def connect(address: str, *, tls: bool = False) -> AsyncIterator[WebSocketChannel]:
    """Connect to a node at ``HOST:PORT``.

    Raises:
        ChannelClosedError: nobody answers there, or not as a node does.
    """
    try:
        host, port = split_address(address)
        with trio.fail_after(CONNECT_SECONDS):
            plain = await trio.open_tcp_stream(host, port)
            raw: trio.abc.Stream = plain
            if tls:
                context = ssl.create_default_context()
                raw = trio.SSLStream(plain, context, server_hostname=host)
                await raw.do_handshake()
    except (OSError, UnicodeError, UsageError, trio.BrokenResourceError) as error:
        raise ChannelClosedError(f"{address} cannot be reached: {_root_cause(error)}") from None
    except trio.TooSlowError:
        raise ChannelClosedError(f"{address} does not answer") from None
    stream = ActiveStream(raw)

    async def make(nursery: trio.Nursery) -> Any:
        try:
            return await trio_websocket.wrap_client_stream(
                nursery,
                stream,  # type: ignore[arg-type]
                address,
                PATH,
                message_queue_size=QUEUED_MESSAGES,
                max_message_size=MAX_MESSAGE_BYTES,
                receive_buffer_size=RECEIVE_BYTES,
            )
        except trio_websocket.ConnectionRejected as error:
            raise ChannelClosedError(
                f"{address} refuses: {(error.body or b'').decode(errors='replace')[:200]}"
            ) from None
        except (trio_websocket.HandshakeError, trio_websocket.ConnectionClosed):
            raise ChannelClosedError(f"{address} does not speak as a node does") from None

    try:
        async with _open(stream, make) as channel:
            yield channel
    except trio.TooSlowError:
        raise ChannelClosedError(f"{address} does not answer") from None


@asynccontextmanager
async def accept(stream: ActiveStream) -> AsyncIterator[WebSocketChannel]:
    """The server's side of a connection whose client asks for a WebSocket.

    Raises:
        ChannelClosedError: the client does not finish the opening handshake.
    """

    async def make(nursery: trio.Nursery) -> Any:
        request = await trio_websocket.wrap_server_stream(
            nursery,
            stream,
            message_queue_size=QUEUED_MESSAGES,
            max_message_size=MAX_MESSAGE_BYTES,
            receive_buffer_size=RECEIVE_BYTES,
        )
        return await request.accept()

    try:
        async with _open(stream, make) as channel:
            yield channel
    except (trio.TooSlowError, trio_websocket.ConnectionClosed):
        raise ChannelClosedError("the opening handshake was not finished") from None


def split_address(address: str) -> tuple[str, int]:
    """The host and the port of ``HOST:PORT`` or ``[HOST]:PORT``."""
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port is None:
        raise UsageError(f"{address!r} is not an address such as 192.168.1.7:5000")
    return host, port
