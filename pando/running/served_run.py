"""A run that volunteers can join: who may, what they are told, and what is shown of it."""

from __future__ import annotations

import functools
import random
import secrets
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import trio

from .. import messages
from ..errors import FunctionError
from ..figures import DEFAULT_UNITS
from ..functions.fingerprint import own_fingerprint, versions_of
from ..functions.serialized import SerializedFunction
from ..tree.lending import Borrower
from ..tree.membership import Child, FunctionOffer, Membership, tidy_name
from ..tree.node import Node
from ..tree.overlay import Overlay
from .options import RunOptions
from .serve_options import ServeOptions
from .server import Server

if TYPE_CHECKING:
    from ..web.frontend_files import File
    from ..web.run_page import RunPage

END_SECONDS = 1.0
"""How long telling the volunteers that the run is over may take."""
PAGE_WAIT_SECONDS = 3.0
"""How long a page may wait for the packages of browsers before it is sent without them."""

Say = Callable[[str], None]


class ServedRun:
    """One run at a server.

    Args:
        server: where volunteers join.
        node: the run's root.
        function: what is computed.
        name: what people call it.
        options: the run's.
        serve: how volunteers are let in.
        say: told, in sentences, what the person who runs this should know.

    Attributes:
        identifier: by which volunteers know the run again.
        packages: wheels that the function needs in browsers, by file name, once they are found.
        connections: those of its volunteers, to be cancelled at its end.
    """

    def __init__(
        self,
        server: Server,
        node: Node,
        function: SerializedFunction,
        name: str,
        options: RunOptions,
        serve: ServeOptions,
        say: Say,
    ) -> None:
        ids = random.Random(secrets.randbits(64) if serve.seed is None else serve.seed)
        root = ids.randbytes(messages.ID_BYTES)
        self.name = name
        self.identifier = secrets.token_hex(8)
        self.packages: dict[str, File] = {}
        self.connections: set[trio.CancelScope] = set()
        self.counters: Counter[str] = Counter()
        self.server = server
        self._node = node
        self._function = function
        self._said_why_not = False
        self._language = function.language
        self._requirements = options.requires
        self._serve = serve
        self._say = say
        self._packages_found = trio.Event()
        self._problem = ""
        self.membership = Membership(
            node,
            Overlay(root, degree=serve.degree, timeout=serve.bootstrap_timeout),
            assignment=messages.Assigned(
                version=messages.VERSION,
                node=b"",
                run=self.identifier,
                name=name,
                function=b"",
                requirements=list(options.requires),
                timeout=options.timeout,
                batch_limit=options.batch_limit,
                degree=serve.degree,
                bootstrap_timeout=serve.bootstrap_timeout,
                silence=serve.silence,
                reporting_interval=serve.reporting_interval,
                # Links between volunteers are not encrypted, so an encrypted run keeps to a star.
                delegates=server.tls is None,
            ),
            admit=server.why_not,
            events=self,
            silence=serve.silence,
            bootstrap_timeout=serve.bootstrap_timeout,
            ids=ids,
            function_for=self._function_for,
        )
        if function.size > messages.MAX_FUNCTION_BYTES:
            self._say(_too_large(function.size))
            self._said_why_not = True

    async def run(self) -> None:
        """Do what has to be done meanwhile, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._find_browser_packages)
            nursery.start_soon(self.membership.expire_forever)

    async def end(self) -> None:
        """Tell the volunteers that the run is over."""
        with trio.move_on_after(END_SECONDS):
            await self.membership.end()
        for connection in self.connections:
            connection.cancel()

    @property
    def links(self) -> list[str]:
        """What volunteers open to join."""
        return self.server.links

    @property
    def workers(self) -> int:
        """How many workers compute for it, or are about to: one for each joining node."""
        return self._node.workers + self.membership.joining

    async def _function_for(self, fingerprint: str) -> FunctionOffer:
        """The function in a form that a joining node can have; FunctionError where it has none."""
        exact = self._function.exact_for_others()
        if exact is not None and fingerprint == own_fingerprint():
            offer = FunctionOffer(exact, versions_of(self._function.installed))
        else:
            offer = FunctionOffer(await trio.to_thread.run_sync(self._function.portable))
        if len(offer.function) > messages.MAX_FUNCTION_BYTES:
            raise FunctionError(_too_large(len(offer.function)))
        return offer

    # ---- browsers ----

    async def _find_browser_packages(self) -> None:
        """Have what the function needs in browsers ready before the first page is asked for."""
        if self._requirements and self._language == "python":
            from ..web.browser_packages import NotInBrowsersError, find_packages

            find = functools.partial(find_packages, self._requirements, self._serve.wheels)
            try:
                self.packages = await trio.to_thread.run_sync(find, abandon_on_cancel=True)
            except NotInBrowsersError as error:
                self._problem = f"Browsers cannot take part: {error}."
                self._say(f"browsers cannot take part: {error}")
        self._packages_found.set()

    async def describe(self) -> RunPage:
        """What the volunteer page says, with what the function needs if that is known soon."""
        from ..web.run_page import RunPage, default_asker

        with trio.move_on_after(PAGE_WAIT_SECONDS):
            await self._packages_found.wait()
        return RunPage(
            self.name,
            self._language,
            default_asker() if self._serve.asker is None else self._serve.asker,
            self._serve.network,
            self._problem,
            self.packages,
            self._packages_found.is_set(),
            self.identifier,
        )

    # ---- figures ----

    def monitoring(self) -> dict[str, Any]:
        """The run's figures, ready for JSON."""
        streams = [_plain(statistics) for statistics in self._node.statistics()]
        return {
            "root": {
                "function": self.name,
                "workers": self._node.workers,
                "children": len(self.membership.children),
                "streams": streams,
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
        elsewhere = self.membership.counters + self._node.violations
        return self.counters + self.server.door.counters + elsewhere

    # ---- events of the membership ----

    def joined(self, child: Child) -> None:
        """A child has joined."""
        self.counters["joined"] += 1

    def left(self, child: Child, borrower: Borrower) -> None:
        """A child has left, or was lost."""
        self.counters["left"] += 1

    def cannot_compute(self, name: str, reason: str) -> None:
        """A joining node cannot run the function."""
        self.counters["cannot compute"] += 1
        self._say(f"{name} cannot take part: {reason}")

    def cannot_have_function(self, reason: str) -> None:
        """The function has no form that a joining node could have."""
        self.counters["cannot compute"] += 1
        if not self._said_why_not:
            self._said_why_not = True
            self._say(f"volunteers that are not equal to this machine cannot take part: {reason}")


def _too_large(size: int) -> str:
    return (
        f"the function takes {size:,} bytes with all that it refers to, and volunteers are sent "
        f"at most {messages.MAX_FUNCTION_BYTES:,}; let it read its data itself"
    )


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


def _plain(statistics: Any) -> dict[str, int]:
    return {name: getattr(statistics, name) for name in statistics.__slots__}
