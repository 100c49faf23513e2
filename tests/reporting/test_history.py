"""Throughput over time against all that was computed."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pando.reporting.history import NAMED, POINTS, History, HistoryView
from tests.reporting.feed import identifier

additions = st.lists(
    st.tuples(
        st.integers(1, 6),  # device
        st.integers(0, 1000),  # items
        st.floats(0, 40),  # seconds since the one before
        st.floats(0, 20),  # seconds in which they were computed
    ),
    max_size=80,
)


def total(view: HistoryView) -> float:
    return sum(map(sum, view.series.values())) + sum(view.others)


@given(additions)
def test_nothing_is_lost_when_points_and_devices_are_merged(
    added: list[tuple[int, int, float, float]],
) -> None:
    history = History(100.0, 1.0, points=16, named=3)
    now = 100.0
    totals: dict[int, int] = defaultdict(int)
    for stamp, (device, items, passed, seconds) in enumerate(added):
        now += passed
        totals[device] += items
        history.add(identifier(device), items, totals[device], now, seconds, stamp)
        view = history.view()
        assert total(view) == pytest.approx(sum(totals.values()))
        assert len(view.others) <= 16
        assert len(view.series) <= 3
        assert {len(points) for points in view.series.values()} <= {len(view.others)}
        assert len(view.others) * view.width >= now - 100.0 or not items
        for name, points in view.series.items():
            assert sum(points) <= totals[int(name, 16)] + 1e-6
    assert all(point >= 0 for point in history.view().others)


@given(additions)
def test_a_viewer_that_gets_only_changes_sees_the_same(
    added: list[tuple[int, int, float, float]],
) -> None:
    history = History(0.0, 1.0, points=16, named=3)
    seen = history.view()
    now = 0.0
    totals: dict[int, int] = defaultdict(int)
    for stamp, (device, items, passed, seconds) in enumerate(added, 1):
        now += passed
        totals[device] += items
        history.add(identifier(device), items, totals[device], now, seconds, stamp)
        if history.layout != seen.layout:
            seen = history.view()
            continue
        columns = [*seen.series.values(), seen.others]
        for place, values in sorted(history.points_since(stamp - 1).items()):
            for column, value in zip(columns, values, strict=True):
                column.extend([0.0] * (place + 1 - len(column)))
                column[place] = value
        assert seen == history.view()


def test_steady_work_is_a_straight_line() -> None:
    """Also where reports do not come at the points' borders."""
    history = History(0.0, 3.0)
    for step in range(1, 101):
        history.add(identifier(1), 31, 31 * step, 3.1 * step, 3.1, step)
    points = history.view().series[identifier(1).hex()]
    assert points[:103] == pytest.approx([30.0] * 103)


def test_the_largest_have_a_series_to_themselves() -> None:
    history = History(0.0, 3.0)
    for number in range(1, 21):
        history.add(identifier(number), number, 100 * number, 3.0, 3.0, 1)
    names = history.view().series.keys()
    assert len(names) == NAMED
    assert names == {identifier(number).hex() for number in range(9, 21)}
    layout = history.layout
    history.add(identifier(8), 1, 901, 6.0, 3.0, 2)  # hardly larger than the smallest: no swap
    assert history.layout == layout
    history.add(identifier(8), 1, 1001, 9.0, 3.0, 3)
    assert identifier(8).hex() in history.view().series


def test_a_day_is_in_six_hundred_points_from_its_start() -> None:
    history = History(0.0, 3.0)
    for step in range(1, 28_801):
        history.add(identifier(step % 2), 1, step, 3.0 * step, 3.0, step)
    view = history.view()
    assert POINTS / 2 <= len(view.others) <= POINTS
    assert view.width == 3.0 * 2**6
    assert total(view) == pytest.approx(28_800)


def test_a_clock_that_goes_back_harms_nothing() -> None:
    history = History(100.0, 3.0)
    for now in (103.0, 50.0, 101.0, 110.0):
        history.add(identifier(1), 5, 5, now, 3.0, 1)
    assert total(history.view()) == pytest.approx(20)
