"""Running statistics of intervals: count, mean, deviation, maximum and minimum.

Mean and sum of squared deviations follow Welford (1962); two of them are merged after Chan, Golub
and LeVeque (1979).
"""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

from .counters import MAX_COUNTER, IntervalFigures

MAX_RATE = 1e19
"""No figure of an interval is larger: a counter's largest value in a millisecond."""
MAX_SQUARES = 1e55
TOLERANCE = 1e-6
"""Relative error that rounding may leave between a mean and its bounds."""

Rate = Annotated[float, msgspec.Meta(ge=0, le=MAX_RATE)]


class Moments(msgspec.Struct, array_like=True, frozen=True):
    """Statistics of the values seen so far.

    Attributes:
        count: how many values.
        mean: their average.
        squares: the sum of their squared deviations from the mean.
        maximum, minimum: the largest and the smallest value; 0 where there is none.
    """

    count: Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNTER)] = 0
    mean: Rate = 0.0
    squares: Annotated[float, msgspec.Meta(ge=0, le=MAX_SQUARES)] = 0.0
    maximum: Rate = 0.0
    minimum: Rate = 0.0

    def add(self, value: float) -> Moments:
        """Return the statistics with one more value."""
        count = self.count + 1
        if count == 1:
            return Moments(1, value, 0.0, value, value)
        off = value - self.mean
        mean = self.mean + off / count
        squares = self.squares + off * (value - mean)
        return Moments(count, mean, squares, max(self.maximum, value), min(self.minimum, value))

    def merge(self, other: Moments) -> Moments:
        """Return the statistics of both sets of values together."""
        if not other.count:
            return self
        if not self.count:
            return other
        count = self.count + other.count
        off = other.mean - self.mean
        return Moments(
            count,
            self.mean + off * other.count / count,
            self.squares + other.squares + off * off * self.count * other.count / count,
            max(self.maximum, other.maximum),
            min(self.minimum, other.minimum),
        )

    @property
    def deviation(self) -> float:
        """The population standard deviation."""
        return math.sqrt(self.squares / self.count) if self.count else 0.0

    @property
    def is_possible(self) -> bool:
        """Whether some set of values has these statistics."""
        slack = TOLERANCE * self.maximum
        spread = self.maximum - self.minimum + slack
        return (
            self.minimum <= self.mean + slack
            and self.mean <= self.maximum + slack
            and self.squares <= self.count * spread * spread
        )


class DeviceMoments(msgspec.Struct, array_like=True, frozen=True):
    """Statistics of a device's intervals: throughput, processor usage and load by transfers."""

    throughput: Moments = Moments()
    cpu_usage: Moments = Moments()
    transfer_load: Moments = Moments()

    def add(self, figures: IntervalFigures) -> DeviceMoments:
        """Return the statistics with one more interval."""
        return DeviceMoments(
            self.throughput.add(figures.throughput),
            self.cpu_usage.add(figures.cpu_usage),
            self.transfer_load.add(figures.transfer_load),
        )

    def merge(self, other: DeviceMoments) -> DeviceMoments:
        """Return the statistics of the intervals of both."""
        return DeviceMoments(
            self.throughput.merge(other.throughput),
            self.cpu_usage.merge(other.cpu_usage),
            self.transfer_load.merge(other.transfer_load),
        )

    @property
    def is_possible(self) -> bool:
        """Whether some intervals have these statistics."""
        parts = (self.throughput, self.cpu_usage, self.transfer_load)
        return all(part.is_possible for part in parts)


NO_MOMENTS = DeviceMoments()
