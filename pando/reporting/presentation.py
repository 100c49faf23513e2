"""Words and numbers for what devices report."""

from __future__ import annotations

from ..reports.counters import REPORTED_SCALE, Counters
from ..reports.records import BLOCKED, COMPUTING, LOADING, PAUSED, STARVED
from .ledger import Entry

STATES = {
    COMPUTING: "computing",
    STARVED: "starved",
    BLOCKED: "blocked",
    LOADING: "loading",
    PAUSED: "paused",
}
SILENT = "silent"
SILENT_INTERVALS = 3.5
"""Reporting intervals after which a device that was not heard of is shown as silent."""
UNNAMED = "a volunteer"


def state_of(entry: Entry, now: float, interval: float) -> str:
    """Return what a device does, as a word."""
    if not entry.is_live:
        return entry.presence
    if now - entry.heard > SILENT_INTERVALS * interval:
        return SILENT
    return STATES[entry.report.state]


def items_of(counters: Counters) -> int | float:
    """Return the items that the function reported, or else those computed."""
    if counters.reported_items:
        return plain(counters.reported_items / REPORTED_SCALE)
    return counters.items


def cpu_ms_of(counters: Counters) -> int:
    """Return the processor time that the function reported, or else the measured one."""
    return counters.reported_cpu_ms or counters.cpu_ms


def plain(number: float) -> int | float:
    """Return a whole number as an integer."""
    return int(number) if number == int(number) else number
