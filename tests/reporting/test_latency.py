"""Quantiles of latency against those of all samples."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from pando.reporting.latency import BUCKETS, LatencyHistogram

times = st.lists(st.floats(2e-6, 1e5), min_size=1, max_size=200)
parts = st.floats(0, 1)


def histogram_of(samples: list[float]) -> LatencyHistogram:
    histogram = LatencyHistogram()
    for seconds in samples:
        histogram.add(seconds)
    return histogram


def check(histogram: LatencyHistogram, samples: list[float], part: float) -> None:
    exact = sorted(samples)[max(1, math.ceil(part * len(samples))) - 1]
    quantile = histogram.quantile(part)
    assert quantile is not None
    assert abs(quantile / exact - 1) < 0.0455


@given(times, parts)
def test_quantiles_are_those_of_all_samples(samples: list[float], part: float) -> None:
    check(histogram_of(samples), samples, part)


@given(times, times, parts)
def test_merged_quantiles_are_those_of_all_samples(
    one: list[float], other: list[float], part: float
) -> None:
    merged = histogram_of(one)
    merged.merge(histogram_of(other))
    check(merged, one + other, part)
    assert merged.count == len(one) + len(other)
    assert math.isclose(merged.seconds, math.fsum(one + other))


@given(times, st.integers(1, 50))
def test_a_batch_counts_as_its_items(samples: list[float], count: int) -> None:
    batches = LatencyHistogram()
    for seconds in samples:
        batches.add(seconds, count)
    assert batches.quantile(0.5) == histogram_of(samples * count).quantile(0.5)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=50))
def test_whatever_is_added_its_size_is_fixed(samples: list[float]) -> None:
    histogram = histogram_of(samples)
    assert histogram.count == len(samples)
    assert math.isfinite(histogram.seconds)
    assert len(histogram._buckets) == BUCKETS
    cumulative = histogram.cumulative()
    assert cumulative == sorted(cumulative)
    assert all(count <= len(samples) for _, count in cumulative)


def test_nothing_has_no_quantile() -> None:
    assert LatencyHistogram().quantile(0.5) is None


@given(st.lists(st.floats(2e-6, 1000), max_size=50))
def test_cumulative_counts_are_those_of_all_samples(samples: list[float]) -> None:
    for bound, count in histogram_of(samples).cumulative():
        below = sum(seconds <= bound * (1 + 1e-12) for seconds in samples)
        strictly = sum(seconds < bound * (1 - 1e-12) for seconds in samples)
        assert strictly <= count <= below
