"""A run that serves: its port, its links, who may join, and what is shown of it."""

from __future__ import annotations

import functools
import random
import resource
import secrets
import ssl
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from .. import messages
from ..errors import FunctionError, UsageError
from ..figures import DEFAULT_UNITS
from ..functions.fingerprint import own_fingerprint, versions_of
from ..functions.serialized import SerializedFunction
from ..net.addresses import is_loopback, join_address, listen, own_addresses
from ..net.listener import Door, PageStream
from ..net.request_policy import Guard
from ..tree.lending import Borrower
from ..tree.membership import Child, FunctionOffer, Membership, tidy_name
from ..tree.node import Node
from ..tree.overlay import Overlay
from .serve_options import ServeOptions

if TYPE_CHECKING:
    from ..web.frontend_files import File
    from ..web.run_page import RunPage

END_SECONDS = 1.0
"""How long telling the volunteers that the run is over may take."""

PAGES_AFTER_SECONDS = 0.5
"""When the pages are made ready: a run that is over sooner is spared the work."""
PAGE_WAIT_SECONDS = 3.0
"""How long a page may wait for the packages of browsers before it is sent without them."""

Say = Callable[[str], None]


class Server:
    """Serves one run: lets volunteers join its node, and shows its figures.

    Args:
        node: the root's.
        function: what is computed.
        name: what people call it.
        options: see `ServeOptions`.
        say: told, in sentences, what the person who runs this should know.
    """

    def __init__(
        self,
        node: Node,
        function: SerializedFunction,
        name: str,
        options: ServeOptions,
        say: Say,
        *,
        timeout: float | None = None,
        batch_limit: int | None = None,
        requirements: tuple[str, ...] = (),
    ) -> None:
        ids = random.Random(secrets.randbits(64) if options.seed is None else options.seed)
        identifier = ids.randbytes(messages.ID_BYTES)
        self.name = name
        self.port = 0
        self.links: list[str] = []
        self.counters: Counter[str] = Counter()
        self._node = node
        self._function = function
        self._said_why_not = False
        self._language = function.language
        self._requirements = requirements
        self._packages: dict[str, File] = {}
        self._packages_found = trio.Event()
        self._problem = ""
        if options.wheels is not None and not Path(options.wheels).is_dir():
            raise UsageError(f"{options.wheels} is not a folder with wheels")
        self._options = options
        self._say = say
        self._token = "" if options.open else secrets.token_urlsafe(12)
        self._tls = _tls_context(options)
        self._run_id = secrets.token_hex(8)
        overlay = Overlay(identifier, degree=options.degree, timeout=options.bootstrap_timeout)
        assignment = messages.Assigned(
            version=messages.VERSION,
            node=b"",
            run=self._run_id,
            name=name,
            function=b"",
            requirements=list(requirements),
            timeout=timeout,
            batch_limit=batch_limit,
            degree=options.degree,
            bootstrap_timeout=options.bootstrap_timeout,
            silence=options.silence,
            reporting_interval=options.reporting_interval,
            # Links between volunteers are not encrypted, so an encrypted run keeps to a star.
            delegates=self._tls is None,
        )
        self.membership = Membership(
            node,
            overlay,
            assignment=assignment,
            admit=self._why_not,
            events=self,
            silence=options.silence,
            bootstrap_timeout=options.bootstrap_timeout,
            ids=ids,
            function_for=self._function_for,
        )
        self._guard = Guard(_public_names(options))
        self.door = Door(
            self._guard,
            self.membership.welcome,
            pages=self,
            tls=self._tls,
            limits=options.limits,
        )
        self._pages: Any = None
        self._loading_pages = trio.Lock()
        self._listeners: list[trio.SocketListener] = []

    async def open(self) -> None:
        """Listen, and make the links.

        Raises:
            UsageError: the port or the address cannot be listened on.
        """
        options = self._options
        _allow_files(options.limits.connections)
        self._listeners, self.port = await listen(
            options.port, options.listen, any_port=options.any_port
        )
        if options.port and self.port != options.port:
            self._say(f"port {options.port} is taken, so this run serves on port {self.port}")
        self.links = self._make_links()
        if self._function.size > messages.MAX_FUNCTION_BYTES:
            self._say(_too_large(self._function.size))
            self._said_why_not = True

    async def run(self) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._find_browser_packages)
            nursery.start_soon(self._prepare_pages)
            nursery.start_soon(self.door.run, self._listeners)
            nursery.start_soon(self.membership.expire_forever)

    async def end(self) -> None:
        """Tell the volunteers that the run is over."""
        with trio.move_on_after(END_SECONDS):
            await self.membership.end()

    # ---- who may join ----

    def _why_not(self, hello: messages.Hello, host: str) -> str | None:
        if not self._token or (is_loopback(host) and not self._options.public_url):
            return None
        if secrets.compare_digest(hello.token.encode(), self._token.encode()):
            return None
        if hello.token:
            return "this link is not, or no more, good: each run has its own, which it prints"
        return "the link is not complete: what stands behind its # sign is needed to join"

    # ---- links ----

    def _make_links(self) -> list[str]:
        fragment = f"#{self._token}" if self._token else ""
        if self._options.public_url:
            return [self._link_beginning("") + fragment]
        hosts = own_addresses()
        if self._options.listen and self._options.listen not in ("0.0.0.0", "::"):
            hosts = [self._options.listen]
        elif not hosts:
            hosts = ["localhost"]
        return [self._link_beginning(join_address(host, self.port)) + fragment for host in hosts]

    def _link_beginning(self, host: str) -> str:
        """A link without its token, for people who reach this server as this host."""
        if self._options.public_url:
            return f"{self._options.public_url.rstrip('/')}/"
        return f"{'http' if self._tls is None else 'https'}://{host}/"

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

    async def _find_browser_packages(self) -> None:
        """Have what the function needs in browsers ready before the first page is asked for."""
        if self._requirements and self._language == "python":
            from ..web.browser_packages import NotInBrowsersError, find_packages

            find = functools.partial(find_packages, self._requirements, self._options.wheels)
            try:
                self._packages = await trio.to_thread.run_sync(find, abandon_on_cancel=True)
            except NotInBrowsersError as error:
                self._problem = f"Browsers cannot take part: {error}."
                self._say(f"browsers cannot take part: {error}")
        self._packages_found.set()

    def _make_pages(self) -> Any:
        """The app, whose modules take a quarter of a second to import."""
        from ..web.app import Pages

        return Pages(self._describe_run, self._guard, self.monitoring, self._link_beginning)

    async def _describe_run(self) -> RunPage:
        """What the volunteer page says, with what the function needs if that is known soon."""
        from ..web.run_page import RunPage, default_asker

        with trio.move_on_after(PAGE_WAIT_SECONDS):
            await self._packages_found.wait()
        return RunPage(
            self.name,
            self._language,
            default_asker() if self._options.asker is None else self._options.asker,
            self._options.network,
            self._problem,
            self._packages,
            self._packages_found.is_set(),
        )

    def monitoring(self) -> dict[str, Any]:
        """The run's figures, ready for JSON."""
        statistics = self._node.statistics()
        return {
            "root": {
                "function": self.name,
                "workers": self._node.workers,
                "children": len(self.membership.children),
                "stream": _plain(statistics),
                "counters": dict(self.all_counters()),
            },
            "volunteers": {
                status.node.hex(): {
                    "id": status.node.hex(),
                    "parent": status.parent.hex(),
                    "deviceName": tidy_name(status.name),
                    "workers": status.workers,
                    "children": status.children,
                    **_figures(status.reported, status.results, status.seconds),
                }
                for status in self.membership.status_below()
            },
        }

    def all_counters(self) -> Counter[str]:
        """What was refused, cut off or ignored so far, by kind."""
        return self.counters + self.door.counters + self.membership.counters + self._node.violations

    # ---- events of the membership ----

    def joined(self, child: Child) -> None:
        """A child has joined."""
        self.counters["joined"] += 1

    def left(self, child: Child, borrower: Borrower) -> None:
        """A child has left, or was lost."""
        self.counters["left"] += 1

    def cannot_compute(self, name: str, reason: str) -> None:
        """A newcomer cannot run the function."""
        self.counters["cannot compute"] += 1
        self._say(f"{name} cannot take part: {reason}")

    async def _function_for(self, fingerprint: str) -> FunctionOffer:
        """The function in a form that a newcomer can have; FunctionError where it has none."""
        exact = self._function.exact_for_others()
        if exact is not None and fingerprint == own_fingerprint():
            offer = FunctionOffer(exact, versions_of(self._function.installed))
        else:
            offer = FunctionOffer(await trio.to_thread.run_sync(self._function.portable))
        if len(offer.function) > messages.MAX_FUNCTION_BYTES:
            raise FunctionError(_too_large(len(offer.function)))
        return offer

    def cannot_have_function(self, reason: str) -> None:
        """The function has no form that a newcomer could have."""
        self.counters["cannot compute"] += 1
        if not self._said_why_not:
            self._said_why_not = True
            self._say(f"volunteers that are not equal to this machine cannot take part: {reason}")


def _too_large(size: int) -> str:
    return (
        f"the function takes {size:,} bytes with all that it refers to, and volunteers are sent "
        f"at most {messages.MAX_FUNCTION_BYTES:,}; let it read its data itself"
    )


def _allow_files(connections: int) -> None:
    """Let this process have as many connections open as the limits say, if it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))


def _figures(reported: messages.Reported | None, results: int, seconds: float) -> dict[str, Any]:
    """A node's figures under the original tool's names, as the function reports them if it does."""
    if reported is None:
        reported = messages.Reported(float(results), DEFAULT_UNITS, seconds, 0.0)
    items = reported.items
    return {
        "nbItems": int(items) if items.is_integer() else items,
        "units": reported.units,
        "cpuTime": round(reported.cpu_seconds * 1000),
        "dataTransferTime": round(reported.transfer_seconds * 1000),
    }


def _plain(statistics: Any) -> dict[str, int] | None:
    if statistics is None:
        return None
    return {name: getattr(statistics, name) for name in statistics.__slots__}


def _tls_context(options: ServeOptions) -> ssl.SSLContext | None:
    if options.certfile is None:
        if options.keyfile is not None:
            raise UsageError("a key file needs a certificate file")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(options.certfile, options.keyfile)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{options.certfile}: not a certificate with its key: {error}") from None
    return context


def _public_names(options: ServeOptions) -> list[str]:
    if options.public_url is None:
        return [options.listen] if options.listen else []
    from urllib.parse import urlsplit

    parts = urlsplit(options.public_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{options.public_url!r} is not a URL such as https://example.org/")
    return [parts.hostname]
