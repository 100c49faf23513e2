"""Words and numbers for what devices report."""

from __future__ import annotations

from collections.abc import Mapping

from ..reports.counters import REPORTED_SCALE, Counters
from ..reports.records import BLOCKED, COMPUTING, LOADING, PAUSED, STARVED
from .ledger import Entry, Ledger

STATES = {
    COMPUTING: "computing",
    STARVED: "starved",
    BLOCKED: "blocked",
    LOADING: "loading",
    PAUSED: "paused",
}
SILENT = "silent"
OVER = "over"
"""The state of a device that took part until the run was over."""
SILENT_INTERVALS = 3.5
"""Reporting intervals after which a device that was not heard of is shown as silent."""
UNNAMED = "a volunteer"
NOT_OVER: Mapping[bytes, str] = {}
"""What `final_states` gives, as long as a run goes on."""


def state_of(
    entry: Entry, now: float, interval: float, final: Mapping[bytes, str] = NOT_OVER
) -> str:
    """Return what a device does, as a word.

    Args:
        entry: what is known of it.
        now: the time.
        interval: seconds between two reports.
        final: the states at the end of the run, by device, once that has come.
    """
    if (state := final.get(entry.device.node)) is not None:
        return state
    if not entry.is_live:
        return entry.presence
    if now - entry.heard > SILENT_INTERVALS * interval:
        return SILENT
    return STATES[entry.report.state]


def final_states(ledger: Ledger, now: float, interval: float) -> dict[bytes, str]:
    """Return what those are shown as that are here when their run ends, whatever comes then."""
    return {
        entry.device.node: SILENT if state_of(entry, now, interval) == SILENT else OVER
        for entry in ledger.live()
    }


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
