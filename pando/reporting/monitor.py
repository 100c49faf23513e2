"""The root's monitor: hears reports, and knows at any time what to show of the run."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import msgspec

from ..reports.counters import Counters, plus
from ..reports.records import Report, one_line, unpack
from .events import (
    JOINED,
    LEFT,
    LET_BACK,
    LOST,
    MAX_ERRORS,
    MAX_EVENTS,
    MOVED,
    REASSIGNED,
    REFUSED,
    RETURNED,
    SENT_AWAY,
    STRUCK_OUT,
    ErrorRecord,
    Event,
    Ring,
    new_error,
    new_event,
)
from .global_view import GlobalView
from .history import History
from .latency import LatencyHistogram
from .ledger import LEFT as HAS_LEFT
from .ledger import LOST as IS_LOST
from .ledger import OWN, Entry, Ledger, Listener
from .presentation import NOT_OVER, OVER, UNNAMED, final_states
from .rows import Rows
from .run_figures import Pace, RunFigures
from .shown import (
    Information,
    Latency,
    Root,
    SentAway,
    show_summed,
    show_sums,
)

MAX_REFUSALS, REFUSALS_SECONDS = 10, 60.0
"""Refusals that become events in so many seconds: strangers must not push out all other events."""


class Monitor(Listener):
    """What a run's monitoring knows.

    Args:
        function: what the function is called.
        root: the root's identifier.
        start: when the run began.
        interval: seconds between two reports.
        has_report_links: whether devices report over links of their own, too.

    Attributes:
        ledger: the devices.
        global_ledger: what they tell on their report links; None where there are none.
        history: throughput over time.
        events, errors: what happened.
        latency: how long items take, from being lent to their result.
        function: what the function is called.
        root: the root's identifier.
        rows: what was shown of each device at the last `tick`, by identifier.
        sent_away: devices that may not take part any more, by identifier.
        stamp: grows by one with each `tick`.
    """

    def __init__(
        self,
        function: str,
        root: bytes,
        start: float,
        interval: float,
        *,
        has_report_links: bool = False,
    ) -> None:
        self.ledger = Ledger(self)
        self.global_ledger = Ledger() if has_report_links else None
        self._global_view: GlobalView | None = None
        self.history = History(start, interval)
        self.events: Ring[Event] = Ring(MAX_EVENTS)
        self.errors: Ring[ErrorRecord] = Ring(MAX_ERRORS)
        self.latency = LatencyHistogram()
        self.rows = Rows(start, interval)
        self._refusals: deque[float] = deque(maxlen=MAX_REFUSALS)
        self.sent_away: dict[bytes, SentAway] = {}
        self.stamp = 0
        self.start = start
        self.run = RunFigures()
        self.function = function
        self.root = root
        self._interval = interval
        self._now = start
        self._pace = Pace(start)
        self._summed_items = 0
        self._shown: Information | None = None
        self._unknown_intervals = 0
        self._lost_epochs: dict[bytes, int] = {}
        self._final: dict[bytes, str] = {}
        self._final_of_links: Mapping[bytes, str] = NOT_OVER

    # ---- what happens ----

    def hear_own(self, report: Report, now: float) -> None:
        """Take the root's own report."""
        self.ledger.hear(report, OWN, now)

    def reassigned(self, name: str, count: int, now: float) -> None:
        """Note that items which a device held are lent again."""
        text = "1 item" if count == 1 else f"{count:,} items"
        self._note(now, REASSIGNED, name=name, text=text)

    def struck_out(self, index: int, reason: str, now: float) -> None:
        """Note that an item is given up because workers were lost while they ran it."""
        self._note(now, STRUCK_OUT, text=f"item {index}: {reason}")

    def refused(self, name: str, reason: str, now: float) -> None:
        """Note that a device may not, or cannot, take part."""
        times = self._refusals
        if len(times) == MAX_REFUSALS and now - times[0] < REFUSALS_SECONDS:
            return
        times.append(now)
        self._note(now, REFUSED, name=name, text=reason)

    def send_away(self, node: bytes, now: float) -> bool:
        """Note that a device may not take part any more; return whether it could."""
        entry = self.ledger.entries.get(node)
        if entry is None or node in self.sent_away or node == self.root:
            return False
        name = one_line(entry.device.name) or UNNAMED
        self.sent_away[node] = SentAway(node.hex(), name, round(self._at(now), 3))
        self._note_device(now, SENT_AWAY, entry)
        return True

    def let_back(self, node: bytes, now: float) -> bool:
        """Note that a device may take part again; return whether it could not."""
        sent_away = self.sent_away.pop(node, None)
        if sent_away is None:
            return False
        self._note(now, LET_BACK, sent_away.id, sent_away.device_name)
        return True

    def item_failed(
        self,
        now: float,
        *,
        index: int,
        item: str,
        device: str,
        type: str,
        reason: str,
        traceback: str,
    ) -> None:
        """Note an item's error."""
        at = self._at(now)
        self.errors.add(new_error(at, index, item, device, type, reason, traceback))

    def end(self, now: float) -> None:
        """Take it that the run ends: who is here took part to the end, and does not leave it."""
        self._final = {**final_states(self.ledger, now, self._interval), self.root: OVER}
        if self.global_ledger is not None:
            self._final_of_links = final_states(self.global_ledger, now, self._interval)

    # ---- what the ledger tells ----

    def appeared(self, entry: Entry, now: float) -> None:
        """Note that a device has joined."""
        self._note_device(now, JOINED, entry)
        self._keep_to_the_end(entry)

    def returned(self, entry: Entry, now: float) -> None:
        """Note that a device is here again."""
        self._note_device(now, RETURNED, entry)
        if self._lost_epochs.pop(entry.device.node, None) == entry.device.epoch:
            self._unknown_intervals -= 1  # its counters have gone on, and tell of it
        self._keep_to_the_end(entry)

    def moved(self, entry: Entry, now: float) -> None:
        """Note that a device has another parent."""
        self._note_device(now, MOVED, entry)

    def disappeared(self, entry: Entry, now: float) -> None:
        """Note that a device has left, or was lost."""
        if entry.device.node in self._final:
            return
        self._note_device(now, LOST if entry.presence == IS_LOST else LEFT, entry)
        if entry.presence == IS_LOST:
            self._unknown_intervals += 1
            self._lost_epochs[entry.device.node] = entry.device.epoch

    def _keep_to_the_end(self, entry: Entry) -> None:
        """Take it that a device that comes, or is heard for the first time, at the end is here."""
        if self._final:
            self._final[entry.device.node] = OVER

    def reported(self, entry: Entry, now: float) -> None:
        """Add a report to the history."""
        report = entry.report
        if entry.summed:
            return
        node = report.device.node
        items = report.counters.items - report.before.items
        seconds = (report.counters.elapsed_ms - report.before.elapsed_ms) / 1000
        self.history.add(node, items, entry.total.items, now, seconds, self.stamp + 1)

    # ---- what is shown ----

    def tick(self, run: RunFigures, now: float) -> Information:
        """Bring what is shown up to date, once an interval, and return it."""
        self.stamp += 1
        self.run, self._now = run, now
        self.ledger.expire(now)
        for node in self._lost_epochs.keys() - self.ledger.entries.keys():
            del self._lost_epochs[node]
        self._global_view = self._view_report_links(now)
        self.rows.refresh(self.ledger.entries, self._global_view, self._final, self.stamp, now)
        self._add_summed(now)
        self._pace.note(run.done, now)
        volunteers = {
            row.volunteer.id: row.volunteer
            for row in self.rows.values()
            if row.entry.device.node != self.root
        }
        self._shown = Information(self._show_root(run, now), volunteers)
        return self._shown

    def glance(self, run: RunFigures, now: float) -> Information:
        """Return what was shown last with the run's own figures of now; no interval ends."""
        shown = self.information
        rate = self._pace.rate_until(run.done, now)
        root = msgspec.structs.replace(
            shown.root,
            elapsed=round(self._at(now), 3),
            done=run.done,
            failed=run.failed,
            total=run.total,
            throughput=rate,
            time_left=run.time_left(rate),
            workers=run.workers,
        )
        return Information(root, shown.volunteers)

    @property
    def information(self) -> Information:
        """What was shown last."""
        return self._shown or self.tick(self.run, self._now)

    def recent(self) -> dict[str, list[float]]:
        """Return the last throughputs of each device that is shown."""
        return {node: list(row.recent) for node, row in self.rows.items()}

    def device_totals(self) -> Counters:
        """Return the counters of all devices that ever took part, together."""
        total = self.ledger.departed
        for entry in self.ledger.entries.values():
            if entry.is_counted:
                total = plus(total, entry.total)
        for rest in self.ledger.rests.values():
            total = plus(total, unpack(rest.counters))
        return total

    def states(self) -> dict[str, int]:
        """Return how many devices are in each state."""
        counts: dict[str, int] = {}
        for row in self.rows.values():
            counts[row.volunteer.state] = counts.get(row.volunteer.state, 0) + 1
        return counts

    def _view_report_links(self, now: float) -> GlobalView | None:
        if self.global_ledger is None:
            return None
        self.global_ledger.expire(now)
        return GlobalView(
            self.global_ledger,
            self.ledger,
            interval=self._interval,
            start=self.start,
            now=now,
            final=self._final_of_links,
            final_in_tree=self._final,
        )

    def _add_summed(self, now: float) -> None:
        """Add to the history what devices did that are reported in sums only."""
        items = sum(unpack(rest.counters).items for rest in self.ledger.rests.values())
        if items:  # less what these devices had done before, which is in the history already
            entries = self.ledger.entries.values()
            items -= sum(e.report.counters.items for e in entries if not e.is_counted)
        growth = max(0, items - self._summed_items)
        self._summed_items = items
        if growth:
            self.history.add(None, growth, 0, now, self._interval, self.stamp)

    def _show_root(self, run: RunFigures, now: float) -> Root:
        ledger = self.ledger
        others = [row for row in self.rows.values() if row.entry.device.node != self.root]
        own = self.rows.get(self.root.hex())
        live = [row.volunteer for row in others if row.volunteer.state not in (IS_LOST, HAS_LEFT)]
        parents = {volunteer.parent for volunteer in live}
        summed = show_summed(ledger)
        departed = show_sums(ledger.departed_devices, 0, ledger.departed)
        given = sum(row.volunteer.total_cpu_time for row in others)
        rate = self._pace.rate
        return Root(
            function=self.function,
            state="over" if run.is_over else "running",
            elapsed=round(self._at(now), 3),
            reporting_interval=self._interval,
            done=run.done,
            failed=run.failed,
            total=run.total,
            throughput=rate,
            time_left=run.time_left(rate),
            lent=run.lent,
            unprocessed_inputs=run.waiting,
            reassigned=run.reassigned,
            struck_out=run.struck_out,
            workers=run.workers,
            children_nb=sum(volunteer.parent == self.root.hex() for volunteer in live),
            nb_leaf_nodes=sum(volunteer.id not in parents for volunteer in live),
            cpu_time_given=given + departed.cpu_time + summed.cpu_time,
            latency=Latency(*(self.latency.quantile(part) for part in (0.5, 0.9, 0.99))),
            own=None if own is None else own.volunteer,
            departed=departed,
            summed=summed,
            refused_reports=ledger.refused,
            unknown_intervals=self._unknown_intervals,
            sent_away=list(self.sent_away.values()),
            counters=dict(run.counters),
            relayed=run.relayed,
            relayed_beyond_degree=run.relayed_beyond_degree,
            global_reports=None if self._global_view is None else self._global_view.show_all(),
        )

    # ---- events ----

    def _at(self, now: float) -> float:
        return max(0.0, now - self.start)

    def _note(self, now: float, kind: str, id: str = "", name: str = "", text: str = "") -> None:
        self.events.add(new_event(round(self._at(now), 3), kind, id, name, text))

    def _note_device(self, now: float, kind: str, entry: Entry) -> None:
        device = entry.device
        if device.node != self.root:
            self._note(now, kind, device.node.hex(), device.name or UNNAMED)
