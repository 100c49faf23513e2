"""The device's side: its cumulative counters become numbered reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..reports.counters import NOTHING, REPORTED_SCALE, Counters, to_counter
from ..reports.records import COMPUTING, MAX_ROUND_TRIP, Device, Report

if TYPE_CHECKING:
    from ..figures import Figures

MAX_INTERVALS = 20
"""An interval that took longer than this many is taken for a jump of the clock."""


class Measured(NamedTuple):
    """What a device has measured since its epoch began. Times are in seconds.

    The attributes are those of `Counters`; `reported` is what the function has reported.
    """

    items: float = 0
    function: float = 0.0
    starved: float = 0.0
    cpu: float = 0.0
    bytes_in: float = 0
    bytes_out: float = 0
    transfer: float = 0.0
    blocked: float = 0.0
    loading: float = 0.0
    paused: float = 0.0
    failed: float = 0
    returned: float = 0
    reported: Figures | None = None


class Reporter:
    """Numbers a device's reports and keeps its counters from decreasing.

    Args:
        now: the device's clock, in seconds. It may jump.
        interval: seconds between two reports, as they are planned.
    """

    def __init__(self, now: float, interval: float) -> None:
        self._now = now
        self._interval = interval
        self._elapsed = 0.0
        self._sequence = 0
        self._counters = NOTHING

    def report(
        self,
        device: Device,
        measured: Measured,
        now: float,
        *,
        state: int = COMPUTING,
        held: int = 0,
        children: int = 0,
        round_trip: float | None = None,
    ) -> Report:
        """Return the next report; `round_trip` is in seconds, or None where it is not known.

        Where the clock has gone back, or further than intervals ever are, the interval counts as
        long as it was planned.
        """
        passed = now - self._now
        self._now = now
        if not 0 < passed <= MAX_INTERVALS * self._interval:
            passed = self._interval
        self._elapsed += passed
        before = self._counters
        self._counters = _count(measured, self._elapsed, before)
        self._sequence += 1
        microseconds = 0 if round_trip is None else to_round_trip(round_trip)
        return Report(
            device,
            self._sequence,
            self._counters,
            before,
            state,
            held,
            children,
            round_trip=microseconds,
        )


def to_round_trip(seconds: float) -> int:
    """Return a round-trip time as reports have it: in microseconds, from 1 to the bound."""
    return min(max(1, round(1e6 * seconds)), MAX_ROUND_TRIP)


def _count(measured: Measured, elapsed: float, before: Counters) -> Counters:
    """Return what was measured as counters, none of them less than before."""
    items, _, cpu, transfer = measured.reported or (0.0, "", 0.0, 0.0)
    figures = (
        1000 * elapsed,
        measured.items,
        1000 * measured.function,
        1000 * measured.starved,
        1000 * measured.cpu,
        measured.bytes_in,
        measured.bytes_out,
        1000 * measured.transfer,
        1000 * measured.blocked,
        1000 * measured.loading,
        1000 * measured.paused,
        measured.failed,
        measured.returned,
        REPORTED_SCALE * items,
        1000 * cpu,
        1000 * transfer,
    )
    return Counters._make(map(to_counter, figures, before))
