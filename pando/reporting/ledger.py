"""The ledger: the newest report of each device, from whomever it was heard.

A report is taken where its sequence number is higher than the last one of its epoch. So a repeat,
an older report, a second parent or a move to another one change no sums.

Where it is full, those that have gone make room first, then the newest of the link that tells of
the most devices: a child that invents very many hides none of another child's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

import msgspec

from ..reports.counters import NOTHING, Counters, IntervalFigures, figures_between, minus, plus
from ..reports.moments import NO_MOMENTS, DeviceMoments
from ..reports.records import MAX_DEVICES, Device, Report, Rest
from .shares import Shares

OWN = "own"
"""What a ledger calls the link over which a node's own reports come."""
LIVE, LEFT, LOST = "live", "left", "lost"
KEEP_SECONDS = 600.0
"""How long a device that has left is shown."""
MAX_EPOCHS = 8
"""Earlier epochs of a device that are kept apart; those before them are added up."""
MAX_CLOSED = 64
"""Epochs that have been added up, and are known not to be new ones."""
MAX_FORMER = 1000
"""Devices that are known again when they come back after `KEEP_SECONDS`."""


@dataclass(slots=True)
class Past:
    """An epoch of a device that another one has followed, or all that are added up."""

    sequence: int
    counters: Counters
    moments: DeviceMoments


@dataclass(slots=True, eq=False)
class Entry:
    """What is known of a device.

    Attributes:
        report: the newest of the current epoch.
        owner: the link over which it came.
        heard: when it came, by this node's clock.
        since: when its presence changed last.
        presence: `LIVE`, `LEFT` or `LOST`.
        summed: whether its figures come as part of a link's sums only.
        moments: statistics of this epoch's intervals before the newest.
        past: earlier epochs.
        older: those that are not kept apart any more.
        closed: numbers of these.
    """

    report: Report
    owner: Hashable
    heard: float
    since: float
    presence: str = LIVE
    summed: bool = False
    moments: DeviceMoments = NO_MOMENTS
    past: OrderedDict[int, Past] = field(default_factory=OrderedDict)
    older: Past | None = None
    closed: tuple[int, ...] = ()

    @property
    def device(self) -> Device:
        """What rarely changes about it."""
        return self.report.device

    @property
    def is_live(self) -> bool:
        """Whether it takes part."""
        return self.presence == LIVE

    @property
    def is_counted(self) -> bool:
        """Whether its counters belong to sums of all devices: else a link's sums have them."""
        return not (self.summed and self.is_live)

    @property
    def total(self) -> Counters:
        """Its counters, of all epochs together."""
        counters = self.report.counters
        for past in self._earlier():
            counters = plus(counters, past.counters)
        return counters

    @property
    def figures(self) -> IntervalFigures:
        """The figures of the newest interval."""
        return figures_between(self.report.before, self.report.counters)

    @property
    def statistics(self) -> DeviceMoments:
        """Statistics of all intervals before the one that is shown; of a former device, of all."""
        return self._with_earlier(self.moments if self.is_live else self.all_moments())

    @property
    def statistics_before(self) -> DeviceMoments:
        """Statistics of all intervals before the newest, whether it is here or not."""
        return self._with_earlier(self.moments)

    def _with_earlier(self, moments: DeviceMoments) -> DeviceMoments:
        for past in self._earlier():
            moments = past.moments.merge(moments)
        return moments

    def all_moments(self) -> DeviceMoments:
        """Return the statistics of this epoch's intervals, the newest among them."""
        if self.report.sequence == 0 or self.summed:
            return self.moments
        return self.moments.add(self.figures)

    def _earlier(self) -> Iterator[Past]:
        yield from self.past.values()
        if self.older is not None:
            yield self.older

    # ---- reports ----

    def take(self, report: Report) -> bool:
        """Take a report of this device, where it is new; return whether it was."""
        epoch = report.device.epoch
        if epoch == self.device.epoch:
            if report.sequence <= self.report.sequence:
                return False
            self._follow(report)
        elif epoch in self.closed:
            return False
        elif (past := self.past.get(epoch)) is not None:
            if report.sequence <= past.sequence:
                return False
            self._reopen(past, report)
        else:
            self._close_epoch()
            self.report = report
            self.moments = report.moments or NO_MOMENTS
        return True

    def _follow(self, report: Report) -> None:
        moments = self.all_moments() if report.moments is None else report.moments
        self.report = _continued(report, self.report.counters)
        self.moments = moments

    def _reopen(self, past: Past, report: Report) -> None:
        """A report of an earlier epoch came late, or the one that was taken for newer was not."""
        del self.past[report.device.epoch]
        self._close_epoch()
        self.report = _continued(report, past.counters)
        self.moments = past.moments if report.moments is None else report.moments

    def _close_epoch(self) -> None:
        report = self.report
        self.past[report.device.epoch] = Past(report.sequence, report.counters, self.all_moments())
        if len(self.past) > MAX_EPOCHS:
            epoch, past = self.past.popitem(last=False)
            if self.older is not None:
                past.counters = plus(past.counters, self.older.counters)
                past.moments = self.older.moments.merge(past.moments)
            self.older = past
            self.closed = (*self.closed, epoch)[-MAX_CLOSED:]


def _continued(report: Report, known: Counters) -> Report:
    """Return a report as it follows these counters of its epoch, which never decrease.

    Where reports in between were not heard, its interval begins at whichever is newer: what is
    known, or the report before it.
    """
    before = report.before if report.before.elapsed_ms > known.elapsed_ms else known
    counters = Counters._make(map(max, report.counters, known))
    before = Counters._make(map(min, before, counters))
    return msgspec.structs.replace(report, counters=counters, before=before)


class Listener:
    """Who is told what happens to devices; this one does nothing about it."""

    def appeared(self, entry: Entry, now: float) -> None:
        """A device is heard for the first time."""

    def returned(self, entry: Entry, now: float) -> None:
        """A device that had left, or was lost, is heard again."""

    def moved(self, entry: Entry, now: float) -> None:
        """A device has another parent."""

    def disappeared(self, entry: Entry, now: float) -> None:
        """A device has left, or was lost."""

    def reported(self, entry: Entry, now: float) -> None:
        """A device has a new report."""


class Ledger:
    """All devices that a node has heard of.

    Args:
        listener: who is told of what happens.
        max_devices: how many it holds; further ones of a link that tells of as many as any other
            are refused, and counted.

    Attributes:
        entries: by identifier: those that are here, and those that left not long ago.
        rests: sums of devices that a link does not report one by one, by link.
        departed: counters of all that left longer ago, or had to make room.
        departed_devices: how many these are.
        refused: how many reports of further devices were refused.
    """

    def __init__(self, listener: Listener | None = None, max_devices: int = MAX_DEVICES) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.rests: dict[Hashable, Rest] = {}
        self.departed = NOTHING
        self.departed_devices = 0
        self.refused = 0
        self._listener = listener or Listener()
        self._max_devices = max_devices
        self._former: OrderedDict[bytes, Entry] = OrderedDict()
        self._gone: dict[bytes, None] = {}
        self._shares = Shares()

    def hear(self, report: Report, owner: Hashable, now: float, *, summed: bool = False) -> bool:
        """Take a report; return whether it says anything new.

        Args:
            report: what a device reports, or what is known of it where it is `summed`.
            owner: the link over which it came.
            now: the time.
            summed: whether its figures come as part of the link's sums.
        """
        node = report.device.node
        entry = self.entries.get(node)
        if entry is None:
            if not self._has_room(owner, now):
                self.refused += 1
                return False
            entry = self._recall(node)
        if entry is None:
            entry = self.entries[node] = Entry(report, owner, now, now, summed=summed)
            entry.moments = report.moments or NO_MOMENTS
            self._shares.add(owner, node)
            self._listener.appeared(entry, now)
            self._listener.reported(entry, now)
            return True
        parent = entry.device.parent
        is_new = entry.take(report)
        is_known = report.device.epoch == entry.device.epoch
        if not is_new and not (is_known and report.sequence == entry.report.sequence):
            return False
        if is_new or entry.owner != owner:
            entry.summed = summed
        if entry.owner != owner or not entry.is_live:
            self._shares.remove(entry.owner, node)
            self._shares.add(owner, node)
            entry.owner = owner
        entry.heard = now
        if not entry.is_live:
            self._set_presence(entry, LIVE, now)
            self._listener.returned(entry, now)
        elif entry.device.parent != parent:
            self._listener.moved(entry, now)
        if is_new:
            self._listener.reported(entry, now)
        return is_new

    def sum_up(self, node: bytes, owner: Hashable) -> None:
        """Take it that this device's figures come as part of a link's sums from now on."""
        entry = self.entries.get(node)
        if entry is not None and entry.owner == owner:
            entry.moments = entry.all_moments()
            entry.summed = True

    def leave(self, node: bytes, owner: Hashable, now: float, *, lost: bool) -> None:
        """Take it that a device is not at the other end of this link any more.

        That means nothing where it has been heard of over another link since.
        """
        entry = self.entries.get(node)
        if entry is not None and entry.owner == owner and entry.is_live:
            self._shares.remove(owner, node)
            self._set_presence(entry, LOST if lost else LEFT, now)
            self._listener.disappeared(entry, now)

    def close(self, owner: Hashable, now: float, *, lost: bool) -> None:
        """Take it that a link has ended: its devices are not there any more."""
        self.rests.pop(owner, None)
        for node in self._shares.of(owner):
            self.leave(node, owner, now, lost=lost)

    def expire(self, now: float) -> None:
        """Add up those that left longer ago than they are shown."""
        for node in list(self._gone):
            if now - self.entries[node].since < KEEP_SECONDS:
                return
            self._add_up(node)

    def live(self) -> list[Entry]:
        """Return those that are here."""
        return [entry for entry in self.entries.values() if entry.is_live]

    def _has_room(self, owner: Hashable, now: float) -> bool:
        """Whether a device of this link may be held, where need be instead of another one."""
        # One place is left for the node itself: its children cannot take all.
        if len(self.entries) < self._max_devices - (owner != OWN):
            return True
        if owner == OWN:
            return False
        if not self._gone:
            # By two at least: else the one that makes room would have the next place.
            if self._shares.most() < self._shares.count(owner) + 2:
                return False
            self._give_up(self._shares.last_of_largest(), now)
            return True
        self._add_up(next(iter(self._gone)))
        return True

    def _give_up(self, node: bytes, now: float) -> None:
        """Show a device that is here no more, and keep what it has done in the sums."""
        entry = self.entries[node]
        self._shares.remove(entry.owner, node)
        if entry.is_counted:
            self._set_presence(entry, LEFT, now)
            self._add_up(node)
        else:  # the sums of its link have its figures
            del self.entries[node]

    def _add_up(self, node: bytes) -> None:
        """Add a device that is not here any more to the sums of the departed."""
        entry = self.entries.pop(node)
        del self._gone[node]
        self.departed = plus(self.departed, entry.total)
        self.departed_devices += 1
        self._former[node] = entry
        if len(self._former) > MAX_FORMER:
            self._former.popitem(last=False)

    def _recall(self, node: bytes) -> Entry | None:
        """Show a device again that had been added to the sums of the departed."""
        entry = self._former.pop(node, None)
        if entry is not None:
            self.departed = minus(self.departed, entry.total)
            self.departed_devices -= 1
            self.entries[node] = entry
            self._gone[node] = None
        return entry

    def _set_presence(self, entry: Entry, presence: str, now: float) -> None:
        node = entry.device.node
        self._gone.pop(node, None)
        if presence != LIVE:
            self._gone[node] = None
        entry.presence = presence
        entry.since = now
