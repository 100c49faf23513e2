"""The runs of one server: which of them a volunteer joins, and what the pages are told of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import trio

from .. import messages
from ..channel import Channel, ChannelClosedError
from ..net.visitor import Visitor
from ..tree.membership import Membership
from .monitoring import RunMonitoring

if TYPE_CHECKING:
    from ..web.frontend_files import File
    from ..web.run_page import RunPage


class RunAtServer(Protocol):
    """A run as its server sees it: `pando.running.served_run.ServedRun`.

    Attributes:
        identifier: identifies the run to volunteers that reconnect.
        membership: handles the connections of its volunteers.
        packages: wheels for browsers, by file name.
        connections: the connections of its volunteers, which are cancelled at its end.
        monitoring: what is known of it.
    """

    identifier: str
    membership: Membership
    packages: dict[str, File]
    connections: set[trio.CancelScope]
    monitoring: RunMonitoring

    @property
    def workers(self) -> int:
        """The number of workers that compute for the run, or are about to."""

    async def describe(self) -> RunPage:
        """Describe the run for the volunteer page."""


class RunsAtServer:
    """The runs that use one server, in the order in which they came.

    Args:
        over_https: whether those who connect here come to an address of https.
    """

    def __init__(self, *, over_https: bool = False) -> None:
        self._over_https = over_https
        self._runs: list[RunAtServer] = []
        self._last_monitoring: RunMonitoring | None = None

    def __len__(self) -> int:
        return len(self._runs)

    def add(self, run: RunAtServer) -> None:
        """Accept volunteers for a run."""
        self._runs.append(run)

    def remove(self, run: RunAtServer) -> None:
        """Accept no more volunteers for a run."""
        self._runs.remove(run)
        self._last_monitoring = run.monitoring

    def _next_run(self) -> RunAtServer:
        """Return the run that the next volunteer should join: the one with the fewest workers."""
        return min(self._runs, key=lambda run: run.workers)

    def _find_run(self, identifier: str) -> RunAtServer:
        """Return the run with this identifier, or else the one that a volunteer should join."""
        return next((run for run in self._runs if run.identifier == identifier), self._next_run())

    async def handle_connection(self, channel: Channel, visitor: Visitor) -> None:
        """Serve a node's connection for the run that it joins."""
        if not self._runs:
            return  # the connection is closed without an answer, and the volunteer tries again
        if self._over_https:
            visitor = replace(visitor, over_https=True)
        with trio.CancelScope() as scope:

            def find(hello: messages.Hello) -> Membership:
                if not self._runs:
                    raise ChannelClosedError("the run is over")
                run = self._find_run(hello.run)
                run.connections.add(scope)
                return run.membership

            try:
                await self._next_run().membership.handle_connection(channel, visitor, find)
            finally:
                for run in self._runs:
                    run.connections.discard(scope)

    async def describe(self, identifier: str) -> RunPage:
        """Describe a run for the volunteer page, or else the one that should be joined."""
        if not self._runs:
            from ..web.run_page import RunPage

            return RunPage("", complete=False)
        return await self._find_run(identifier).describe()

    def find_wheel(self, name: str) -> File | None:
        """Find a package that a run's function needs in browsers, by its file name."""
        return next((run.packages[name] for run in self._runs if name in run.packages), None)

    def find_by_digest(self, digest: str) -> File | None:
        """Find the same by its SHA-256 in hexadecimal."""
        wheels = (wheel for run in self._runs for wheel in run.packages.values())
        return next((wheel for wheel in wheels if wheel.digest == digest), None)

    def monitored(self) -> list[RunMonitoring]:
        """Return what is known of all runs, the newest first; at last of the one that is over."""
        if self._runs:
            return [run.monitoring for run in reversed(self._runs)]
        return [] if self._last_monitoring is None else [self._last_monitoring]
