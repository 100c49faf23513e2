"""A run that volunteers can join: its membership, its volunteer page and its metrics."""

from __future__ import annotations

import functools
import logging
import random
import secrets
import time
from collections import Counter
from typing import TYPE_CHECKING

import trio

from .. import messages
from ..errors import FunctionError, one_line
from ..functions.fingerprint import own_fingerprint, versions_of
from ..functions.serialized import SerializedFunction
from ..net.webrtc.availability import announced, answers_offers
from ..notifier import Notifier, SparingNotifier
from ..scheduler import Borrower
from ..tree.child import Child
from ..tree.encoded_run import FunctionOffer
from ..tree.membership import Membership
from ..tree.node import Node
from ..tree.overlay import Overlay
from .monitoring import RunMonitoring
from .options import RunOptions
from .serve_options import ServeOptions
from .server import Server

if TYPE_CHECKING:
    from ..web.frontend_files import File
    from ..web.run_page import RunPage

logger = logging.getLogger(__name__)

END_SECONDS = 1.0
"""Maximum seconds for notifying the volunteers of the end of the run."""
LAST_REPORTS_SECONDS = 0.3
"""Maximum seconds to wait for the last reports of volunteers at the end of the run."""
PAGE_WAIT_SECONDS = 3.0
"""Maximum seconds that the volunteer page waits for the packages for browsers."""


class ServedRun:
    """A run at a server.

    Args:
        server: the server, which accepts connections.
        node: the root node of the run.
        function: the function.
        options: the options of the run.
        serve: options for accepting volunteers.
        monitoring: what is known of the run.
        ids: makes identifiers of nodes.
        say: takes sentences for the person who runs the program.

    Attributes:
        identifier: identifies the run to volunteers that reconnect.
        packages: wheels that the function needs in browsers, by file name, once they are found.
        connections: the connections of its volunteers, which are cancelled at its end.
    """

    def __init__(
        self,
        server: Server,
        node: Node,
        function: SerializedFunction,
        options: RunOptions,
        serve: ServeOptions,
        monitoring: RunMonitoring,
        ids: random.Random,
        say: Notifier,
    ) -> None:
        name = monitoring.monitor.function
        self.name = name
        self.monitoring = monitoring
        self.identifier = secrets.token_hex(8)
        self.packages: dict[str, File] = {}
        self.connections: set[trio.CancelScope] = set()
        self.counters: Counter[str] = Counter()
        self.server = server
        self._node = node
        self._function = function
        self._has_explained = False
        self._language = function.language
        self._requirements = options.requires
        self._serve = serve
        self._say = say
        self._of_others = SparingNotifier(self._tell, trio.current_time)
        self._packages_found = trio.Event()
        self._problem = ""
        self._ice = server.ice_settings(serve)
        self.membership = Membership.of_root(
            node,
            Overlay(monitoring.monitor.root, degree=serve.degree, timeout=serve.bootstrap_timeout),
            self,
            server.identity,
            messages.RunInfo(
                version=messages.VERSION,
                node=b"",
                run=self.identifier,
                name=name,
                function=b"",
                requirements=list(options.requires),
                timeout=options.timeout,
                batch_limit=options.batch_size,
                speculate=options.speculate,
                degree=serve.degree,
                bootstrap_timeout=serve.bootstrap_timeout,
                silence=serve.heartbeat_timeout,
                reporting_interval=serve.reporting_interval,
                # A page over https may not connect to volunteers, which have no certificates.
                delegates=server.tls is None,
                protocol=announced(serve.protocol),
                ice_servers=self._ice.stun_urls,
                global_monitoring=serve.global_monitoring,
            ),
            function_for=self._function_for,
            turn_servers_for=lambda node: self._ice.for_node(node, time.time()),
            silence=serve.heartbeat_timeout,
            bootstrap_timeout=serve.bootstrap_timeout,
            ids=ids,
            ledger=monitoring.monitor.ledger,
            global_ledger=monitoring.monitor.global_ledger,
        )
        monitoring.on_send_away = self.membership.send_away
        monitoring.on_let_back = self.membership.let_back
        monitoring.count_network = self.all_counters
        monitoring.count_children = lambda: len(self.membership.children)
        monitoring.count_relayed = self.membership.count_relayed
        self._child_left = trio.Event()
        if function.size > messages.MAX_FUNCTION_BYTES:
            self._say(_too_large(function.size))
            self._has_explained = True

    def __repr__(self) -> str:
        return f"<ServedRun {self.identifier} of {self.name}>"

    async def run(self) -> None:
        """Find packages for browsers, and expire candidates, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._find_browser_packages)
            nursery.start_soon(self.membership.expire_candidates)

    async def answer_offers(
        self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Let volunteers connect by WebRTC, until they have been notified of the run's end."""
        with trio.CancelScope(shield=True) as scope:
            self.connections.add(scope)
            task_status.started()
            if answers_offers(self._serve.protocol):
                await self.membership.answer_offers(lambda: self._ice.for_root(time.time()))

    async def notify_run_ended(self) -> None:
        """Tell all volunteers that the run has ended, and close their connections."""
        with trio.move_on_after(END_SECONDS):
            await self.membership.end(self._node.results)
        with trio.move_on_after(LAST_REPORTS_SECONDS):
            while self.membership.children:  # they report what they did since the last time
                self._child_left = trio.Event()
                await self._child_left.wait()
        for connection in self.connections:
            connection.cancel()

    @property
    def links(self) -> list[str]:
        """The links by which volunteers join."""
        return self.server.links

    @property
    def workers(self) -> int:
        """The number of workers that compute for the run, plus one for each joining node."""
        return self._node.workers + self.membership.joining

    async def _function_for(self, fingerprint: str) -> FunctionOffer:
        """Return the function in a form for a joining node; FunctionError if there is none."""
        exact = self._function.exact_for_others()
        if exact is not None and fingerprint == own_fingerprint():
            offer = FunctionOffer(exact, versions_of(self._function.installed))
        else:
            offer = FunctionOffer(await trio.to_thread.run_sync(self._function.portable_for_others))
        if len(offer.function) > messages.MAX_FUNCTION_BYTES:
            raise FunctionError(_too_large(len(offer.function)))
        return offer

    # ---- browsers ----

    async def _find_browser_packages(self) -> None:
        """Find the packages that the function needs in browsers, before a page is requested."""
        if self._requirements and self._language == "python":
            from ..web.browser_packages import BrowserUnsupportedError, find_packages

            find = functools.partial(find_packages, self._requirements, self._serve.wheels)
            try:
                self.packages = await trio.to_thread.run_sync(find, abandon_on_cancel=True)
            except BrowserUnsupportedError as error:
                reason = str(error)
                self._problem = f"{reason[:1].upper()}{reason[1:]}."
                self._say(f"browsers cannot join: {error}")
        self._packages_found.set()

    async def describe(self) -> RunPage:
        """Describe the run for the volunteer page, with the packages if they are found in time."""
        from ..web.run_page import RunPage, default_requester

        with trio.move_on_after(PAGE_WAIT_SECONDS):
            await self._packages_found.wait()
        serve = self._serve
        return RunPage(
            self.name,
            self._language,
            default_requester() if serve.requester is None else serve.requester,
            self._function.find_purpose() if serve.about is None else serve.about,
            serve.network,
            self._problem,
            self.packages,
            self._packages_found.is_set(),
            self.identifier,
            self.server.link_lasts,
        )

    # ---- figures ----

    def all_counters(self) -> Counter[str]:
        """Return the network events so far, by name."""
        elsewhere = self.membership.counters + self._node.lending.violations
        return self.counters + self.server.connection_server.counters + elsewhere

    def _tell(self, text: str) -> None:
        self._say(text)

    # ---- called by the membership ----

    def on_joined(self, child: Child) -> None:
        """Count a volunteer that has joined the root."""
        self.counters["joined"] += 1
        logger.debug("%s has joined %r", child.name, self)

    def on_left(self, child: Child, borrower: Borrower) -> None:
        """Count a volunteer of the root that has left or was lost."""
        self.counters["left"] += 1
        self._child_left.set()
        logger.info("%s has left %r, or was lost", child.name, self)

    def on_load_failed(self, name: str, host: str, reason: str) -> None:
        """Count and report a joining node that cannot load the function."""
        line = one_line(reason)
        self.counters["load_failures"] += 1
        logger.debug("%s cannot load the function of %r: %s", name, self, line)
        self.monitoring.refuse(name, line)
        self._of_others.say(host, f"{name} cannot join: {line}")

    def on_not_admitted(self, host: str, reason: str) -> None:
        """Report a node that has not proved what it must, or speaks another version."""
        self.monitoring.refuse(f"a device at {host}" if host else "", one_line(reason))

    def on_function_unavailable(self, reason: str) -> None:
        """Count a joining node for which the function has no form; report the first one."""
        self.counters["load_failures"] += 1
        logger.debug(
            "the function of %r has no form for a joining node: %s", self, one_line(reason)
        )
        self.monitoring.refuse("", f"the function has no form for it: {reason}")
        if not self._has_explained:
            self._has_explained = True
            self._say(f"volunteers whose Python differs from this one cannot join: {reason}")


def _too_large(size: int) -> str:
    return (
        f"the function and its data take {size:,} bytes, more than the maximum of "
        f"{messages.MAX_FUNCTION_BYTES:,} for volunteers; let the function read its data itself"
    )
