"""The rows of monitoring: what is shown of each device."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..reports.records import Report
from .events import MAX_EVENTS
from .global_view import GlobalReport, GlobalView
from .ledger import Entry
from .presentation import state_of
from .shown import Volunteer, show_volunteer

RECENT = 20
"""Throughputs of a device that are kept for its sparkline."""


@dataclass(slots=True)
class Row:
    """What is shown of a device, and since when.

    Attributes:
        entry: what is known of it.
        volunteer: what is shown.
        report, since: the entry's, when that was made.
        stamp: the monitor's stamp then.
        recent: the last throughputs.
    """

    entry: Entry
    volunteer: Volunteer
    report: Report
    since: float
    stamp: int
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    def differs_from(self, entry: Entry, state: str, report: GlobalReport | None) -> bool:
        """Whether something else is known now than what is shown."""
        if (self.report, self.since) != (entry.report, entry.since):
            return True
        return (self.volunteer.state, self.volunteer.global_report) != (state, report)


class Rows(dict[str, Row]):
    """What is shown of each device that is reported singly, by identifier.

    Args:
        start: when the run began.
        interval: seconds between two reports.

    Attributes:
        removed: when devices have ceased to be shown: their identifiers, by stamp.
    """

    def __init__(self, start: float, interval: float) -> None:
        super().__init__()
        self.removed: deque[tuple[int, str]] = deque(maxlen=MAX_EVENTS)
        self._start = start
        self._interval = interval

    def refresh(
        self,
        entries: Mapping[bytes, Entry],
        view: GlobalView | None,
        final: Mapping[bytes, str],
        stamp: int,
        now: float,
    ) -> None:
        """Bring the rows up to date.

        Args:
            entries: the devices that are known.
            view: what they tell on their report links.
            final: their states, where the run has ended.
            stamp: what marks the rows that change.
            now: the time.
        """
        for row in list(self.values()):
            node = row.entry.device.node
            if entries.get(node) is not row.entry or not row.entry.is_counted:
                del self[row.volunteer.id]
                self.removed.append((stamp, row.volunteer.id))
        for entry in entries.values():
            if entry.is_counted:
                state = state_of(entry, now, self._interval, final)
                report = None if view is None else view.show_device(entry.device.node)
                self._show(entry, state, report, stamp)

    def _show(self, entry: Entry, state: str, report: GlobalReport | None, stamp: int) -> None:
        node = entry.device.node.hex()
        row = self.get(node)
        if row is None:
            volunteer = show_volunteer(entry, state, self._start, report)
            row = Row(entry, volunteer, entry.report, entry.since, stamp)
            row.recent.append(volunteer.throughput)
            self[node] = row
        elif row.differs_from(entry, state, report):
            if row.report is not entry.report:
                row.recent.append(entry.figures.throughput)
            row.volunteer = show_volunteer(entry, state, self._start, report)
            row.report, row.since, row.stamp = entry.report, entry.since, stamp
