"""What a viewer of the page gets: first the whole state, then what has changed.

Nothing is kept for a viewer but how far it has got. So one that reads slowly gets the newest state
later, and costs no memory.
"""

from __future__ import annotations

import msgspec

from .events import ErrorRecord, Event
from .history import HistoryView
from .monitor import Monitor
from .shown import Root, Volunteer


class State(msgspec.Struct, frozen=True, tag_field="type", tag="state"):
    """The whole state.

    Attributes:
        root: the run.
        volunteers: the devices by identifier, the root's own among them.
        recent: their last throughputs, by identifier.
        history: throughput over time.
        events, errors: what happened, oldest first.
    """

    root: Root
    volunteers: dict[str, Volunteer]
    recent: dict[str, list[float]]
    history: HistoryView
    events: list[Event]
    errors: list[ErrorRecord]


class Changes(msgspec.Struct, frozen=True, tag_field="type", tag="changes"):
    """What has changed since the message before.

    Attributes:
        root: the run.
        volunteers: devices that are new or have changed, by identifier.
        removed: identifiers of devices that are not shown any more.
        history: all of it, where its layout has changed; None else.
        points: else its changed points by place: items of each series, then of the others.
        events, errors: what happened since.
    """

    root: Root
    volunteers: dict[str, Volunteer]
    removed: list[str]
    history: HistoryView | None
    points: dict[int, list[float]]
    events: list[Event]
    errors: list[ErrorRecord]


class Viewer:
    """How far one viewer has got.

    Attributes:
        stamp: the monitor's stamp of the state that it has.
    """

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self.stamp = -1
        self._layout = -1
        self._events = 0
        self._errors = 0

    def next(self) -> State | Changes | None:
        """Return what to send now; None where nothing has changed since the last time."""
        monitor = self._monitor
        information = monitor.information
        if self.stamp == monitor.stamp:
            return None
        message = self._changes(information.root) if self._can_follow() else self._all()
        self.stamp = monitor.stamp
        self._layout = monitor.history.layout
        self._events = monitor.events.total
        self._errors = monitor.errors.total
        return message

    def _can_follow(self) -> bool:
        """Whether what is kept of removed rows reaches back to where this viewer is."""
        removed = self._monitor.rows.removed
        if self.stamp < 0:
            return False
        return len(removed) < (removed.maxlen or 0) or removed[0][0] <= self.stamp

    def _all(self) -> State:
        monitor = self._monitor
        return State(
            monitor.information.root,
            {node: row.volunteer for node, row in monitor.rows.items()},
            monitor.recent(),
            monitor.history.view(),
            monitor.events.since(0),
            monitor.errors.since(0),
        )

    def _changes(self, root: Root) -> Changes:
        monitor = self._monitor
        same = monitor.history.layout == self._layout
        return Changes(
            root,
            {node: row.volunteer for node, row in monitor.rows.items() if row.stamp > self.stamp},
            [node for stamp, node in monitor.rows.removed if stamp > self.stamp],
            None if same else monitor.history.view(),
            monitor.history.points_since(self.stamp) if same else {},
            monitor.events.since(self._events),
            monitor.errors.since(self._errors),
        )


def encode(message: State | Changes) -> bytes:
    """Return a message as JSON."""
    return msgspec.json.encode(message)
