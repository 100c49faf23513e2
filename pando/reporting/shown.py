"""What people and programs see: the original tool's object, with further keys beside its own.

`docs/monitoring.schema.json` says what each key means.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..reports.counters import NOTHING, Counters, minus, plus
from ..reports.moments import Moments
from ..reports.records import unpack
from .global_view import GlobalReport, GlobalReports
from .ledger import Entry, Ledger
from .presentation import OVER, UNNAMED, cpu_ms_of, items_of, plain


class Statistics(msgspec.Struct, frozen=True, rename={"standard_deviation": "standard-deviation"}):
    """Statistics of all intervals before the one shown, as text with two decimals."""

    average: str
    standard_deviation: str
    maximum: str
    minimum: str


class IntervalMeasured(msgspec.Struct, frozen=True, rename="camel"):
    """What was measured in an interval, whatever the function reports. Times in milliseconds."""

    nb_items: int
    cpu_time: int
    data_transfer_time: int
    function_time: int


class Waiting(msgspec.Struct, frozen=True, rename="camel"):
    """What the workers waited for in an interval, in milliseconds."""

    items: int
    network: int
    function: int
    pause: int


class Volunteer(msgspec.Struct, frozen=True, rename="camel"):
    """A device. The first keys are the original tool's."""

    id: str
    cpu_time: int
    data_transfer_time: int
    nb_items: int | float
    units: str
    device_name: str
    throughput: float
    throughput_stats: Statistics
    cpu_usage: float
    cpu_usage_stats: Statistics
    data_transfer_load: float
    data_transfer_stats: Statistics
    last_report_interval: int
    parent: str
    kind: str
    version: str
    link: str
    round_trip_time: float | None
    workers: int
    children: int
    held: int
    state: str
    heard_at: float
    since: float
    total_items: int | float
    total_cpu_time: int
    failed: int
    reassigned: int
    bytes_in: int
    bytes_out: int
    measured: IntervalMeasured
    waiting: Waiting
    global_report: GlobalReport | None = None


class Sums(msgspec.Struct, frozen=True, rename="camel"):
    """Sums over devices that are not shown one by one. Times in milliseconds."""

    devices: int
    workers: int
    nb_items: int | float
    cpu_time: int
    data_transfer_time: int
    bytes_in: int
    bytes_out: int


class Latency(msgspec.Struct, frozen=True, rename="camel"):
    """Quantiles of the time from lending an item to its result, in seconds."""

    median: float | None
    p90: float | None
    p99: float | None


class SentAway(msgspec.Struct, frozen=True, rename="camel"):
    """A device that may not take part any more, and since when, in seconds of the run."""

    id: str
    device_name: str
    at: float


class Root(msgspec.Struct, frozen=True, rename="camel"):
    """The run as a whole."""

    function: str
    state: str
    elapsed: float
    reporting_interval: float
    done: int
    failed: int
    total: int | None
    throughput: float
    time_left: float | None
    lent: int
    unprocessed_inputs: int
    reassigned: int
    struck_out: int
    workers: int
    children_nb: int
    nb_leaf_nodes: int
    cpu_time_given: int
    latency: Latency
    own: Volunteer | None
    departed: Sums
    summed: Sums
    refused_reports: int
    sent_away: list[SentAway]
    counters: dict[str, int]
    unknown_intervals: int = 0
    relayed: int = 0
    relayed_beyond_degree: int = 0
    global_reports: GlobalReports | None = None


class Information(msgspec.Struct, frozen=True):
    """The whole object."""

    root: Root
    volunteers: dict[str, Volunteer]

    def to_builtins(self) -> dict[str, Any]:
        """Return it as dictionaries, ready for any JSON encoder."""
        builtins: dict[str, Any] = msgspec.to_builtins(self)
        return builtins

    def to_json(self) -> bytes:
        """Return it as JSON, in one line."""
        return msgspec.json.encode(self)


def show_statistics(moments: Moments) -> Statistics:
    """Return statistics in the text form of the original tool."""
    values = (moments.mean, moments.deviation, moments.maximum, moments.minimum)
    return Statistics(*(f"{value:.2f}" for value in values))


def show_volunteer(
    entry: Entry, state: str, start: float, global_report: GlobalReport | None = None
) -> Volunteer:
    """Return what is shown of a device.

    Args:
        entry: what is known of it.
        state: what it does, or waits for.
        start: when the run began.
        global_report: what is shown of its report link, if it has one.
    """
    device, report, figures, total = entry.device, entry.report, entry.figures, entry.total
    interval = minus(report.counters, report.before)
    is_here = entry.is_live or state == OVER
    if not is_here:
        figures, interval = figures._replace(items=0, cpu_ms=0, transfer_ms=0), NOTHING
    statistics = entry.statistics_before if is_here else entry.statistics
    return Volunteer(
        id=device.node.hex(),
        cpu_time=figures.cpu_ms,
        data_transfer_time=figures.transfer_ms,
        nb_items=plain(figures.items),
        units=device.units or "items",
        device_name=device.name or UNNAMED,
        throughput=figures.throughput,
        throughput_stats=show_statistics(statistics.throughput),
        cpu_usage=figures.cpu_usage,
        cpu_usage_stats=show_statistics(statistics.cpu_usage),
        data_transfer_load=figures.transfer_load,
        data_transfer_stats=show_statistics(statistics.transfer_load),
        last_report_interval=figures.elapsed_ms,
        parent=device.parent.hex(),
        kind=device.kind,
        version=device.version,
        link=device.link,
        round_trip_time=report.round_trip / 1000 if report.round_trip and is_here else None,
        workers=device.workers if is_here else 0,
        children=report.children if is_here else 0,
        held=report.held if is_here and state != OVER else 0,
        state=state,
        heard_at=round(entry.heard - start, 3),
        since=round(entry.since - start, 3),
        total_items=items_of(total),
        total_cpu_time=cpu_ms_of(total),
        failed=total.failed,
        reassigned=total.returned,
        bytes_in=total.bytes_in,
        bytes_out=total.bytes_out,
        measured=IntervalMeasured(
            interval.items, interval.cpu_ms, interval.transfer_ms, interval.function_ms
        ),
        waiting=Waiting(
            interval.starved_ms, interval.blocked_ms, interval.loading_ms, interval.paused_ms
        ),
        global_report=global_report,
    )


def show_sums(devices: int, workers: int, counters: Counters) -> Sums:
    """Return what is shown of several devices together."""
    return Sums(
        devices,
        workers,
        items_of(counters),
        cpu_ms_of(counters),
        counters.reported_transfer_ms or counters.transfer_ms,
        counters.bytes_in,
        counters.bytes_out,
    )


def show_summed(ledger: Ledger) -> Sums:
    """Return what is shown of devices that links do not report one by one."""
    counters = NOTHING
    for rest in ledger.rests.values():
        counters = plus(counters, unpack(rest.counters))
    return show_sums(
        sum(rest.devices for rest in ledger.rests.values()),
        sum(rest.workers for rest in ledger.rests.values()),
        counters,
    )
