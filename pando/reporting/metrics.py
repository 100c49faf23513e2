"""The run's figures in Prometheus' text format, by `prometheus-client`.

No metric has a label for a device: a run of many devices that come and go must not fill the
database that keeps them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from ..reports.counters import NOTHING, Counters
from .monitor import Monitor
from .presentation import OVER, SILENT, STATES

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
PRESENCES = (*STATES.values(), SILENT, OVER)


class RunCollector(Collector):
    """Reads the metrics of a run off its monitor.

    Args:
        monitor: the run's.
        version: of Pando.
    """

    def __init__(self, monitor: Monitor, version: str) -> None:
        self._monitor = monitor
        self._version = version
        self._highest = NOTHING
        self._items_on_links: float = 0
        self._cpu_on_links = 0.0

    def collect(self) -> Iterable[Metric]:
        """Return all metrics as they are now."""
        yield from self._run()
        yield from self._devices()
        yield from self._report_links()
        yield self._latency()

    def _run(self) -> Iterator[Metric]:
        root = self._monitor.information.root
        yield InfoMetricFamily(
            "pando_run",
            "What runs.",
            value={"function": root.function, "version": self._version},
        )
        yield _gauge("pando_run_active", "1 until the run is over.", root.state == "running")
        yield _gauge("pando_run_duration_seconds", "Time since the run began.", root.elapsed)
        yield _counter("pando_items", "Items that are finished.", root.done)
        yield _counter("pando_items_failed", "Items that failed.", root.failed)
        yield _counter("pando_items_reassigned", "Items lent again.", root.reassigned)
        yield _counter("pando_items_struck_out", "Items given up.", root.struck_out)
        yield _gauge("pando_items_lent", "Items that devices hold.", root.lent)
        yield _gauge("pando_items_waiting", "Items read and not lent.", root.unprocessed_inputs)
        if root.total is not None:
            yield _gauge("pando_items_expected", "Items of the whole input.", root.total)
        yield _gauge("pando_workers", "Workers that compute.", root.workers)
        refusals = CounterMetricFamily(
            "pando_refusals", "What was refused, cut off or ignored.", labels=["kind"]
        )
        for kind, count in root.counters.items():
            refusals.add_metric([kind], count)
        yield refusals

    def _devices(self) -> Iterator[Metric]:
        states = self._monitor.states()
        devices = GaugeMetricFamily("pando_devices", "Devices by state.", labels=["state"])
        for state in PRESENCES:
            devices.add_metric([state], states.get(state, 0))
        yield devices
        # A device that is lost for a moment must not make a counter decrease.
        totals = self._monitor.device_totals()
        self._highest = totals = Counters._make(map(max, totals, self._highest))
        yield _counter("pando_function_seconds", "Time in the function.", totals.function_ms / 1000)
        yield _counter("pando_cpu_seconds", "Processor time of workers.", totals.cpu_ms / 1000)
        yield _counter("pando_transfer_seconds", "Time in transfers.", totals.transfer_ms / 1000)
        yield _counter("pando_received_bytes", "Bytes that devices received.", totals.bytes_in)
        yield _counter("pando_sent_bytes", "Bytes that devices sent.", totals.bytes_out)
        waiting = CounterMetricFamily(
            "pando_waiting_seconds", "Time that workers waited.", labels=["reason"]
        )
        for reason, milliseconds in (
            ("items", totals.starved_ms),
            ("network", totals.blocked_ms),
            ("function", totals.loading_ms),
            ("pause", totals.paused_ms),
        ):
            waiting.add_metric([reason], milliseconds / 1000)
        yield waiting

    def _report_links(self) -> Iterator[Metric]:
        """What devices tell beside the tree, where they do; their totals never decrease either."""
        reports = self._monitor.information.root.global_reports
        if reports is None:
            return
        yield _gauge(
            "pando_report_link_devices", "Devices heard on their report links.", reports.devices
        )
        yield _gauge(
            "pando_report_link_stalled_devices",
            "Devices heard on their report links and not through the tree.",
            reports.stalled,
        )
        yield _gauge(
            "pando_report_link_workers", "Workers of devices heard there.", reports.workers
        )
        self._items_on_links = max(self._items_on_links, reports.total_items)
        yield _counter(
            "pando_report_link_items", "Items that devices tell there.", self._items_on_links
        )
        self._cpu_on_links = max(self._cpu_on_links, reports.total_cpu_time / 1000)
        yield _counter(
            "pando_report_link_cpu_seconds", "Processor time told there.", self._cpu_on_links
        )

    def _latency(self) -> Metric:
        latency = self._monitor.latency
        buckets: list[tuple[str, float]] = [
            (repr(bound), count) for bound, count in latency.cumulative()
        ]
        return HistogramMetricFamily(
            "pando_item_latency_seconds",
            "Time from lending an item to its result.",
            buckets=[*buckets, ("+Inf", latency.count)],
            sum_value=latency.seconds,
        )


def new_registry(monitor: Monitor, version: str) -> CollectorRegistry:
    """Return a registry of a run's metrics alone."""
    registry = CollectorRegistry()
    registry.register(RunCollector(monitor, version))
    return registry


def render(registry: CollectorRegistry) -> bytes:
    """Return the metrics as text, whose type is `CONTENT_TYPE`."""
    return generate_latest(registry)


class Scrapes:
    """Gives the metrics of whichever run is scraped; of one run no counter ever decreases.

    Args:
        version: of Pando.
    """

    def __init__(self, version: str) -> None:
        self._version = version
        self._scraped: tuple[Monitor, CollectorRegistry] | None = None

    def render(self, monitor: Monitor) -> bytes:
        """Return the metrics of a run as text, whose type is `CONTENT_TYPE`."""
        if self._scraped is None or self._scraped[0] is not monitor:
            self._scraped = monitor, new_registry(monitor, self._version)
        return render(self._scraped[1])


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, value=value)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)
