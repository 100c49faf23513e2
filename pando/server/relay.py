"""The relay: control links of roots and WebSockets of nodes, around the rooms.

What comes is given to the rooms, and what they have is sent; each link has one task that reads and
one that writes. A reader never waits for a writer, so pings and heartbeats are always answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import trio

from ..limits import HEARTBEAT_TIMEOUT_SECONDS
from ..net.prefixed_stream import PrefixedStream
from ..net.relayed import frames, proof
from ..net.relayed.frames import Purpose
from ..net.relayed.proof import ProofError, ServerProof, WrongSecretError
from .limits import NODE_SILENCE_SECONDS, PROOF_SECONDS, SEND_SECONDS
from .room import JoinError, RelayedNode, RoomsFullError, RootLink
from .rooms import Rooms
from .server_socket import ServerSocket, SocketClosedError
from .signal import Signal
from .tries import Tries

STRANGER_BYTES = 8 * 1024
"""Bytes that a root may send before it has proved anything."""
CLOSE_SECONDS = 1.0
"""How long saying why a link is closed may take."""
TICK_SECONDS = 1.0
NORMAL_CLOSURE = 1000
"""The code of a WebSocket that is closed because it is no longer needed (RFC 6455, 7.4.1)."""


class Relay:
    """Serves control links and relayed nodes.

    Args:
        rooms: decides.
        mac_key: of the server's secret; None where there is none.
        salt: from which it was derived.
        public_url: what roots are told about where the server is reached.
        report: told what happens, in a sentence and with the address it concerns.
        stun_port: where roots are told that STUN is answered; 0 for nowhere.
    """

    def __init__(
        self,
        rooms: Rooms,
        mac_key: bytes | None,
        salt: bytes,
        public_url: str,
        report: Callable[[str, str], None],
        stun_port: int = 0,
    ) -> None:
        self._rooms = rooms
        self._mac_key = mac_key
        self._salt = salt
        self._public_url = public_url
        self._report = report
        self._stun_port = stun_port
        self._tries = Tries()
        self._links: dict[RootLink | RelayedNode, _RootEnd | _NodeEnd] = {}
        self._is_closing = False

    async def run(self) -> None:
        """Keep the time, until cancelled."""
        while True:
            await trio.sleep(TICK_SECONDS)
            now = trio.current_time()
            for end in list(self._links.values()):
                self._look(end.tick(self._rooms, now))
            self._look(self._rooms.tick(now, HEARTBEAT_TIMEOUT_SECONDS))

    async def close(self) -> None:
        """Tell everybody to come back later, for a second at the most."""
        self._is_closing = True
        self._look(self._rooms.close(trio.current_time()))
        with trio.move_on_after(CLOSE_SECONDS):
            while self._links:  # noqa: ASYNC110 - many tasks, each of which may be the last
                await trio.sleep(0.01)

    def _look(self, news: Iterable[RootLink | RelayedNode]) -> None:
        for each in news:
            end = self._links.get(each)
            if end is not None:
                end.look(self._rooms)

    # ---- roots ----

    async def serve_root(self, stream: PrefixedStream, address: str, *, is_own_user: bool) -> None:
        """Serve a control link until it ends. `stream` gives the request's head first."""
        stream.remaining_bytes = STRANGER_BYTES
        socket, opened = ServerSocket(stream, frames.MAX_MESSAGE_BYTES), None
        try:
            with trio.move_on_after(PROOF_SECONDS):
                await socket.open(PROOF_SECONDS)
                opened = await self._open_room(socket, address, is_own_user=is_own_user)
            if opened is not None:
                stream.remaining_bytes = None
                await self._relay_root(stream, socket, *opened, address)
        except SocketClosedError:
            self._rooms.counters["control_links_broken"] += 1

    async def _open_room(
        self, socket: ServerSocket, address: str, *, is_own_user: bool
    ) -> tuple[RootLink, bytes] | None:
        """Open a root's room, if it proves that it may; return its link, and the reply."""
        server = ServerProof(self._mac_key, self._salt, is_own_user=is_own_user)
        await socket.send(server.hello)
        request = await socket.receive()
        now = trio.current_time()
        try:
            if wait := self._tries.seconds_to_wait(address, now):
                raise ProofError(
                    f"too many wrong secrets have come from this address: wait {wait:.0f} s "
                    "(MAX_TRIES)"
                )
            link, news = self._rooms.open_room(server.check(request), now)
        except (ProofError, RoomsFullError) as error:
            self._rooms.counters["roots_refused"] += 1
            if isinstance(error, WrongSecretError):
                self._tries.add(address, now)
                self._rooms.counters["wrong_secrets"] += 1
                self._report("a run was refused: its secret is wrong", address)
            await socket.send(proof.refuse(str(error)))
            await socket.close(NORMAL_CLOSURE)
            return None
        self._look(news)
        return link, server.accept(self._public_url, self._stun_port)

    async def _relay_root(
        self,
        stream: PrefixedStream,
        socket: ServerSocket,
        link: RootLink,
        reply: bytes,
        address: str,
    ) -> None:
        rooms = self._rooms
        end = self._links[link] = _RootEnd(link, stream)
        self._report(f"run {link.room[:6]}… is here", address)
        try:
            async with trio.open_nursery() as nursery:
                end.scope = nursery.cancel_scope
                nursery.start_soon(self._write_to_root, end, socket, reply)
                await self._read_from_root(link, socket)
                nursery.cancel_scope.cancel()
        finally:
            del self._links[link]
            self._look(rooms.lose_root(link, trio.current_time()))
            self._report(f"run {link.room[:6]}… has gone", address)

    async def _read_from_root(self, link: RootLink, socket: ServerSocket) -> None:
        with suppress(SocketClosedError):
            while True:
                message = await socket.receive()
                self._look(self._rooms.receive_from_root(link, message, trio.current_time()))
        if link.dismissal is not None:
            await socket.drain()

    async def _write_to_root(self, end: _RootEnd, socket: ServerSocket, reply: bytes) -> None:
        rooms, link = self._rooms, end.link
        with suppress(SocketClosedError):
            await socket.send(reply)
            while True:
                now = trio.current_time()
                message, news = rooms.take_for_root(link, now)
                self._look(news)
                if message:
                    end.busy_since = now
                    await socket.send(message)
                    end.busy_since = None
                elif link.dismissal is not None:
                    end.scope.deadline = now + CLOSE_SECONDS
                    if link.dismissal:
                        await socket.send(link.dismissal)
                    await socket.say_goodbye(NORMAL_CLOSURE)
                    return  # the reader goes on until the root has closed the link, or it is time
                else:
                    with trio.move_on_after(rooms.seconds_to_wait(link, now) or float("inf")):
                        await end.signal.wait()
        end.scope.cancel()

    # ---- nodes ----

    async def serve_node(
        self, stream: PrefixedStream, room: str, purpose: Purpose, address: str
    ) -> None:
        """Relay a node to a room until either end leaves. `stream` gives its head first."""
        socket = ServerSocket(stream, frames.MAX_PART_BYTES)
        with suppress(SocketClosedError):
            await socket.open(PROOF_SECONDS)
            try:
                node, news = self._rooms.join(room, address, trio.current_time(), purpose)
            except JoinError as error:
                self._look(error.news)
                await socket.close(frames.CLOSE_CODE + error.ending, str(error))
                return
            try:
                async with trio.open_nursery() as nursery:
                    end = self._links[node] = _NodeEnd(node, stream, nursery.cancel_scope)
                    self._look(news)
                    nursery.start_soon(self._write_to_node, end, socket)
                    await self._read_from_node(end, socket)
            finally:
                del self._links[node]
                self._look(self._rooms.drop_node(node))

    async def _read_from_node(self, end: _NodeEnd, socket: ServerSocket) -> None:
        rooms, node = self._rooms, end.node
        while True:
            while not rooms.may_read(node):
                await end.may_read.wait()
            end.reads = True
            try:
                part = await socket.receive()
            except SocketClosedError as error:
                self._look(rooms.drop_node(node, error.ending))
                if node.ending is None:
                    end.scope.cancel()
                return
            end.reads = False
            end.trust()
            self._look(rooms.receive_from_node(node, part, trio.current_time()))

    async def _write_to_node(self, end: _NodeEnd, socket: ServerSocket) -> None:
        rooms, node = self._rooms, end.node
        try:
            while True:
                part = rooms.take_for_node(node)
                if part is not None:
                    now = end.busy_since = trio.current_time()
                    await socket.send(part)
                    end.busy_since = None
                    self._look(rooms.wrote_to_node(node, len(part), now))
                elif node.ending is not None:
                    await socket.close(frames.CLOSE_CODE + node.ending, node.sentence)
                    break
                else:
                    await end.signal.wait()
        except SocketClosedError:
            pass
        end.scope.cancel()


class _RootEnd:
    """What the relay knows of a control link."""

    def __init__(self, link: RootLink, stream: PrefixedStream) -> None:
        self.link = link
        self.signal = Signal()
        self.scope = trio.CancelScope()
        self.busy_since: float | None = None
        self._stream = stream

    def look(self, rooms: Rooms) -> None:
        self.signal.set()

    def tick(self, rooms: Rooms, now: float) -> list[Any]:
        # A long message that is still coming is a sign of life as well.
        self.link.heard = max(self.link.heard, self._stream.last_activity)
        if self.busy_since is not None and now - self.busy_since > SEND_SECONDS:
            self.scope.cancel()
        return []


class _NodeEnd:
    """What the relay knows of a node's connection."""

    __slots__ = ("_stream", "busy_since", "may_read", "node", "reads", "scope", "signal")

    def __init__(self, node: RelayedNode, stream: PrefixedStream, scope: trio.CancelScope) -> None:
        self.node = node
        self.signal = Signal()
        self.may_read = Signal()
        self.scope = scope
        self.reads = False
        self.busy_since: float | None = None
        self._stream = stream

    def trust(self) -> None:
        """Let any number of bytes come: the first part has shown that it speaks as it must."""
        self._stream.remaining_bytes = None

    def look(self, rooms: Rooms) -> None:
        if self.node.waiting or self.node.ending is not None:
            self.signal.set()
        if rooms.may_read(self.node):
            self.may_read.set()

    def tick(self, rooms: Rooms, now: float) -> Iterable[RootLink | RelayedNode]:
        if self.busy_since is not None and now - self.busy_since > SEND_SECONDS:
            self.scope.cancel()
            return rooms.drop_node(self.node, frames.Ending.SILENT)
        if self.reads and now - self._stream.last_activity > NODE_SILENCE_SECONDS:
            return rooms.drop_node(self.node, frames.Ending.SILENT)
        return []
