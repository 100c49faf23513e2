"""A server: the listener on its port, and where each connection goes."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import trio

from ..net.addresses import is_loopback, listen
from ..net.listener import ConnectionServer, FirstRequest
from ..net.prefixed_stream import socket_of
from ..net.relayed import proof
from ..net.trust.peer_user import find_peer_user, is_own_user
from .home import render_metrics
from .options import ServerOptions
from .policy import CONTROL_PATH, PublicServerPolicy, find_client, find_room, is_local
from .relay import Relay
from .rooms import Rooms
from .stun import StunResponder

SALT_BYTES = 16
STRANGER_BYTES = 64 * 1024 + 1024
"""Bytes that a node may send before its first part has been read."""


def is_from_own_user(socket: Any) -> bool:
    """Whether a process of this very user, on this machine, is at the other end."""
    return is_own_user(find_peer_user(socket))


class Server:
    """Serves roots, their nodes and pages on one port.

    Args:
        options: see `ServerOptions`.
        say: told in sentences what happens.
        is_from_own_user: tells whether a process of this user is at the other end of a socket.

    Attributes:
        port: what it listens on, once `run` does.
        stun_port: the UDP port on which it answers STUN; 0 where it does not.
        rooms: who is here.
    """

    def __init__(
        self,
        options: ServerOptions,
        say: Callable[[str], None],
        is_from_own_user: Callable[[Any], bool] = is_from_own_user,
    ) -> None:
        self.port = self.stun_port = 0
        self.rooms = Rooms(options.limits)
        self._options = options
        self._say = say
        self._peer_is_own_user = is_from_own_user
        self._policy = PublicServerPolicy(options.public_host)
        self._listener = ConnectionServer(
            self._policy,
            route=self._route,
            tls=options.tls_context(),
            limits=options.connection_limits,
        )
        self._relay: Relay
        self._pages: Any = None
        self._loading_pages = trio.Lock()
        self._end = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen and serve until `close`.

        Raises:
            UsageError: the port or the address cannot be listened on.
        """
        options = self._options
        listeners, self.port = await listen(options.port, options.listen)
        salt = secrets.token_bytes(SALT_BYTES)
        mac_key = None
        if options.secret is not None:
            mac_key = await trio.to_thread.run_sync(proof.derive_key, options.secret, salt)
        stun = StunResponder(self.rooms.counters)
        wanted = self.port if options.stun_port is None else options.stun_port
        if wanted and await stun.open(wanted, options.listen):
            self.stun_port = wanted
        url = options.public_url
        self._relay = Relay(self.rooms, mac_key, salt, url, self._report, self.stun_port)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stun.run)
            nursery.start_soon(self._relay.run)
            nursery.start_soon(self._listener.run, listeners)
            task_status.started()
            await self._end.wait()
            await self._relay.close()
            nursery.cancel_scope.cancel()

    def close(self) -> None:
        """Tell everybody to come back later, and serve no more."""
        self._end.set()

    # ---- connections ----

    async def _route(self, request: FirstRequest) -> None:
        head, peer = request.head, request.host
        if head.upgrade != "websocket":
            await self._load_pages()
            is_own = is_loopback(peer) and self._is_from_own_user(request)
            await self._pages.serve(request.as_page(), is_own_user=is_own)
            return
        address = find_client(peer, head.headers, self._options.proxies)
        if head.path == CONTROL_PATH:
            local = is_local(peer, head.headers) and head.origin is None
            is_own = local and self._is_from_own_user(request)
            await self._relay.serve_root(request.as_websocket(), address, is_own_user=is_own)
            return
        found = find_room(head.path)
        assert found is not None, "the policy lets in no other WebSockets"
        node = request.as_websocket(remaining_bytes=STRANGER_BYTES)
        del request, head  # there may be thousands of nodes
        await self._relay.serve_node(node, *found, address)

    def _is_from_own_user(self, request: FirstRequest) -> bool:
        return not self._options.is_for_others and self._peer_is_own_user(socket_of(request.stream))

    def _report(self, sentence: str, address: str) -> None:
        self._say(f"{sentence} ({address})" if self._options.log_addresses else sentence)

    # ---- pages ----

    async def _load_pages(self) -> None:
        async with self._loading_pages:
            if self._pages is None:
                self._pages = await trio.to_thread.run_sync(self._make_pages)

    def _make_pages(self) -> Any:
        """The app, whose modules take a quarter of a second to import."""
        from .app import ServerPages

        return ServerPages(self._policy, lambda: self.rooms.rooms, self._metrics)

    def _metrics(self) -> str:
        gauges = {
            "rooms": len(self.rooms.rooms),
            "nodes": self.rooms.nodes,
            "queued_bytes": self.rooms.queued_bytes,
            "connections": self._listener.connections,
        }
        return render_metrics(gauges, self.rooms.counters + self._listener.counters)
