"""The server of a process: one port and one token, shared by the runs of an event loop."""

from __future__ import annotations

import logging
import os
import resource
import secrets
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import trio

from .. import messages
from ..channel import Channel
from ..errors import UsageError
from ..net.addresses import is_loopback, join_address, listen, own_addresses
from ..net.listener import Door, PageStream
from ..net.request_policy import Guard
from ..tree.membership import Membership
from .serve_options import LOCALHOST, ServeOptions

if TYPE_CHECKING:
    from ..web.frontend_files import File
    from ..web.run_page import RunPage

logger = logging.getLogger(__name__)

PAGES_AFTER_SECONDS = 0.5
"""When the pages are made ready: a run that is over sooner is spared the work."""

Say = Callable[[str], None]


class RunAtServer(Protocol):
    """What a server needs of a run: `pando.running.served_run.ServedRun`.

    Attributes:
        identifier: by which its volunteers know it again.
        membership: takes them in.
        packages: wheels for browsers, by file name.
        connections: those of its volunteers, to be cancelled at its end.
    """

    identifier: str
    membership: Membership
    packages: dict[str, File]
    connections: set[trio.CancelScope]

    @property
    def workers(self) -> int:
        """How many workers compute for it, or are about to."""

    async def describe(self) -> RunPage:
        """What the volunteer page says of it."""

    def monitoring(self) -> dict[str, Any]:
        """Its figures, ready for JSON."""


@dataclass
class Endpoint:
    """What stays of a server while its process lives, so that its links stay good.

    Attributes:
        token: what joining volunteers must know; empty where everybody may join.
        port: the port that was served on last, and will be again; 0 at first.
        announced: what has been said of it, so that it is said once.
    """

    token: str
    port: int = 0
    announced: str = ""


_endpoints: dict[tuple[object, ...], Endpoint] = {}
_servers: trio.lowlevel.RunVar[dict[tuple[object, ...], Server]] = trio.lowlevel.RunVar("servers")


def _endpoint_of(options: ServeOptions) -> tuple[object, ...]:
    """The options by which two servers are the same."""
    return (
        os.getpid(),
        options.port,
        options.any_port,
        options.listen,
        options.open,
        options.public_url,
        options.certfile,
        options.keyfile,
        options.limits,
    )


@asynccontextmanager
async def shared_server(options: ServeOptions, say: Say) -> AsyncIterator[Server]:
    """The server of these options: the one that is there, or one that is opened now.

    It serves until the last run has left it.

    Raises:
        UsageError: the port or the address cannot be listened on, or the certificate is none.
    """
    try:
        servers = _servers.get()
    except LookupError:
        servers = {}
        _servers.set(servers)
    key = _endpoint_of(options)
    while (server := servers.get(key)) is not None and server.is_closing:
        await server.closed.wait()
    if server is None:
        token = "" if options.open else secrets.token_urlsafe(12)
        endpoint = _endpoints.setdefault(key, Endpoint(token))
        server = servers[key] = Server(options, endpoint, say)
        trio.lowlevel.spawn_system_task(_serve_shared, servers, key, server)
    server.users += 1
    try:
        await server.opened.wait()
        if server.failure is not None:
            raise server.failure
        yield server
    finally:
        server.users -= 1
        if not server.users:
            server.close()
            with trio.CancelScope(shield=True):
                await server.closed.wait()


async def _serve_shared(
    servers: dict[tuple[object, ...], Server], key: tuple[object, ...], server: Server
) -> None:
    """The task of a shared server, which belongs to no run. Nothing that it does ends others."""
    try:
        await server.run()
    except Exception as error:
        server.failure = error
        if server.opened.is_set():
            logger.exception("serving has ended because of an error in Pando")
    finally:
        del servers[key]
        server.opened.set()
        server.closed.set()


class Server:
    """Serves runs on one port: lets volunteers join them, and shows their figures.

    Args:
        options: see `ServeOptions`.
        endpoint: the token and the port that this process has for such options.
        say: told, in sentences, what the person who runs this should know.

    Attributes:
        opened, closed: set when it listens, and when it does no more.
        failure: why it could not.
        users: how many runs hold it.
    """

    def __init__(self, options: ServeOptions, endpoint: Endpoint, say: Say) -> None:
        self.tls = _tls_context(options)
        self.port = 0
        self.links: list[str] = []
        self.opened = trio.Event()
        self.closed = trio.Event()
        self.failure: Exception | None = None
        self.users = 0
        self._options = options
        self._endpoint = endpoint
        self._say = say
        self._runs: list[RunAtServer] = []
        self._scope = trio.CancelScope()
        self._guard = Guard(_public_names(options))
        self.door = Door(
            self._guard, self._welcome, pages=self, tls=self.tls, limits=options.limits
        )
        self._pages: Any = None
        self._loading_pages = trio.Lock()

    async def run(self) -> None:
        """Listen and serve, until closed.

        Raises:
            UsageError: the port or the address cannot be listened on.
        """
        options = self._options
        _allow_files(options.limits.connections)
        listeners, self.port = await self._listen()
        self.links = self._make_links()
        self.opened.set()
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._prepare_pages)
                nursery.start_soon(self.door.run, listeners)

    async def _listen(self) -> tuple[list[trio.SocketListener], int]:
        options = self._options
        before = self._endpoint.port
        if before:
            with suppress(UsageError):  # somebody else has taken it meanwhile
                return await listen(before, options.listen)
        listeners, port = await listen(options.port, options.listen, any_port=options.any_port)
        if options.port and port != options.port and not before:
            self._say(f"port {options.port} is taken, so this run serves on port {port}")
        self._endpoint.port = port
        return listeners, port

    def close(self) -> None:
        """Serve no more."""
        self._scope.cancel()

    @property
    def is_closing(self) -> bool:
        """Whether it has been told to close."""
        return self._scope.cancel_called

    # ---- runs ----

    def add(self, run: RunAtServer) -> None:
        """Let volunteers join this run."""
        self._runs.append(run)

    def remove(self, run: RunAtServer) -> None:
        """Nobody joins this run any more."""
        self._runs.remove(run)

    def _next_run(self) -> RunAtServer:
        """The run that needs the next volunteer most: the one with the fewest workers."""
        return min(self._runs, key=lambda run: run.workers)

    def _find_run(self, identifier: str) -> RunAtServer:
        """This run, which a volunteer belongs to already, or else the one that it should join."""
        return next((run for run in self._runs if run.identifier == identifier), self._next_run())

    async def _welcome(self, channel: Channel, host: str) -> None:
        if not self._runs:
            return  # it is closed without an answer, and tries again
        with trio.CancelScope() as scope:

            def find(hello: messages.Hello) -> Membership:
                run = self._find_run(hello.run)
                run.connections.add(scope)
                return run.membership

            try:
                await self._next_run().membership.welcome(channel, host, find)
            finally:
                for run in self._runs:
                    run.connections.discard(scope)

    def why_not(self, hello: messages.Hello, host: str) -> str | None:
        """Why a joining node may not take part; None where it may."""
        token = self._endpoint.token
        if not token or (is_loopback(host) and not self._options.public_url):
            return None
        if secrets.compare_digest(hello.token.encode(), token.encode()):
            return None
        if hello.token:
            return "this link is not, or no more, good: each run has its own, which it prints"
        return "the link is not complete: what stands behind its # sign is needed to join"

    # ---- links ----

    def announce(self, say: Say) -> None:
        """Say once how to watch, and how other devices join."""
        monitoring = f"monitoring: {self._own_link('localhost')}monitoring"
        if self._options.is_local:
            text = f'{monitoring} (other devices can join with serve="lan")'
        else:
            text = f"volunteers join at {self.links[0]} · {monitoring}"
        if self._endpoint.announced != text:
            self._endpoint.announced = text
            say(text)

    def _make_links(self) -> list[str]:
        fragment = f"#{self._endpoint.token}" if self._endpoint.token else ""
        options = self._options
        if options.public_url:
            return [self.link_beginning("") + fragment]
        if options.is_local:
            return [self._own_link("localhost") + fragment]
        hosts = own_addresses()
        if options.listen and options.listen not in ("0.0.0.0", "::"):
            hosts = [options.listen]
        elif not hosts:
            hosts = ["localhost"]
        return [self._own_link(host) + fragment for host in hosts]

    def _own_link(self, host: str) -> str:
        return self.link_beginning(join_address(host, self.port))

    def link_beginning(self, host: str) -> str:
        """A link without its token, for people who reach this server as this host."""
        if self._options.public_url:
            return f"{self._options.public_url.rstrip('/')}/"
        return f"{'http' if self.tls is None else 'https'}://{host}/"

    # ---- pages ----

    async def serve(self, stream: PageStream) -> None:
        """Serve the pages to one connection."""
        await self._load_pages()
        await self._pages.serve(stream)

    async def _prepare_pages(self) -> None:
        """Load the app while nobody waits for it."""
        await trio.sleep(PAGES_AFTER_SECONDS)
        with suppress(ImportError):  # whoever asks for a page is told
            await self._load_pages()

    async def _load_pages(self) -> None:
        async with self._loading_pages:
            if self._pages is None:
                self._pages = await trio.to_thread.run_sync(
                    self._make_pages, abandon_on_cancel=True
                )

    def _make_pages(self) -> Any:
        """The app, whose modules take a quarter of a second to import."""
        from ..web.app import Pages

        return Pages(
            self._describe_run, self._guard, self._monitoring, self.link_beginning, self._find_wheel
        )

    async def _describe_run(self, identifier: str) -> RunPage:
        """What the volunteer page says of this run, or else of the one that should be joined."""
        if not self._runs:
            from ..web.run_page import RunPage

            return RunPage("", complete=False)
        return await self._find_run(identifier).describe()

    def _find_wheel(self, name: str) -> Any:
        return next((run.packages[name] for run in self._runs if name in run.packages), None)

    def _monitoring(self) -> dict[str, Any]:
        """The runs' figures, ready for JSON: of one run, or the newest first."""
        runs = [run.monitoring() for run in reversed(self._runs)]
        if not runs:
            return {"root": {}, "volunteers": {}}
        volunteers = {key: value for run in runs for key, value in run["volunteers"].items()}
        shown = {"root": runs[0]["root"], "volunteers": volunteers}
        if len(runs) > 1:
            shown["runs"] = [run["root"] for run in runs]
        return shown


def _allow_files(connections: int) -> None:
    """Let this process have as many connections open as the limits say, if it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))


def _tls_context(options: ServeOptions) -> ssl.SSLContext | None:
    if options.certfile is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(options.certfile, options.keyfile)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{options.certfile}: not a certificate with its key: {error}") from None
    return context


def _public_names(options: ServeOptions) -> list[str]:
    if options.public_url is None:
        return [options.listen] if options.listen and options.listen != LOCALHOST else []
    name = urlsplit(options.public_url).hostname
    return [name] if name else []
