"""What the root's scheduler knows of the run, and how fast the run goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

RATE_INTERVALS = 5
"""Reporting intervals over which the run's throughput is averaged."""


@dataclass(frozen=True)
class RunFigures:
    """What the root's scheduler knows of the run.

    Attributes:
        done, failed: items that are finished, and how many of them failed.
        total: how many there are in all, where that is known.
        lent, waiting: items that are being computed, and that have been read and are not.
        reassigned: items that were lent again.
        struck_out: items that failed because they ended workers.
        workers: how many compute now, on all devices.
        relayed: the root's children whose link a public server relays.
        relayed_beyond_degree: those of them that have a place beyond the degree.
        is_over: whether the run has ended.
        counters: what was refused, cut off or ignored, by kind.
    """

    done: int = 0
    failed: int = 0
    total: int | None = None
    lent: int = 0
    waiting: int = 0
    reassigned: int = 0
    struck_out: int = 0
    workers: int = 0
    relayed: int = 0
    relayed_beyond_degree: int = 0
    is_over: bool = False
    counters: Mapping[str, int] = field(default_factory=dict)

    def time_left(self, rate: float) -> float | None:
        """Return the seconds until the run is done at a rate, where that can be told."""
        if self.total is None:
            return None
        left = max(0, self.total - self.done)
        if not left:
            return 0.0
        return left / rate if rate else None


class Pace:
    """How many items were done when, over the last intervals; times are in seconds."""

    def __init__(self, start: float) -> None:
        self._done: deque[tuple[float, int]] = deque([(start, 0)], maxlen=RATE_INTERVALS + 1)

    def note(self, done: int, now: float) -> None:
        """Note what is done as an interval ends."""
        self._done.append((now, done))

    @property
    def rate(self) -> float:
        """Items a second, over the last intervals."""
        end, after = self._done[-1]
        return self.rate_until(after, end)

    def rate_until(self, done: int, now: float) -> float:
        """Return the items a second from the first of these intervals on."""
        begin, before = self._done[0]
        return max(0, done - before) / (now - begin) if now > begin else 0.0
