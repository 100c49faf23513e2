"""A run's registration at a public server, through which its volunteers come."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import trio

from ..channel import Channel
from ..net.addresses import is_host, is_loopback
from ..net.relayed.channel import RelayedChannel
from ..net.relayed.frames import Purpose
from ..net.relayed.link import RelayLink
from ..net.relayed.own_links import OwnLink
from ..net.relayed.proof import RoomKey
from ..net.relayed.server_address import ServerAddress
from ..net.trust.join_link import format_credentials
from ..net.trust.key_store import HeldLink
from ..net.visitor import Visitor
from ..net.webrtc.ice_servers import IceServer, parse_url
from ..notifier import Notifier
from .monitoring_link import MonitoringLink
from .page_link import PageLink
from .serve_options import SECRET_VARIABLE, ServeOptions

HandleConnection = Callable[[Channel, Visitor], Awaitable[None]]


class Registration:
    """A run's registration, from `open` to `finish`.

    Args:
        options: with a host.
        link: what the run's link stands for; the room is named after its keys.
        handle_connection: serves each node that comes through the server.
        page_link: answers the pages of the server.
        monitoring_link: lets those watch the run who may.
        say: takes sentences for the person who runs the program.

    Raises:
        UsageError: the secret is too easy to guess, or there are no certificates in the file.
    """

    def __init__(
        self,
        options: ServeOptions,
        link: HeldLink,
        handle_connection: HandleConnection,
        page_link: PageLink,
        monitoring_link: MonitoringLink,
        say: Notifier,
    ) -> None:
        assert options.host is not None, "there is a server to register at"
        self._server = ServerAddress.parse(options.host)
        self._key = RoomKey.of(link.keys.root_keys())
        self._credentials = format_credentials(link.keys.fingerprint, link.secret)
        self._handle_connection = handle_connection
        self._page_link = page_link
        self._monitoring_link = monitoring_link
        self._own_link: OwnLink | None = None
        self._relay = RelayLink(
            self._server,
            self._key,
            self._serve,
            secret=options.secret or os.environ.get(SECRET_VARIABLE) or None,
            say=say,
            cafile=None if options.cafile is None else os.fspath(options.cafile),
        )

    async def open(self, nursery: trio.Nursery) -> None:
        """Register; what goes through the server runs in `nursery` from now on.

        Raises:
            ServerError: the server cannot be reached, or refuses this run.
        """
        await nursery.start(self._relay.run)
        if self._server.is_this_machine:
            self._own_link = OwnLink(self._key.room, self._credentials, self._server.url)

    @property
    def link(self) -> str:
        """The link by which volunteers join."""
        return f"{self.link_beginning}#{self._credentials}"

    @property
    def stun_server(self) -> IceServer | None:
        """The server's STUN, where it has said that it answers it, for others than this machine."""
        parts = urlsplit(self._relay.url)
        host, port = parts.hostname or "", self._relay.stun_port
        if not port or not is_host(host) or ":" in host or is_loopback(host) or host == "localhost":
            return None
        return parse_url(f"stun:{host}:{port}")

    @property
    def link_beginning(self) -> str:
        """The same up to its ``#``."""
        return self._relay.link

    @property
    def monitoring_link(self) -> str:
        """The link by which the run is watched."""
        return f"{self.link_beginning}/monitoring#{self._monitoring_link.credentials}"

    async def finish(self) -> None:
        """Say that the run is over, and end the registration."""
        if self._own_link is not None:
            self._own_link.remove()
        await self._relay.finish()

    async def _serve(self, channel: RelayedChannel, purpose: Purpose, address: str) -> None:
        visitor = Visitor(
            address if is_host(address) else "",
            is_relayed=True,
            over_https=self._relay.url.startswith("https:"),
        )
        if purpose is Purpose.NODE:
            await self._handle_connection(channel, visitor)
        elif purpose is Purpose.PAGE:
            await self._page_link.serve(channel, visitor)
        elif purpose is Purpose.MONITORING:
            await self._monitoring_link.serve(channel, visitor)
