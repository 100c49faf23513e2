"""Cumulative counters of a device, as integers, and the figures of one reporting interval."""

from __future__ import annotations

from operator import add, sub
from typing import NamedTuple

MAX_COUNTER = 2**53 - 1
"""The largest counter: JavaScript's numbers are exact up to here. Counters stop at it."""
REPORTED_SCALE = 1000
"""Reported items are counted in thousandths, since a function may report fractions."""


class Counters(NamedTuple):
    """What a device has done since its epoch began. Times are in milliseconds.

    Attributes:
        elapsed_ms: time since the epoch began, by the device's own clock.
        items: items computed by its own workers.
        function_ms: time in the function, of all workers together.
        starved_ms: time that workers waited for items.
        cpu_ms: processor time of the workers.
        bytes_in, bytes_out: bytes received from and sent to other devices.
        transfer_ms: time in which data was being transferred.
        blocked_ms: time that workers waited because results could not be sent.
        loading_ms: time that workers waited for the function to be loaded.
        paused_ms: time that workers waited because the device was paused.
        failed: items that failed here.
        returned: items given back without a result.
        reported_items: items that the function reported, in thousandths.
        reported_cpu_ms, reported_transfer_ms: times that the function reported.
    """

    elapsed_ms: int = 0
    items: int = 0
    function_ms: int = 0
    starved_ms: int = 0
    cpu_ms: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    transfer_ms: int = 0
    blocked_ms: int = 0
    loading_ms: int = 0
    paused_ms: int = 0
    failed: int = 0
    returned: int = 0
    reported_items: int = 0
    reported_cpu_ms: int = 0
    reported_transfer_ms: int = 0


NOTHING = Counters()
SIZE = len(Counters._fields)


def plus(left: Counters, right: Counters) -> Counters:
    """Return the sum, counter by counter."""
    return Counters._make(map(add, left, right))


def minus(left: Counters, right: Counters) -> Counters:
    """Return the difference, counter by counter."""
    return Counters._make(map(sub, left, right))


def to_counter(value: float, before: int = 0) -> int:
    """Return a figure as a counter that has not decreased; NaN leaves it as it was."""
    return max(before, round(min(value, MAX_COUNTER))) if value > before else before


class IntervalFigures(NamedTuple):
    """What people see of one interval.

    Attributes:
        items: those that the function reported, or else those computed.
        cpu_ms, transfer_ms: those that the function reported, or else the measured ones.
        elapsed_ms: the interval's duration at the device.
    """

    items: float
    cpu_ms: int
    transfer_ms: int
    elapsed_ms: int

    @property
    def throughput(self) -> float:
        """Items per second."""
        return 1000 * self.items / self.elapsed_ms

    @property
    def cpu_usage(self) -> float:
        """Processor time, in percent of one core."""
        return 100 * self.cpu_ms / self.elapsed_ms

    @property
    def transfer_load(self) -> float:
        """Time in transfer, in percent of the interval."""
        return 100 * self.transfer_ms / self.elapsed_ms


def figures_between(before: Counters, after: Counters) -> IntervalFigures:
    """Return the figures of an interval, from the counters at its two ends.

    A figure that the function has ever reported is shown as it reports it; all others are measured.
    """
    if after.reported_items:
        items: float = (after.reported_items - before.reported_items) / REPORTED_SCALE
    else:
        items = after.items - before.items
    if after.reported_cpu_ms:
        cpu_ms = after.reported_cpu_ms - before.reported_cpu_ms
    else:
        cpu_ms = after.cpu_ms - before.cpu_ms
    if after.reported_transfer_ms:
        transfer_ms = after.reported_transfer_ms - before.reported_transfer_ms
    else:
        transfer_ms = after.transfer_ms - before.transfer_ms
    return IntervalFigures(items, cpu_ms, transfer_ms, max(1, after.elapsed_ms - before.elapsed_ms))
