"""The ledger: sums and statistics do not depend on how, when or how often reports arrive."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pando.reporting.ledger import KEEP_SECONDS, LEFT, LOST, MAX_FORMER, Entry, Ledger, Listener
from pando.reports.counters import Counters, figures_between, plus
from pando.reports.moments import Moments
from pando.reports.records import Report
from tests.reporting.feed import device, identifier

growth = st.builds(
    lambda elapsed, items, cpu: Counters(elapsed_ms=elapsed, items=items, cpu_ms=cpu),
    st.integers(1, 10_000),
    st.integers(0, 1000),
    st.integers(0, 40_000),
)
epochs = st.lists(st.lists(growth, min_size=1, max_size=6), min_size=1, max_size=4)


def reports_of(growths: list[list[Counters]], number: int = 1) -> list[list[Report]]:
    """Reports by epoch of a device whose counters grow like this."""
    result = []
    for epoch, ones in enumerate(growths, 1):
        before = Counters()
        reports = []
        for sequence, one in enumerate(ones, 1):
            after = plus(before, one)
            reports.append(Report(device(number, epoch), sequence, after, before))
            before = after
        result.append(reports)
    return result


def flat(reports: list[list[Report]]) -> list[Report]:
    return [report for epoch in reports for report in epoch]


def total_of(reports: list[list[Report]]) -> Counters:
    total = Counters()
    for epoch in reports:
        total = plus(total, epoch[-1].counters)
    return total


class Recorder(Listener):
    def __init__(self) -> None:
        self.events: list[str] = []

    def appeared(self, entry: Entry, now: float) -> None:
        self.events.append("appeared")

    def returned(self, entry: Entry, now: float) -> None:
        self.events.append("returned")

    def moved(self, entry: Entry, now: float) -> None:
        self.events.append("moved")

    def disappeared(self, entry: Entry, now: float) -> None:
        self.events.append(entry.presence)


def check_statistics(moments: Moments, values: list[float]) -> None:
    assert moments.count == len(values)
    if values:
        slack = 1e-9 + 1e-6 * max(values)
        assert moments.mean == pytest.approx(statistics.fmean(values), abs=slack)
        assert moments.deviation == pytest.approx(statistics.pstdev(values), abs=slack)
        assert (moments.maximum, moments.minimum) == (max(values), min(values))


@given(epochs, epochs, st.data())
def test_order_repeats_and_links_do_not_change_sums(
    one: list[list[Counters]], other: list[list[Counters]], data: Any
) -> None:
    devices = [reports_of(one, 1), reports_of(other, 2)]
    everything = [report for reports in devices for report in flat(reports)]
    again = data.draw(st.lists(st.sampled_from(everything), max_size=20))
    order = data.draw(st.permutations(everything + again))
    ledger = Ledger()
    for now, report in enumerate(order):
        ledger.hear(report, data.draw(st.sampled_from("abc")), now)
        if data.draw(st.booleans()):
            ledger.leave(report.device.node, data.draw(st.sampled_from("abc")), now, lost=True)
    for number, reports in enumerate(devices, 1):
        assert ledger.entries[identifier(number)].total == total_of(reports)


@given(epochs)
def test_statistics_are_of_all_intervals_before_the_one_shown(
    growths: list[list[Counters]],
) -> None:
    ledger = Ledger()
    values: list[tuple[float, float]] = []
    for report in flat(reports_of(growths)):
        assert ledger.hear(report, "a", 0.0)
        assert not ledger.hear(report, "b", 0.0)  # over a second link: nothing new
        entry = ledger.entries[identifier(1)]
        check_statistics(entry.statistics.throughput, [value[0] for value in values])
        check_statistics(entry.statistics.cpu_usage, [value[1] for value in values])
        figures = figures_between(report.before, report.counters)
        assert entry.figures == figures
        values.append((figures.throughput, figures.cpu_usage))
    ledger.leave(identifier(1), "b", 1.0, lost=False)
    check_statistics(ledger.entries[identifier(1)].statistics.throughput, [v[0] for v in values])


@given(st.lists(growth, min_size=2, max_size=12), st.data())
def test_unheard_intervals_do_not_count_and_idle_ones_are_zeros(
    growths: list[Counters], data: Any
) -> None:
    ledger = Ledger()
    shown: list[float] = []
    for report in reports_of([growths])[0]:
        if data.draw(st.booleans()):
            ledger.hear(report, "a", 0.0)
            figures = figures_between(report.before, report.counters)
            shown.append(figures.throughput)
    if shown:
        entry = ledger.entries[identifier(1)]
        check_statistics(entry.statistics.throughput, shown[:-1])


def test_an_idle_interval_is_a_zero() -> None:
    ledger = Ledger()
    busy, idle = Counters(elapsed_ms=1000, items=10), Counters(elapsed_ms=1000)
    for report in flat(reports_of([[busy, idle, busy, idle]])):
        ledger.hear(report, "a", 0.0)
    throughput = ledger.entries[identifier(1)].statistics.throughput
    assert (throughput.count, throughput.minimum, throughput.maximum) == (3, 0.0, 10.0)
    assert throughput.mean == pytest.approx(20 / 3)


def test_statistics_that_are_told_replace_those_that_were_put_together() -> None:
    reports = reports_of([[Counters(elapsed_ms=1000, items=n) for n in range(1, 31)]])[0]
    sender, hearer = Ledger(), Ledger()
    for report in reports:
        sender.hear(report, "own", 0.0)
        told = sender.entries[identifier(1)]
        if report.sequence in (1, 5):
            hearer.hear(report, "a", 0.0)
        if report.sequence == 20:
            full = Report(report.device, 20, report.counters, report.before, moments=told.moments)
            hearer.hear(full, "a", 0.0)
    assert hearer.entries[identifier(1)].moments.throughput.count == 19
    assert hearer.entries[identifier(1)].moments.throughput.mean == 10.0


def test_a_move_is_no_loss() -> None:
    recorder = Recorder()
    ledger = Ledger(recorder)
    first, second, third = reports_of([[Counters(elapsed_ms=1000, items=5)] * 3])[0]
    ledger.hear(first, "old", 0.0)
    moved = Report(device(parent=b"parent 2"), 2, second.counters, second.before)
    ledger.hear(moved, "new", 3.0)
    ledger.close("old", 10.0, lost=True)
    assert ledger.entries[identifier(1)].is_live
    ledger.hear(first, "old", 11.0)  # what was under way when the link ended
    assert ledger.entries[identifier(1)].owner == "new"
    assert recorder.events == ["appeared", "moved"]
    ledger.hear(third, "new", 12.0)
    assert ledger.entries[identifier(1)].total.items == 15


def test_what_was_lost_may_come_back() -> None:
    recorder = Recorder()
    ledger = Ledger(recorder)
    first, second = reports_of([[Counters(elapsed_ms=1000, items=5)] * 2])[0]
    ledger.hear(first, "a", 0.0)
    ledger.close("a", 3.0, lost=True)
    assert ledger.entries[identifier(1)].presence == LOST
    ledger.hear(second, "b", 6.0)
    ledger.leave(identifier(1), "a", 7.0, lost=True)
    assert ledger.entries[identifier(1)].is_live
    ledger.leave(identifier(1), "b", 8.0, lost=False)
    assert ledger.entries[identifier(1)].presence == LEFT
    assert recorder.events == ["appeared", "lost", "returned", "left"]


def test_former_devices_are_added_up_after_a_while() -> None:
    ledger = Ledger()
    reports = reports_of([[Counters(elapsed_ms=1000, items=5)] * 2])[0]
    ledger.hear(reports[0], "a", 0.0)
    ledger.leave(identifier(1), "a", 10.0, lost=False)
    ledger.expire(10.0 + KEEP_SECONDS - 1)
    assert identifier(1) in ledger.entries
    ledger.expire(10.0 + KEEP_SECONDS)
    assert not ledger.entries
    assert (ledger.departed.items, ledger.departed_devices) == (5, 1)
    # One that comes back is taken out of the sums.
    ledger.hear(reports[0], "b", 700.0)
    assert (ledger.departed.items, ledger.departed_devices) == (0, 0)
    ledger.hear(reports[1], "b", 703.0)
    assert ledger.entries[identifier(1)].total.items == 10
    assert ledger.entries[identifier(1)].is_live
    ledger.expire(5000.0)
    assert identifier(1) in ledger.entries


def test_a_repeat_of_a_former_device_s_old_report_changes_nothing() -> None:
    ledger = Ledger()
    first, second = reports_of([[Counters(elapsed_ms=1000, items=5)] * 2])[0]
    ledger.hear(first, "a", 0.0)
    ledger.hear(second, "a", 3.0)
    ledger.close("a", 4.0, lost=True)
    ledger.expire(1000.0)
    assert ledger.departed.items == 10
    assert not ledger.hear(first, "b", 1001.0)
    ledger.expire(1002.0)
    assert ledger.departed.items == 10


def test_there_is_a_largest_number_of_devices() -> None:
    ledger = Ledger(max_devices=3)
    for number in range(5):
        ledger.hear(Report(device(number), 1, Counters(1000, 1), Counters()), "a", 0.0)
    assert (len(ledger.entries), ledger.refused) == (2, 3), "one place is the node's own"


def test_a_device_that_restarts_for_ever_is_bounded() -> None:
    ledger = Ledger()
    for epoch in range(1, 501):
        ledger.hear(Report(device(1, epoch), 1, Counters(1000, 1), Counters()), "a", 0.0)
    entry = ledger.entries[identifier(1)]
    assert entry.total.items == 500
    assert (len(entry.past), len(entry.closed)) == (8, 64)
    assert not ledger.hear(Report(device(1, 480), 9, Counters(9000, 9), Counters()), "a", 0.0)


def test_devices_that_come_once_are_forgotten_in_the_end() -> None:
    ledger = Ledger()
    for number in range(3 * MAX_FORMER):
        ledger.hear(Report(device(number), 1, Counters(1000, 1), Counters()), "a", number)
        ledger.leave(identifier(number), "a", number, lost=False)
        ledger.expire(number)
    ledger.expire(1e6)
    assert ledger.departed.items == 3 * MAX_FORMER
    assert len(ledger._former) == MAX_FORMER
