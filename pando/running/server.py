"""A server: accept connections of volunteers for one or more runs, and serve the pages."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import trio

from ..errors import PandoError, UsageError
from ..net.addresses import listen
from ..net.listener import ConnectionServer
from ..net.request_policy import RequestPolicy
from ..net.tls import server_context
from ..net.trust.identity import LinkInUse, RootIdentity
from ..net.trust.key_store import LinkKeys
from ..net.visitor import Visitor, current_visitor
from ..net.webrtc.availability import answers_offers
from ..net.webrtc.ice_servers import IceSettings
from ..notifier import Notifier
from .endpoint import Endpoint
from .lazy_pages import LazyPages
from .monitoring import RunMonitoring
from .page_proof import PageProof
from .runs_at_server import RunsAtServer
from .serve_options import ServeOptions
from .server_links import ServerLinks

if TYPE_CHECKING:
    from .registration import Registration

logger = logging.getLogger(__name__)

KEPT = " (kept for later runs)"
MANAGEMENT = "monitoring, and sending devices away"
"""What the management link is printed after."""


class Server:
    """Accept volunteers for runs, and serve the volunteer and monitoring pages.

    Volunteers come to a port of this machine, through a public server, or both ways.

    Args:
        options: see `ServeOptions`.
        endpoint: the token and the last port that this process uses with these options.
        say: takes sentences for the person who runs the program.

    Attributes:
        opened: set when the server listens, or has failed.
        closed: set when it has stopped.
        failure: the error that has stopped it.
        users: the number of runs that use it.
        runs: those that accept volunteers now.
    """

    def __init__(self, options: ServeOptions, endpoint: Endpoint, say: Notifier) -> None:
        self.tls = (
            None if options.certfile is None else server_context(options.certfile, options.keyfile)
        )
        self.port = 0
        self.opened = trio.Event()
        self.closed = trio.Event()
        self.failure: Exception | None = None
        self.users = 0
        self._said_note = False
        is_https = self.tls is not None or (options.public_url or "").startswith("https:")
        self.runs = RunsAtServer(over_https=is_https)
        self._proof = PageProof(endpoint)
        self._links = ServerLinks(options)
        self._options = options
        self._endpoint = endpoint
        self._say = say
        self._registration: Registration | None = None
        self._opening = trio.CancelScope()
        self._closing = trio.Event()
        self._policy = RequestPolicy(_public_names(options))
        self._pages = LazyPages(self._make_pages)
        self.connection_server = ConnectionServer(
            self._policy,
            self.runs.handle_connection,
            pages=self._pages,
            tls=self.tls,
            limits=options.limits,
        )

    def __repr__(self) -> str:
        state = "closed" if self.closed.is_set() else f"port {self.port}"
        return f"<Server: {state}, {len(self.runs)} runs>"

    async def run(self) -> None:
        """Listen, be registered at the public server, or both, and serve until closed.

        Raises:
            ServerError: the public server cannot be reached, or refuses this run.
            UsageError: the address cannot be bound.
        """
        failure: PandoError | None = None
        async with trio.open_nursery() as nursery:
            try:
                with self._opening:
                    await self._open(nursery)
            except PandoError as error:  # raised below: here, the nursery would wrap it in a group
                failure = error
            else:
                logger.debug("%r is open", self)
                self.opened.set()
                await self._closing.wait()
                if self._registration is not None:
                    await self._registration.finish()
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _open(self, nursery: trio.Nursery) -> None:
        if self._options.serves_here:
            listeners, self.port = await self._listen()
            nursery.start_soon(self._pages.prepare)
            nursery.start_soon(self.connection_server.run, listeners)
        if self._options.host is not None:
            from .monitoring_link import MonitoringLink
            from .page_link import PageLink
            from .registration import Registration

            link = self._endpoint.link
            assert link is not None, "a host and open exclude each other"
            self._remember_port()
            pages = PageLink(self.identity, self._describe_relayed, self.runs.find_by_digest)
            monitoring = MonitoringLink(link.keys, self._endpoint.view_token, self)
            self._registration = Registration(
                self._options, link, self.runs.handle_connection, pages, monitoring, self._say
            )
            await self._registration.open(nursery)
            if answers_offers(self._options.protocol):
                from ..net.webrtc.connection import prepare

                nursery.start_soon(prepare)
        elif "link" in vars(self._endpoint):
            self._remember_port()

    async def _listen(self) -> tuple[list[trio.SocketListener], int]:
        options, endpoint = self._options, self._endpoint
        last_port = endpoint.port or endpoint.kept_port(options)
        if last_port:
            with suppress(UsageError):  # another process has taken it in the meantime
                return await listen(last_port, options.listen)
        listeners, port = await listen(options.port, options.listen, any_port=options.any_port)
        if last_port:
            self._say(
                f"port {last_port}, where devices wait for the next run, is taken: they will not "
                f"find this run, which serves on port {port}"
            )
        elif options.port and port != options.port:
            self._say(f"port {options.port} is taken, so this run serves on port {port}")
        endpoint.port = port
        return listeners, port

    def _remember_port(self) -> None:
        link = self._endpoint.link
        if link is not None:
            # A kept port stays, even if it was taken: devices wait there, and it may be free again.
            kept_port = self._endpoint.kept_port(self._options)
            link.remember(kept_port or self.port or link.keys.port)
            if link.note and not self._said_note:
                self._said_note = True
                self._say(link.note)

    @cached_property
    def identity(self) -> RootIdentity:
        """What the root of each run here proves itself with."""
        return RootIdentity(self._open_link, self.asks_for_link)

    def _open_link(self) -> LinkInUse:
        link = self._endpoint.link
        if link is None:
            return LinkInUse(LinkKeys.generate(), None, lasts=True)
        self._remember_port()
        return LinkInUse(link.keys, link.secret, link.is_kept)

    def close(self) -> None:
        """Stop serving."""
        self._closing.set()
        self._opening.cancel()

    @property
    def is_closing(self) -> bool:
        """Whether `close` has been called."""
        return self._closing.is_set()

    # ---- who is let in ----

    def asks_for_link(self, visitor: Visitor) -> bool:
        """Return whether this visitor must know the link: it is anybody but the same user.

        A program of the same user on this machine could read the run's memory. Where others come
        through such a program, such as a proxy or a tunnel, it counts as anybody's.
        """
        options = self._options
        if options.open:
            return False
        return bool(options.public_url) or options.ask_token or not visitor.is_own_user

    async def is_invited(self, proof: str) -> bool:
        """Return whether somebody who opens the page may know of the runs.

        Args:
            proof: what the page makes of the link, so that its secret is never sent.
        """
        visitor = current_visitor.get()
        if not self.asks_for_link(visitor) or await self._proof.matches(proof):
            return True
        for monitoring in self.monitored()[:1]:
            reason = (
                "its link has expired, or is another run's" if proof else "its link is not whole"
            )
            monitoring.refuse(f"a browser at {visitor.host}", reason)
        return False

    @property
    def link_lasts(self) -> bool:
        """Whether later runs can be joined by the same link."""
        link = self._endpoint.link
        return link is None or link.is_kept

    def ice_settings(self, options: ServeOptions) -> IceSettings:
        """Return the STUN and TURN servers of a run with these options.

        Where none are named, it is the public server's own, if it answers STUN: no third party.
        """
        named = options.ice_settings()
        if options.ice_servers is None and self._registration is not None:
            own = self._registration.stun_server
            return named if own is None else named.with_server(own)
        return named

    # ---- links ----

    def announce(self, say: Notifier) -> None:
        """Say how to watch the runs and how to join them, unless that has been said already."""
        text = " · ".join(self._announcements())
        if text and self._endpoint.announced != text:
            self._endpoint.announced = text
            say(text)

    def _announcements(self) -> Iterator[str]:
        if not self._options.is_local or self._registration is not None:
            yield f"volunteers join at {self.links[0]}{self.outlook}"
        hint = ' (other devices can join with serve="lan")' if self._is_alone else ""
        yield f"monitoring: {self.monitoring_link}{hint}"
        if self.management_link not in ("", self.monitoring_link):
            yield f"{MANAGEMENT}: {self.management_link}"

    @property
    def _is_alone(self) -> bool:
        """Whether only this machine can connect."""
        return self._options.is_local and self._registration is None

    @cached_property
    def links(self) -> list[str]:
        """The links by which volunteers join; the one through a public server comes first."""
        link = self._endpoint.link
        if link is not None:
            self._remember_port()
        links = []
        if self._registration is not None:
            links.append(self._registration.link)
        if self._options.serves_here:
            links += self._links.direct(self.port, link)
        return links

    @property
    def outlook(self) -> str:
        """How long the link is good, in words to append; empty where it is good for this run."""
        link = self._endpoint.link
        return KEPT if link is not None and link.is_kept else ""

    @property
    def monitoring_link(self) -> str:
        """The link by which the runs can be watched; with its token if other machines can.

        Through a public server it is watched from anywhere, so this link comes before a port's.
        """
        if self._registration is not None:
            return self._registration.monitoring_link
        return self._watching_link(self._endpoint.view_token)

    @property
    def management_link(self) -> str:
        """The link of this machine's port for those who may send devices away as well, if any."""
        if not self._options.serves_here:
            return ""
        return self._watching_link(self._endpoint.management_token)

    def _watching_link(self, token: str) -> str:
        if self._options.is_local and not self._options.public_url:
            return f"{self._links.here(self.port)}monitoring"
        beginning = self._links.direct(self.port, None)[0].partition("#")[0]
        return f"{beginning}monitoring#{token}"

    # ---- pages ----

    def _make_pages(self) -> Any:
        """Import and create the pages, which takes a quarter of a second."""
        from ..web.app import PageHandler

        return PageHandler(
            self.runs.describe,
            self._policy,
            self,
            self._links.beginning,
            self.runs.find_wheel,
            self.is_invited,
        )

    async def _describe_relayed(self, identifier: str) -> dict[str, Any]:
        """Describe a run to a page of the public server, which has Python itself."""
        assert self._registration is not None, "it has asked through the server"
        page = await self.runs.describe(identifier)
        return page.describe(self._registration.link_beginning, has_pyodide=True)

    # ---- monitoring ----

    def monitored(self) -> list[RunMonitoring]:
        """Return what is known of all runs, the newest first; at last of the one that is over."""
        return self.runs.monitored()

    def invitation(self) -> str:
        """Return the link by which other devices join; empty if none can."""
        is_near = self._options.is_local and not self._options.public_url
        return "" if is_near or not self.runs else self.links[0]

    def may_look(self, token: str) -> bool:
        """Return whether the visitor of the pages may see what is known of the runs.

        Programs of the user who started the runs may, on this machine; others need the token.
        """
        if not self.asks_for_link(current_visitor.get()):
            return True
        return _equals(token, self._endpoint.view_token) or self.may_manage(token)

    def may_manage(self, token: str) -> bool:
        """Return whether the visitor of the pages may send devices away.

        On this machine the user who started the runs may, who could end them as well.
        """
        visitor, options = current_visitor.get(), self._options
        is_passed_on = bool(options.public_url) or options.ask_token
        if visitor.is_own_user and not is_passed_on:
            return True
        return _equals(token, self._endpoint.management_token)


def _equals(given: str, token: str) -> bool:
    return secrets.compare_digest(given.encode("utf-8", "replace"), token.encode())


def _public_names(options: ServeOptions) -> list[str]:
    """Return the host names that the user has given to this server; others are refused."""
    name = urlsplit(options.public_url).hostname if options.public_url else options.listen
    return [given.rstrip(".") for given in (name, options.link_host) if given]
