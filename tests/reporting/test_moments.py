"""Running statistics against those computed from all values."""

from __future__ import annotations

import statistics

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pando.reports.counters import IntervalFigures
from pando.reports.moments import NO_MOMENTS, DeviceMoments, Moments

values = st.lists(st.floats(0, 1e6), min_size=1, max_size=60)


def moments_of(values: list[float]) -> Moments:
    moments = Moments()
    for value in values:
        moments = moments.add(value)
    return moments


def check(moments: Moments, values: list[float]) -> None:
    scale = max(values)
    assert moments.count == len(values)
    assert moments.mean == pytest.approx(statistics.fmean(values), abs=1e-9 + 1e-9 * scale)
    assert moments.deviation == pytest.approx(statistics.pstdev(values), abs=1e-9 + 1e-6 * scale)
    assert (moments.maximum, moments.minimum) == (max(values), min(values))
    assert moments.is_possible


@given(values)
def test_statistics_are_those_of_all_values(values: list[float]) -> None:
    check(moments_of(values), values)


@given(values, values)
def test_merged_statistics_are_those_of_all_values(one: list[float], other: list[float]) -> None:
    check(moments_of(one).merge(moments_of(other)), one + other)
    assert moments_of(one).merge(Moments()) == moments_of(one)
    assert Moments().merge(moments_of(one)) == moments_of(one)


@given(values)
def test_statistics_stay_the_same_over_the_wire(values: list[float]) -> None:
    moments = moments_of(values)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(moments), type=Moments) == moments


def test_before_the_first_value_all_is_zero() -> None:
    moments = Moments()
    assert (moments.mean, moments.deviation, moments.maximum, moments.minimum) == (0, 0, 0, 0)
    assert moments.is_possible


@pytest.mark.parametrize(
    "impossible",
    [
        Moments(3, 5.0, 0.0, 4.0, 1.0),
        Moments(3, 0.5, 0.0, 4.0, 1.0),
        Moments(3, 2.0, 1e9, 4.0, 1.0),
        Moments(0, 2.0, 0.0, 1.0, 1.0),
        Moments(2, 1.0, 0.0, 0.0, 2.0),
    ],
)
def test_impossible_statistics_are_noticed(impossible: Moments) -> None:
    assert not impossible.is_possible
    assert not DeviceMoments(cpu_usage=impossible).is_possible


def test_a_device_has_three_statistics() -> None:
    moments = NO_MOMENTS.add(IntervalFigures(30, 6000, 300, 3000))
    means = (moments.throughput.mean, moments.cpu_usage.mean, moments.transfer_load.mean)
    assert means == (10.0, 200.0, 10.0)
