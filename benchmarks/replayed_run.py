"""A run's monitoring with as many devices as are wanted: their reports are made up and replayed."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import trio

from pando.net.addresses import listen
from pando.net.listener import ConnectionServer
from pando.net.request_policy import RequestPolicy
from pando.reporting.device import Measured, Reporter
from pando.reporting.ledger import OWN
from pando.reporting.monitor import Monitor, RunFigures
from pando.reports.records import COMPUTING, PAUSED, STARVED, Device
from pando.web.app import PageHandler
from pando.web.run_page import RunPage

ROOT = b"the root"
DEGREE = 10
WORKERS = 4
HOME = "127.0.0.1"
NAMES = ("Anna's laptop", "Ben's phone", "lab-{}", "Chrome on Windows PC", "node{}.cluster")


class ReplayedDevice:
    """A device that computes at a speed of its own."""

    def __init__(self, number: int, generator: random.Random, interval: float) -> None:
        place = (number - DEGREE) // DEGREE
        is_tab = number % 3 == 1
        self.node = (number + 1).to_bytes(8, "big")
        self._device = Device(
            self.node,
            generator.getrandbits(40),
            ROOT if place < 0 else (place + 1).to_bytes(8, "big"),
            NAMES[number % len(NAMES)].format(number),
            "tab" if is_tab else "native",
            "0.1.0",
            "webrtc" if number % 7 == 3 else "websocket",
            WORKERS,
        )
        self.children = 0
        self._interval = interval
        self._random = generator
        self._speed = generator.paretovariate(1.5) * 20
        self._reporter = Reporter(0.0, interval)
        self._measured = Measured()

    def hear(self, monitor: Monitor, now: float) -> None:
        """Let the root hear the report of another interval."""
        before, busy = self._measured, 0.3 + 0.7 * self._random.random()
        state = self._random.choices((COMPUTING, STARVED, PAUSED), (30, 3, 1))[0]
        if state != COMPUTING:
            busy = 0.0
        seconds = self._interval * WORKERS
        self._measured = Measured(
            items=before.items + round(self._speed * busy * seconds),
            function=before.function + busy * seconds,
            starved=before.starved + (1 - busy) * seconds,
            cpu=before.cpu + 0.97 * busy * seconds,
            bytes_in=before.bytes_in + self._random.randrange(10**6),
            bytes_out=before.bytes_out + self._random.randrange(10**6),
            transfer=before.transfer + 0.05 * self._random.random(),
        )
        held = 8 if busy else 0
        report = self._reporter.report(
            self._device, self._measured, now, state=state, held=held, children=self.children
        )
        monitor.ledger.hear(report, OWN, now)


class ReplayedRun:
    """What is known of the run. A `pando.web.monitoring.ManagedRun`.

    Args:
        devices: how many take part.
        interval: seconds between two reports.
        total: how many items there are; None where that is unknown.
    """

    def __init__(self, devices: int, interval: float, total: int | None = None) -> None:
        generator = random.Random(devices)
        self.monitor = Monitor("is_prime", ROOT, 0.0, interval)
        self.is_over = False
        self.now = 0.0
        self._interval = interval
        self._total = total
        self._done = 0
        self._devices = [ReplayedDevice(n, generator, interval) for n in range(devices)]
        for number in range(devices - DEGREE):
            self._devices[number // DEGREE].children += 1
        self._own = Reporter(0.0, interval)
        self._news = trio.Event()

    def step(self, *, is_over: bool = False) -> None:
        """Let another interval pass."""
        self.now += self._interval
        device = Device(ROOT, 1, name="root", version="0.1.0")
        self.monitor.hear_own(self._own.report(device, Measured(), self.now), self.now)
        for each in self._devices:
            each.hear(self.monitor, self.now)
        self._done = self.monitor.device_totals().items
        self.is_over = is_over
        figures = RunFigures(
            done=self._done,
            total=self._total,
            lent=8 * len(self._devices),
            workers=WORKERS * len(self._devices),
            is_over=is_over,
        )
        self.monitor.tick(figures, self.now)
        news, self._news = self._news, trio.Event()
        news.set()

    async def run(self) -> None:
        """Let time pass, until cancelled."""
        while True:
            self.step()
            await trio.sleep(self._interval)

    def read(self) -> object:
        return self.monitor.information

    async def wait_for_news(self) -> None:
        await self._news.wait()

    @contextmanager
    def viewing(self) -> Iterator[None]:
        yield

    async def send_away(self, node: bytes) -> None:
        self.monitor.send_away(node, self.now)

    def let_back(self, node: bytes) -> None:
        self.monitor.let_back(node, self.now)


class ReplayServer:
    """Who serves the page of a replayed run. A `pando.web.monitoring.MonitoringAccess`."""

    def __init__(self, run: ReplayedRun) -> None:
        self.port = 0
        self._run = run

    def monitored(self) -> list[ReplayedRun]:
        return [self._run]

    def may_look(self, token: str) -> bool:
        return True

    def may_manage(self, token: str) -> bool:
        return True

    def invitation(self) -> str:
        return f"http://{HOME}:{self.port}/#an-example-of-a-link"

    async def _describe(self, identifier: str) -> RunPage:
        return RunPage("is_prime")

    async def _is_invited(self, proof: str) -> bool:
        return True

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve the pages until cancelled."""
        policy = RequestPolicy()
        pages = PageHandler(
            self._describe, policy, self, lambda host: "", lambda name: None, self._is_invited
        )
        listeners, self.port = await listen(0, HOME)
        task_status.started()
        await ConnectionServer(policy, pages=pages).run(listeners)


@asynccontextmanager
async def replaying(run: ReplayedRun) -> AsyncIterator[str]:
    """Serve the page of a run during a block; gives its address."""
    server = ReplayServer(run)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve)
        yield f"http://{HOME}:{server.port}/monitoring"
        nursery.cancel_scope.cancel()
