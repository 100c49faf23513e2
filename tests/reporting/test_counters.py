"""Counters, the figures of an interval and a device's numbered reports."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pando.reporting.device import Measured, Reporter
from pando.reports.counters import (
    MAX_COUNTER,
    Counters,
    figures_between,
    minus,
    plus,
    to_counter,
)
from pando.reports.records import Device, Update, one_line, pack, unpack
from tests.reporting.feed import device

counters = st.builds(Counters, *[st.integers(0, 2**40)] * len(Counters._fields))
any_float = st.floats(allow_nan=True, allow_infinity=True)


@given(counters, counters)
def test_sums_and_differences_undo_each_other(one: Counters, other: Counters) -> None:
    assert minus(plus(one, other), other) == one


@given(counters)
def test_counters_are_packed_without_their_last_zeros(one: Counters) -> None:
    assert unpack(pack(one)) == one
    assert pack(Counters()) == []
    assert pack(Counters(elapsed_ms=5)) == [5]


@given(any_float, st.integers(0, MAX_COUNTER))
def test_a_counter_never_decreases_and_has_a_largest_value(value: float, before: int) -> None:
    after = to_counter(value, before)
    assert before <= after <= MAX_COUNTER
    if math.isnan(value) or value < 0:
        assert after == before


def test_the_seeds_example() -> None:
    before = Counters(elapsed_ms=9000, items=100, cpu_ms=4000)
    after = Counters(elapsed_ms=12107, items=800, cpu_ms=7095)
    figures = figures_between(before, after)
    assert figures.throughput == pytest.approx(225.2977148374638)
    assert figures.cpu_usage == pytest.approx(99.61377534599292)
    assert figures.transfer_load == 0
    assert figures.elapsed_ms == 3107


def test_what_the_function_reports_is_shown_and_the_rest_is_measured() -> None:
    after = Counters(elapsed_ms=1000, items=2, cpu_ms=900, reported_items=7500)
    figures = figures_between(Counters(), after)
    assert (figures.items, figures.cpu_ms) == (7.5, 900)
    again = plus(after, Counters(elapsed_ms=1000, items=3, cpu_ms=800, reported_cpu_ms=100))
    figures = figures_between(after, again)
    assert (figures.items, figures.cpu_ms) == (0, 100)


@given(st.lists(any_float, min_size=1, max_size=30))
def test_a_clock_that_jumps_gives_only_possible_intervals(times: list[float]) -> None:
    reporter = Reporter(0.0, 3.0)
    elapsed = 0
    for count, now in enumerate(times, 1):
        report = reporter.report(device(), Measured(), now)
        passed = report.counters.elapsed_ms - report.before.elapsed_ms
        assert 0 <= passed <= 60_001
        elapsed += passed
        assert (report.sequence, report.counters.elapsed_ms) == (count, elapsed)


def test_a_clock_that_goes_back_counts_the_planned_interval() -> None:
    reporter = Reporter(100.0, 3.0)
    for now, passed in ((103.1, 3100), (50.0, 3000), (53.2, 3200), (1e9, 3000), (1e9 + 3, 3000)):
        report = reporter.report(device(), Measured(), now)
        assert report.counters.elapsed_ms - report.before.elapsed_ms == passed


@given(st.lists(st.tuples(*[any_float] * 12), min_size=1, max_size=10))
def test_whatever_is_measured_reports_can_be_sent(figures: list[tuple[float, ...]]) -> None:
    reporter = Reporter(0.0, 3.0)
    for count, measured in enumerate(figures):
        report = reporter.report(device(), Measured(*measured), 3.0 * count)
        growth = minus(report.counters, report.before)
        assert all(0 <= one <= MAX_COUNTER for one in growth)
        assert all(0 <= one <= MAX_COUNTER for one in report.counters)


def test_fractions_that_are_reported_do_not_drift() -> None:
    reporter = Reporter(0.0, 3.0)
    reported = 0.0
    for count in range(1, 1001):
        reported += 0.1
        measured = Measured(reported=(reported, "Gizmos", 0.0, 0.0))
        report = reporter.report(device(), measured, 3.0 * count)
    assert report.counters.reported_items == 100_000


# ---- what comes from elsewhere ----


@pytest.mark.parametrize(
    "bad",
    [
        {"name": "x" * 10_240},
        {"name": "x" * 65},
        {"workers": -1},
        {"workers": 10**9},
        {"epoch": 2**60},
        {"node": b"short"},
        {"kind": "x" * 33},
        {"units": "x" * 33},
    ],
)
def test_a_device_out_of_bounds_is_refused(bad: dict[str, object]) -> None:
    values = dict(zip(Device.__struct_fields__, msgspec.structs.astuple(device()), strict=True))
    data = msgspec.msgpack.encode(list({**values, **bad}.values()))
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(data, type=Device)


INTRODUCTION = [0, [b"12345678", 1, b"", "a name"], 0, []]


@pytest.mark.parametrize(
    "interval",
    [
        [0, 1, [-1]],
        [0, 1, [1.5]],
        [0, 1, [math.nan]],
        [0, 1, [math.inf]],
        [0, 1, [2**53]],
        [0, 1, [0] * 17],
        [0, -1, []],
        [20_000, 1, []],
        [0, 1, [], 5],
        [0, 1, [], 0, -1],
        [0, 1, [], 0, 0, 0, [[1, math.nan, 0.0, 0.0, 0.0]]],
        [0, 1, [], 0, 0, 0, [[1, -1.0, 0.0, 0.0, 0.0]]],
        [0, 1, [], 0, 0, 0, [[1, 0.0, math.inf, 0.0, 0.0]]],
        [0, 1, [], 0, 0, 0, [[-1]]],
    ],
)
def test_absurd_figures_are_refused(interval: list[object]) -> None:
    good = ["update", [], [INTRODUCTION], [], [[0, 1, [3000]]], None]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(good), type=Update).intervals
    good[4] = [interval]
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(good), type=Update)


@given(st.text())
def test_a_name_becomes_one_printable_line(name: str) -> None:
    line = one_line(name)
    assert line.isprintable()
    assert len(line) <= 64
    assert one_line(line) == line
