"""The monitoring of a run: once an interval what is known of it is put together, for everybody.

What puts it together is imported when the first interval ends, or somebody asks: a run that is
over sooner is spared it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import trio

from .. import __version__
from ..errors import shorten
from ..scheduler import AttemptsExhausted, Borrower, ResultBatch
from ..tree.job import Job
from ..tree.node import Node
from .streams import item_error

if TYPE_CHECKING:
    from ..reporting.monitor import Monitor
    from ..reporting.run_figures import RunFigures
    from ..reporting.shown import Information
    from ..tree.reports import OwnReports

Sink: TypeAlias = "Callable[[Information], None]"
"""Takes what is shown, once an interval. It returns at once."""
GLANCE_SECONDS = 0.5
"""Seconds between two looks of a progress display."""
VIEWERS_SECONDS = 0.5
"""Maximum seconds to wait for viewers at the end of a run."""


class RunMonitoring:
    """What is known of a run, brought up to date once an interval.

    Args:
        node: the root node of the run.
        function: what the function is called.
        root: the root's identifier.
        workers: how many workers the root has.
        interval: seconds between two reports.
        cpu_seconds: gives the processor time of the root's workers.
        has_report_links: whether devices report over links of their own, too.

    Attributes:
        function: what the function is called.
        sinks: are given what is shown each time that it has been made.
        count_network: gives the counters of what came from the network, by kind.
        count_children: gives how many children the root has.
        count_relayed: gives how many of these are relayed, and how many of those are beyond the
            degree.
        on_send_away, on_let_back: are told of devices that may not take part any more, and that
            may again.
        dropped_lines: lines of logs that were dropped since nobody read them.
    """

    def __init__(
        self,
        node: Node,
        function: str,
        root: bytes,
        workers: int,
        interval: float,
        cpu_seconds: Callable[[], float | None],
        *,
        has_report_links: bool = False,
    ) -> None:
        self.function = function
        self._has_report_links = has_report_links
        self._root = root
        self._workers = workers
        self._cpu_seconds = cpu_seconds
        self._started = trio.current_time()
        self.sinks: list[Sink] = []
        self._displays: list[Sink] = []
        self._has_displays = trio.Event()
        self.count_network: Callable[[], Mapping[str, int]] = dict
        self.count_children: Callable[[], int] = lambda: 0
        self.count_relayed: Callable[[], tuple[int, int]] = lambda: (0, 0)
        self.on_send_away: Callable[[bytes], Awaitable[None]] = _to_nobody
        self.on_let_back: Callable[[bytes], None] = lambda node: None
        self.dropped_lines = 0
        self._viewers = 0
        self._viewer_left = trio.Event()
        self._interval = interval
        self._node = node
        node.meter.wanted = workers
        self._jobs: list[Job] = []
        self._done_in_closed_jobs = 0
        self._reassigned_in_closed_jobs = 0
        self._failed = 0
        self._struck_out = 0
        self._workers_at_end: int | None = None
        self._is_over = False
        self._news = trio.Event()
        node.on_lost = self._on_lost

    @cached_property
    def monitor(self) -> Monitor:
        """What is known."""
        from ..reporting.monitor import Monitor

        monitor = Monitor(
            self.function,
            self._root,
            self._started,
            self._interval,
            has_report_links=self._has_report_links,
        )
        monitor.latency = self._node.meter.latency
        if self._workers_at_end is not None:
            monitor.end(trio.current_time())
        return monitor

    @cached_property
    def _own_reports(self) -> OwnReports:
        from ..tree.reports import Description, OwnReports

        description = Description(self._root, "root", __version__, self._workers)
        return OwnReports(
            description, self._node, self._interval, self._cpu_seconds, started=self._started
        )

    # ---- what happens ----

    def watch(self, job: Job) -> None:
        """Take a stream of the run into account."""
        self._jobs.append(job)

    def note_failures(self, batch: ResultBatch) -> None:
        """Note the items of a batch that failed."""
        now = trio.current_time()
        self._failed += len(batch.failures)
        from ..reporting.events import MAX_ERRORS

        for place in sorted(batch.failures)[-MAX_ERRORS:]:
            error = item_error(batch, place)
            if isinstance(batch.failures[place], AttemptsExhausted):
                self._struck_out += 1
                self.monitor.struck_out(error.index, error.reason, now)
            self.monitor.item_failed(
                now,
                index=error.index,
                item=shorten(error.item),
                device=error.device,
                type=error.type,
                reason=error.reason,
                traceback=error.traceback,
            )

    def refuse(self, name: str, reason: str) -> None:
        """Note that a device may not, or cannot, take part."""
        self.monitor.refused(name, reason, trio.current_time())

    async def send_away(self, node: bytes) -> None:
        """Let a device take no part in the run any more, until it is let back."""
        if self.monitor.send_away(node, trio.current_time()):
            await self.on_send_away(node)

    def let_back(self, node: bytes) -> None:
        """Let a device take part again that was sent away."""
        if self.monitor.let_back(node, trio.current_time()):
            self.on_let_back(node)

    def _on_lost(self, borrower: Borrower, items: int) -> None:
        self.monitor.reassigned(borrower.name, items, trio.current_time())

    # ---- what is shown ----

    @property
    def is_over(self) -> bool:
        """Whether the run has ended: what is shown does not change any more."""
        return self._is_over

    async def run(self) -> None:
        """Put together what is known, once an interval, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._show_glances)
            while True:
                await trio.sleep(self._interval)
                self._tick()

    def add_display(self, display: Sink) -> None:
        """Have a function called with the run's newest figures more often than once an interval."""
        self._displays.append(display)
        self._has_displays.set()

    async def _show_glances(self) -> None:
        """Give displays the newest figures, until cancelled."""
        await self._has_displays.wait()
        while True:
            await trio.sleep(GLANCE_SECONDS)
            self.read()
            information = self.monitor.glance(self._figures(), trio.current_time())
            for display in self._displays:
                display(information)

    def end(self) -> None:
        """Take it that the run ends: what takes part now did so to the end."""
        if self._workers_at_end is None:
            self._workers_at_end = self._node.workers
            if "monitor" in self.__dict__:
                self.monitor.end(trio.current_time())

    def finish(self) -> None:
        """Put together what is known for the last time, if anybody has asked: the run is over."""
        self.end()
        if not self._is_over:
            self._is_over = True
            if self.sinks or "monitor" in self.__dict__:
                self._tick()

    def read(self) -> Information:
        """Return what was put together last."""
        if not self.monitor.stamp:
            self._tick()
        return self.monitor.information

    async def wait_for_news(self) -> None:
        """Wait until it has been put together once more."""
        await self._news.wait()

    async def wait_for_viewers(self) -> None:
        """Wait a moment until all viewers have what was put together last."""
        with trio.move_on_after(VIEWERS_SECONDS):
            while self._viewers:
                self._viewer_left = trio.Event()
                await self._viewer_left.wait()

    @contextmanager
    def viewing(self) -> Iterator[None]:
        """Count a viewer during a block: at the end of the run it is waited for a moment."""
        self._viewers += 1
        try:
            yield
        finally:
            self._viewers -= 1
            self._viewer_left.set()

    def _tick(self) -> None:
        now = trio.current_time()
        monitor = self.monitor
        monitor.hear_own(self._own_reports.make(children=self.count_children()), now)
        information = monitor.tick(self._figures(), now)
        news, self._news = self._news, trio.Event()
        news.set()
        for sink in list(self.sinks):
            sink(information)

    def _figures(self) -> RunFigures:
        from ..reporting.run_figures import RunFigures

        self._forget_closed_jobs()
        statistics = [job.lender.statistics() for job in self._jobs]
        done = self._done_in_closed_jobs + sum(s.finished + s.delivered for s in statistics)
        remaining = [job.count_remaining() for job in self._jobs]
        in_flight = sum(s.in_flight for s in statistics)
        total = None
        if all(count is not None for count in remaining):
            total = done + in_flight + sum(count or 0 for count in remaining)
        reassigned = self._reassigned_in_closed_jobs + sum(s.reassigned for s in statistics)
        relayed, relayed_beyond_degree = self.count_relayed()
        at_end = self._workers_at_end
        return RunFigures(
            done=done,
            failed=self._failed,
            total=total,
            lent=in_flight,
            waiting=sum(s.queued for s in statistics),
            reassigned=reassigned,
            struck_out=self._struck_out,
            workers=self._node.workers if at_end is None else at_end,
            relayed=relayed,
            relayed_beyond_degree=relayed_beyond_degree,
            is_over=self._is_over,
            counters=self._counters(),
        )

    def _counters(self) -> dict[str, int]:
        counters = dict(self.count_network())
        if self.dropped_lines:
            counters["monitoring_lines_dropped"] = self.dropped_lines
        return counters

    def _forget_closed_jobs(self) -> None:
        for job in [job for job in self._jobs if not self._node.lending.is_open(job)]:
            self._jobs.remove(job)
            statistics = job.lender.statistics()
            self._done_in_closed_jobs += statistics.finished + statistics.delivered
            self._reassigned_in_closed_jobs += statistics.reassigned


async def _to_nobody(node: bytes) -> None:
    """Do nothing: nobody but the root takes part."""
