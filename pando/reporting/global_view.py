"""What is shown of report links: beside each device, and combined for the run.

A device whose reports come over its own link, while the tree says nothing of it, stalls: something
between it and the root does, and these figures still tell what it does.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from .ledger import LEFT, LOST, Entry, Ledger
from .presentation import (
    NOT_OVER,
    OVER,
    SILENT,
    SILENT_INTERVALS,
    UNNAMED,
    cpu_ms_of,
    items_of,
    plain,
    state_of,
)

MAX_MISSING = 100
"""Devices that are listed of which the tree has told nothing."""


class GlobalReport(msgspec.Struct, frozen=True, rename="camel"):
    """What a device told last over its report link. Times in milliseconds."""

    nb_items: int | float
    cpu_time: int
    throughput: float
    cpu_usage: float
    last_report_interval: int
    parent: str
    held: int
    state: str
    heard_at: float
    total_items: int | float
    total_cpu_time: int
    stalls: bool


class Missing(msgspec.Struct, frozen=True, rename="camel"):
    """A device of which only its report link tells."""

    id: str
    device_name: str
    parent: str
    state: str
    total_items: int | float
    throughput: float


class GlobalReports(msgspec.Struct, frozen=True, rename="camel"):
    """All report links together."""

    devices: int
    workers: int
    throughput: float
    cpu_usage: float
    total_items: int | float
    total_cpu_time: int
    stalled: int
    missing: list[Missing]
    refused_reports: int


class GlobalView:
    """Shows the report links of a run, as of one moment.

    Args:
        ledger: what has come over them.
        tree: what has come through the tree.
        interval: seconds between two reports.
        start: when the run began.
        now: the time.
        final: the states of report links at the end of the run, once that has come.
        final_in_tree: those that the tree has told.
    """

    def __init__(
        self,
        ledger: Ledger,
        tree: Ledger,
        *,
        interval: float,
        start: float,
        now: float,
        final: Mapping[bytes, str] = NOT_OVER,
        final_in_tree: Mapping[bytes, str] = NOT_OVER,
    ) -> None:
        self._ledger = ledger
        self._tree = tree
        self._interval = interval
        self._start = start
        self._now = now
        self._final = final
        self._final_in_tree = final_in_tree

    def show_device(self, node: bytes) -> GlobalReport | None:
        """Return what is shown beside a device; None where it has no report link yet."""
        entry = self._ledger.entries.get(node)
        if entry is None:
            return None
        figures, total = entry.figures, entry.total
        is_live = entry.is_live or self._state_of(entry) == OVER
        return GlobalReport(
            nb_items=plain(figures.items) if is_live else 0,
            cpu_time=figures.cpu_ms if is_live else 0,
            throughput=figures.throughput if is_live else 0.0,
            cpu_usage=figures.cpu_usage if is_live else 0.0,
            last_report_interval=figures.elapsed_ms,
            parent=entry.device.parent.hex(),
            held=entry.report.held if is_live and self._state_of(entry) != OVER else 0,
            state=self._state_of(entry),
            heard_at=round(entry.heard - self._start, 3),
            total_items=items_of(total),
            total_cpu_time=cpu_ms_of(total),
            stalls=self._stalls(entry),
        )

    def show_all(self) -> GlobalReports:
        """Return what is shown of all of them together."""
        entries = list(self._ledger.entries.values())
        heard = [entry for entry in entries if self._is_heard(entry)]
        missing = [entry for entry in heard if self._is_missing(entry)]
        departed = self._ledger.departed
        return GlobalReports(
            devices=len(heard),
            workers=sum(entry.device.workers for entry in heard),
            throughput=sum(entry.figures.throughput for entry in heard),
            cpu_usage=sum(entry.figures.cpu_usage for entry in heard),
            total_items=sum((items_of(e.total) for e in entries), items_of(departed)),
            total_cpu_time=sum((cpu_ms_of(e.total) for e in entries), cpu_ms_of(departed)),
            stalled=sum(map(self._stalls, heard)),
            missing=[self._show_missing(entry) for entry in missing[:MAX_MISSING]],
            refused_reports=self._ledger.refused,
        )

    def _show_missing(self, entry: Entry) -> Missing:
        device = entry.device
        return Missing(
            id=device.node.hex(),
            device_name=device.name or UNNAMED,
            parent=device.parent.hex(),
            state=self._state_of(entry),
            total_items=items_of(entry.total),
            throughput=entry.figures.throughput,
        )

    def _state_of(self, entry: Entry) -> str:
        return state_of(entry, self._now, self._interval, self._final)

    def _is_heard(self, entry: Entry) -> bool:
        """Whether a device is heard, or was until the run was over."""
        return self._state_of(entry) not in (SILENT, LOST, LEFT)

    def _is_missing(self, entry: Entry) -> bool:
        """Whether the tree knows nothing of a device that could have told it by now."""
        has_had_time = self._now - entry.since > SILENT_INTERVALS * self._interval
        return has_had_time and entry.device.node not in self._tree.entries

    def _stalls(self, entry: Entry) -> bool:
        """Whether a device is heard, but not through the tree."""
        if not self._is_heard(entry):
            return False
        told = self._tree.entries.get(entry.device.node)
        if told is None:
            return self._is_missing(entry)
        state = state_of(told, self._now, self._interval, self._final_in_tree)
        return state in (SILENT, LOST)
