"""Accept all connections at one port, count and time them, and check their first requests.

A request for a WebSocket on `pando.net.websocket.PATH` goes to the node, everything else to the
pages, where there are any; a public server routes requests itself. All streams belong to this
module, so that at the end they can be closed by force: a client that has stopped reading cannot
hold anything up.
"""

from __future__ import annotations

import functools
import logging
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

import trio

from .. import messages
from ..channel import Channel, ChannelClosedError
from ..limits import Limits
from . import websocket
from .addresses import is_loopback
from .open_files import allow_files
from .prefixed_stream import PrefixedStream, socket_of
from .request_policy import MAX_HEAD_BYTES, Refusal, RequestHead, RequestPolicy, parse_head
from .trust.peer_user import find_peer_user, is_own_user
from .visitor import Visitor, current_visitor

logger = logging.getLogger(__name__)

PLAIN_REQUEST = Refusal(400, "This server speaks https: use the link with https://.")
TLS_HANDSHAKE = b"\x16"
"""How a client begins that expects TLS."""
PAUSE_SECONDS = 0.1
"""How long to wait when the operating system has no more file descriptors."""


class Pages(Protocol):
    """What serves everything that is not a node's."""

    async def serve(self, stream: PageStream) -> None:
        """Serve one connection until it ends."""


class PageStream(trio.abc.Stream):
    """A page client's connection: the head that was read comes again, and silence ends it."""

    def __init__(self, stream: Any, prefix: bytes, silence: float) -> None:
        self._stream = stream
        self._first = prefix
        self._silence = silence
        self.socket = socket_of(stream)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._first:
            data, self._first = self._first, b""
            await trio.lowlevel.checkpoint()
            return data
        with trio.move_on_after(self._silence):
            return bytes(await self._stream.receive_some(max_bytes))
        return b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        with trio.move_on_after(self._silence):
            await self._stream.send_all(data)
            return
        raise trio.BrokenResourceError("the client does not read")

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


@dataclass(frozen=True)
class FirstRequest:
    """A connection whose first request has been let in.

    Attributes:
        stream: the connection, behind TLS where there is any.
        data: what has been read of it: the head, and what came with it.
        head: the head, parsed.
        host: the address that the other end is seen at.
        silence: seconds that a client of pages may be silent.
    """

    stream: Any
    data: bytes
    head: RequestHead
    host: str
    silence: float

    @functools.cached_property
    def visitor(self) -> Visitor:
        """The other end, of whom the kernel is asked only where somebody wants to know."""
        is_own = not self.head.is_forwarded and _is_own_user(socket_of(self.stream))
        return Visitor(self.host, is_own)

    def as_websocket(self, *, remaining_bytes: int | None = None) -> PrefixedStream:
        """The connection from its beginning, for a WebSocket; see `PrefixedStream`."""
        return PrefixedStream(self.stream, self.data, remaining_bytes=remaining_bytes)

    def as_page(self) -> PageStream:
        """The connection from its beginning, for pages."""
        current_visitor.set(self.visitor)
        return PageStream(self.stream, self.data, self.silence)


Route = Callable[[FirstRequest], Awaitable[None]]


class ConnectionServer:
    """Accept connections and pass each to what serves it.

    Args:
        policy: checks the head of each first request.
        serve_node: given the channel of each node that connects, and who it is.
        pages: serves everything else, if anything does.
        route: serves each connection, in place of the two.
        tls: the context, where connections are encrypted.
        limits: see `Limits`.
    """

    def __init__(
        self,
        policy: RequestPolicy,
        serve_node: Callable[[Channel, Visitor], Awaitable[None]] | None = None,
        *,
        pages: Pages | None = None,
        route: Route | None = None,
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._policy = policy
        self._serve_node = serve_node
        self._pages = pages
        self._route = route or self._route_to_node_or_pages
        self._tls = tls
        self._limits = limits or Limits()
        self._max_connections = allow_files(self._limits.connections)
        self._sockets: set[trio.socket.SocketType] = set()
        self._per_address: Counter[str] = Counter()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._sockets)

    async def run(self, listeners: Sequence[trio.SocketListener]) -> None:
        """Serve until cancelled; then close every connection at once."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._close_all_at_end)
            for listener in listeners:
                nursery.start_soon(self._accept_from, listener, nursery)

    async def _close_all_at_end(self) -> None:
        """When cancelled, wake up also those who are inside a shielded send."""
        try:
            await trio.sleep_forever()
        finally:
            for socket in self._sockets:
                socket.close()

    async def _accept_from(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        async with listener:
            while True:
                try:
                    stream = await listener.accept()
                except OSError:
                    self.counters["accept_errors"] += 1
                    await trio.sleep(PAUSE_SECONDS)
                    continue
                nursery.start_soon(self._serve, stream)

    async def _serve(self, stream: trio.SocketStream) -> None:
        """One connection, from its first byte to its last. Nothing it does ends the server."""
        try:
            address = str(stream.socket.getpeername()[0])
        except OSError:
            await trio.aclose_forcefully(stream)
            return
        limits = self._limits
        if len(self._sockets) >= self._max_connections:
            self.counters["connections_over_limit"] += 1
            await trio.aclose_forcefully(stream)
            return
        if self._per_address[address] >= limits.connections_per_address:
            self.counters["connections_over_address_limit"] += 1
            await trio.aclose_forcefully(stream)
            return
        self._sockets.add(stream.socket)
        self._per_address[address] += 1
        try:
            await self._serve_admitted(stream, _plain_address(address))
        except (OSError, ssl.SSLError, trio.BrokenResourceError, trio.ClosedResourceError):
            self.counters["connections_broken"] += 1
        except ChannelClosedError:
            self.counters["tls_handshakes_timed_out"] += 1
        except Exception:
            self.counters["internal_errors"] += 1
            # Without the address: this is logged also by servers that were not asked for any.
            logger.exception("a connection was closed because of an error in Pando")
        finally:
            self._sockets.discard(stream.socket)
            self._per_address[address] -= 1
            if not self._per_address[address]:
                del self._per_address[address]
            stream.socket.close()

    async def _serve_admitted(self, plain: trio.SocketStream, address: str) -> None:
        request = await self._read_request(plain, address)
        if request is not None:
            served = self._route(request)
            del request  # or its head would be kept for as long as the connection lasts
            await served

    async def _read_request(self, plain: trio.SocketStream, address: str) -> FirstRequest | None:
        """The first request of a connection; None where it is none, or is refused."""
        stream: Any = plain
        with trio.move_on_after(self._limits.head_seconds) as deadline:
            if self._tls is not None:
                stream = await _decrypt(plain, self._tls)
                if stream is None:
                    self.counters["plaintext_requests"] += 1
                    await _refuse(plain, PLAIN_REQUEST)
                    return None
            data = await _read_head(stream)
        if deadline.cancelled_caught:
            self.counters["requests_timed_out"] += 1
            return None
        if data is None:
            self.counters["malformed_requests"] += 1
            await _refuse(stream, Refusal(431, "Request header too large."))
            return None
        if not data:
            return None
        try:
            head = parse_head(data)
        except ValueError as error:
            self.counters["malformed_requests"] += 1
            await _refuse(stream, Refusal(400, f"Malformed HTTP request: {error}."))
            return None
        refusal = self._policy.check(head)
        if refusal is not None:
            self.counters["requests_refused"] += 1
            await _refuse(stream, refusal)
            return None
        return FirstRequest(stream, data, head, address, self._limits.page_seconds)

    async def _route_to_node_or_pages(self, request: FirstRequest) -> None:
        if request.head.is_node:
            assert self._serve_node is not None, "who lets nodes in serves them"
            active = request.as_websocket(remaining_bytes=websocket.FIRST_MESSAGE_BYTES)
            async with websocket.accept(active) as channel:
                await self._serve_node(channel, request.visitor)
        elif self._pages is None:
            await _refuse(request.stream, Refusal(404, "Not found: this node serves no pages."))
        else:
            await self._pages.serve(request.as_page())


async def _decrypt(
    plain: trio.SocketStream, tls: ssl.SSLContext
) -> trio.SSLStream[trio.SocketStream] | None:
    """The stream inside of TLS; None where the client speaks plain HTTP."""
    stream = trio.SSLStream(plain, tls, server_side=True, https_compatible=True)
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError as error:
        if getattr(error.__cause__, "reason", "") == "HTTP_REQUEST":
            return None
        raise
    return stream


async def _read_head(stream: trio.abc.Stream) -> bytes | None:
    """The bytes up to the end of the head, and what came with them; None where it is too long.

    What begins as TLS, which is not spoken here, is not read on: it would never end as a head.
    """
    data = b""
    while b"\r\n\r\n" not in data and not data.startswith(TLS_HANDSHAKE):
        if len(data) > MAX_HEAD_BYTES:
            return None
        more = await stream.receive_some(MAX_HEAD_BYTES)
        if not more:
            return b""
        data += more
    return data


async def _refuse(stream: trio.abc.Stream, refusal: Refusal) -> None:
    body = f"{refusal.reason}\n".encode()
    head = (
        f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}\r\n"
        f"{websocket.SERVER_HEADER}: {messages.VERSION}\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    with trio.move_on_after(1.0), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await stream.send_all(head.encode() + body)


def _is_own_user(socket: trio.socket.SocketType) -> bool:
    """Whether the other end is a program of this process's user on this machine."""
    try:
        own, peer = str(socket.getsockname()[0]), str(socket.getpeername()[0])
    except OSError:
        return False
    is_here = own == peer or is_loopback(_plain_address(peer))
    return is_here and is_own_user(find_peer_user(socket))


def _plain_address(address: str) -> str:
    """An IPv4 address as such, also where it came through an IPv6 socket."""
    return address.removeprefix("::ffff:")
