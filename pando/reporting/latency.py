"""How long items take: quantiles from a histogram with logarithmic buckets.

Its size is fixed, two of them can be merged, and a quantile is wrong by half a bucket at the most:
4.5 percent.
"""

from __future__ import annotations

import math
from itertools import accumulate

SMALLEST = 1e-6
"""Seconds; shorter times are in the first bucket."""
PER_DOUBLING = 8
"""Buckets for each doubling of time."""
DOUBLINGS = 40
"""From a microsecond to 12 days; longer times are in the last bucket."""
BUCKETS = PER_DOUBLING * DOUBLINGS
LARGEST = SMALLEST * 2.0**DOUBLINGS


class LatencyHistogram:
    """Counts times by their size.

    Attributes:
        count: how many there are.
        seconds: their sum.
    """

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self._buckets = [0] * BUCKETS

    def add(self, seconds: float, count: int = 1) -> None:
        """Count a time, as often as `count` says; NaN and negative times count as none."""
        seconds = min(seconds, LARGEST) if seconds > 0 else 0.0
        place = 0
        if seconds > SMALLEST:
            place = min(BUCKETS - 1, int(PER_DOUBLING * math.log2(seconds / SMALLEST)))
        self._buckets[place] += count
        self.count += count
        self.seconds += seconds * count

    def merge(self, other: LatencyHistogram) -> None:
        """Add what another one has counted."""
        self._buckets = [a + b for a, b in zip(self._buckets, other._buckets, strict=True)]
        self.count += other.count
        self.seconds += other.seconds

    def quantile(self, part: float) -> float | None:
        """Return the time that this part of all is not longer than; None where there are none."""
        if not self.count:
            return None
        rank = max(1, math.ceil(part * self.count))
        below = 0
        place = -1
        while below < rank:
            place += 1
            below += self._buckets[place]
        return float(SMALLEST * 2.0 ** ((place + 0.5) / PER_DOUBLING))

    def cumulative(self) -> list[tuple[float, int]]:
        """Return bounds in seconds, each with how many times are not above it."""
        sums = list(accumulate(self._buckets))
        return [
            (SMALLEST * 2.0**doubling, sums[PER_DOUBLING * doubling - 1])
            for doubling in range(1, DOUBLINGS)
        ]
