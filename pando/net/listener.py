"""The front door: one port, at which every connection arrives and is counted, timed and judged.

A request for a WebSocket on `pando.net.websocket.PATH` goes to the node, everything else to the
pages, where there are any. All streams belong to this module, so that at the end they can be
closed by force: a client that has stopped reading cannot hold anything up.
"""

from __future__ import annotations

import logging
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import trio

from ..channel import Channel, ChannelClosedError
from ..limits import Limits
from . import websocket
from .request_policy import MAX_HEAD_BYTES, Guard, Refusal, parse_head

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 0.1
"""How long to wait when the operating system has no more file descriptors."""


class Pages(Protocol):
    """What serves everything that is not a node's."""

    async def serve(self, stream: PageStream) -> None:
        """Serve one connection until it ends."""


class PageStream(trio.abc.Stream):
    """A page client's connection: the head that was read comes again, and silence ends it."""

    def __init__(self, stream: Any, read_already: bytes, silence: float) -> None:
        self._stream = stream
        self._first = read_already
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


class Door:
    """Accepts connections and sends each where it belongs.

    Args:
        guard: judges each request's head.
        serve_node: given the channel of each node that connects, and the address it comes from.
        pages: serves everything else, if anything does.
        tls: the context, where connections are encrypted.
        limits: see `Limits`.
    """

    def __init__(
        self,
        guard: Guard,
        serve_node: Callable[[Channel, str], Awaitable[None]],
        *,
        pages: Pages | None = None,
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._guard = guard
        self._serve_node = serve_node
        self._pages = pages
        self._tls = tls
        self._limits = limits or Limits()
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
                    self.counters["accepting failed"] += 1
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
        if len(self._sockets) >= limits.connections:
            self.counters["too many connections"] += 1
            await trio.aclose_forcefully(stream)
            return
        if self._per_address[address] >= limits.connections_per_address:
            self.counters["too many connections from one address"] += 1
            await trio.aclose_forcefully(stream)
            return
        self._sockets.add(stream.socket)
        self._per_address[address] += 1
        try:
            await self._serve_admitted(stream, _plain_address(address))
        except (OSError, ssl.SSLError, trio.BrokenResourceError, trio.ClosedResourceError):
            self.counters["broken connections"] += 1
        except ChannelClosedError:
            self.counters["handshakes not finished"] += 1
        except Exception:
            self.counters["failures inside"] += 1
            logger.exception(
                "a connection from %s was closed because of an error in Pando", address
            )
        finally:
            self._sockets.discard(stream.socket)
            self._per_address[address] -= 1
            if not self._per_address[address]:
                del self._per_address[address]
            stream.socket.close()

    async def _serve_admitted(self, plain: trio.SocketStream, address: str) -> None:
        stream: Any = plain
        with trio.move_on_after(self._limits.head_seconds) as deadline:
            if self._tls is not None:
                stream = trio.SSLStream(plain, self._tls, server_side=True, https_compatible=True)
                await stream.do_handshake()
            data = await _read_head(stream)
        if deadline.cancelled_caught:
            self.counters["silent connections"] += 1
            return
        if data is None:
            self.counters["malformed requests"] += 1
            await _refuse(stream, Refusal(431, "The head of the request is too long."))
            return
        if not data:
            return
        try:
            head = parse_head(data)
        except ValueError as error:
            self.counters["malformed requests"] += 1
            await _refuse(stream, Refusal(400, f"This is not a request: {error}."))
            return
        refusal = self._guard.judge(head)
        if refusal is not None:
            self.counters["refused requests"] += 1
            await _refuse(stream, refusal)
        elif head.is_node:
            active = websocket.ActiveStream(stream, data, allowance=websocket.FIRST_MESSAGE_BYTES)
            async with websocket.accept(active) as channel:
                await self._serve_node(channel, address)
        elif self._pages is None:
            await _refuse(stream, Refusal(404, "There are no pages here."))
        else:
            await self._pages.serve(PageStream(stream, data, self._limits.page_seconds))


async def _read_head(stream: trio.abc.Stream) -> bytes | None:
    """The bytes up to the end of the head, and what came with them; None where it is too long."""
    data = b""
    while b"\r\n\r\n" not in data:
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
        f"HTTP/1.1 {refusal.status} Refused\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    with trio.move_on_after(1.0), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await stream.send_all(head.encode() + body)


def socket_of(stream: Any) -> trio.socket.SocketType:
    """The socket below a stream, encrypted or not."""
    below: trio.socket.SocketType = getattr(stream, "transport_stream", stream).socket
    return below


def _plain_address(address: str) -> str:
    """An IPv4 address as such, also where it came through an IPv6 socket."""
    return address.removeprefix("::ffff:")
