"""What a node tells its parent of the devices at and below it, and how the parent hears it.

Both ends of a link keep what has been told, so that a record holds only what has changed since.
A link that ends takes this along: over the next one everything is told anew.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from dataclasses import dataclass

from ..errors import ProtocolError
from ..reports.counters import MAX_COUNTER, NOTHING, Counters, minus, plus
from ..reports.moments import DeviceMoments
from ..reports.records import (
    Device,
    Gone,
    Interval,
    Introduction,
    Key,
    Report,
    Rest,
    Update,
    one_line,
    pack,
    unpack,
)
from .ledger import LEFT, Entry, Ledger

MAX_SINGLE = 2000
"""Devices that are reported one by one on a link; where there are more, only the largest are."""
LARGEST = 200
"""How many these are then."""
PREFERENCE = 1.1
"""How much larger another device must be to take the place of one of these."""
MOMENTS_EVERY = 20
"""Reports of a device after which its statistics are told again."""


class MalformedReportError(ProtocolError):
    """An update that does not fit what has been told on its link before."""


@dataclass(slots=True)
class _Told:
    """What has been told of a device on a link."""

    key: Key
    device: Device
    sequence: int
    counters: Counters
    summed: bool = False


class Outgoing:
    """The child's end of a link to a parent.

    Args:
        own: the child's identifier; it always reports itself, so that little is lost with it.
        max_single: see `MAX_SINGLE`.
        largest: see `LARGEST`.
    """

    def __init__(self, own: bytes, max_single: int = MAX_SINGLE, largest: int = LARGEST) -> None:
        self._own = own
        self._max_single = max_single
        self._largest = largest
        self._told: dict[bytes, _Told] = {}
        self._free: list[Key] = []
        self._next_key = 0

    def encode(self, ledger: Ledger) -> Update:
        """Return what has changed in the ledger since the last time, of the child itself first."""
        entries = sorted(ledger.live(), key=lambda entry: entry.device.node != self._own)
        live = {entry.device.node: entry for entry in entries}
        gone = self._tell_gone(ledger, live)
        single = self._choose(live)
        introductions: list[Introduction] = []
        intervals: list[Interval] = []
        summed: list[Key] = []
        for node, entry in live.items():
            if node in single:
                self._tell_single(entry, introductions, intervals)
            else:
                self._tell_summed(entry, introductions, summed)
        return Update(gone, introductions, summed, intervals, self._sum_up(ledger, live, single))

    def _choose(self, live: dict[bytes, Entry]) -> set[bytes]:
        """Choose the devices that are reported one by one."""
        single = {node for node, entry in live.items() if not entry.summed}
        if len(live) <= self._max_single:
            return single

        def size(node: bytes) -> float:
            told = self._told.get(node)
            preferred = told is not None and not told.summed
            return live[node].report.counters.items * (PREFERENCE if preferred else 1)

        chosen = set(heapq.nlargest(self._largest, single, key=size))
        return chosen | ({self._own} & single)

    def _tell_gone(self, ledger: Ledger, live: dict[bytes, Entry]) -> list[Gone]:
        gone = []
        for node, told in list(self._told.items()):
            entry = live.get(node)
            if entry is not None and entry.device.epoch == told.device.epoch:
                continue
            del self._told[node]
            heapq.heappush(self._free, told.key)
            left = ledger.entries.get(node)
            lost = left is None or left.presence != LEFT
            sequence, growth = _last_figures(told, left)
            gone.append(Gone(told.key, lost, sequence, pack(growth)))
        return gone

    def _tell_single(
        self, entry: Entry, introductions: list[Introduction], intervals: list[Interval]
    ) -> None:
        report = entry.report
        told = self._told.get(report.device.node)
        is_new = told is None or told.summed
        if told is None or is_new:
            told = self._introduce(report, report.sequence - 1, report.before, introductions)
        elif report.device != told.device:
            told.device = report.device
            introductions.append(
                Introduction(told.key, report.device, told.sequence, pack(told.counters))
            )
        if report.sequence == told.sequence:
            return
        intervals.append(
            Interval(
                told.key,
                report.sequence,
                pack(minus(report.counters, told.counters)),
                report.state,
                report.held,
                report.children,
                entry.moments if is_new or _is_turn(report) else None,
                report.round_trip,
            )
        )
        told.sequence = report.sequence
        told.counters = report.counters

    def _tell_summed(
        self, entry: Entry, introductions: list[Introduction], summed: list[Key]
    ) -> None:
        report = entry.report
        told = self._told.get(report.device.node)
        if told is not None and told.summed and told.device == report.device:
            return
        told = self._introduce(report, report.sequence, report.counters, introductions)
        told.summed = True
        summed.append(told.key)

    def _introduce(
        self,
        report: Report,
        sequence: int,
        counters: Counters,
        introductions: list[Introduction],
    ) -> _Told:
        node = report.device.node
        earlier = self._told.get(node)
        key = self._new_key() if earlier is None else earlier.key
        told = self._told[node] = _Told(key, report.device, sequence, counters)
        introductions.append(Introduction(key, report.device, sequence, pack(counters)))
        return told

    def _new_key(self) -> Key:
        if self._free:
            return heapq.heappop(self._free)
        self._next_key += 1
        return self._next_key - 1

    def _sum_up(self, ledger: Ledger, live: dict[bytes, Entry], single: set[bytes]) -> Rest | None:
        if len(single) == len(live):
            return None
        devices = workers = 0
        counters = NOTHING
        for rest in ledger.rests.values():
            devices += rest.devices
            workers += rest.workers
            counters = plus(counters, unpack(rest.counters))
        for node in live.keys() - single:
            if not live[node].summed:
                devices += 1
                workers += live[node].device.workers
                counters = plus(counters, live[node].report.counters)
        # What children claim may add up to more than the parent takes, which would blame this node.
        counters = Counters(*(min(counter, MAX_COUNTER) for counter in counters))
        return Rest(min(devices, MAX_COUNTER), min(workers, MAX_COUNTER), pack(counters))


def _is_turn(report: Report) -> bool:
    """Whether the statistics are told with this report; not for all devices in one interval."""
    return (report.sequence + report.device.node[-1]) % MOMENTS_EVERY == 0


def _last_figures(told: _Told, entry: Entry | None) -> tuple[int, Counters]:
    """Return how far a former device got in the epoch that was told, and what it did since."""
    if entry is None:
        return 0, NOTHING
    epoch = told.device.epoch
    if entry.device.epoch == epoch:
        sequence, counters = entry.report.sequence, entry.report.counters
    elif epoch in entry.past:
        sequence, counters = entry.past[epoch].sequence, entry.past[epoch].counters
    else:
        return 0, NOTHING
    growth = minus(counters, told.counters)
    return (sequence, growth) if sequence > told.sequence else (0, NOTHING)


class Incoming:
    """The parent's end of a link to a child.

    Args:
        owner: what the ledger calls the link.
        ledger: where to note what is heard.
        own: the identifier of this node, about which nobody else can tell it anything.
    """

    def __init__(self, owner: Hashable, ledger: Ledger, own: bytes = b"") -> None:
        self._owner = owner
        self._ledger = ledger
        self._own = own
        self._told: dict[Key, _Told] = {}

    def take(self, update: Update, now: float) -> None:
        """Take what the child tells.

        Raises:
            MalformedReportError: it does not fit what the child has told before.
        """
        for gone in update.gone:
            self._take_gone(gone, now)
        for introduction in update.introductions:
            earlier = self._told.get(introduction.key)
            if earlier is not None and earlier.device.node != introduction.device.node:
                raise MalformedReportError("a key that is another device's")
            self._told[introduction.key] = _Told(
                introduction.key,
                self._checked(introduction.device),
                introduction.sequence,
                unpack(introduction.counters),
            )
        for key in update.summed:
            told = self._find(key)
            told.summed = True
            if told.device.node != self._own:
                report = Report(told.device, told.sequence, told.counters, told.counters)
                self._ledger.hear(report, self._owner, now, summed=True)
                self._ledger.sum_up(told.device.node, self._owner)
        for interval in update.intervals:
            self._take_interval(interval, now)
        if update.rest is not None:
            self._ledger.rests[self._owner] = update.rest
        else:
            self._ledger.rests.pop(self._owner, None)

    def _take_interval(self, interval: Interval, now: float) -> None:
        told = self._find(interval.key)
        if told.summed or interval.sequence <= told.sequence:
            raise MalformedReportError("a report out of order")
        moments = interval.moments
        if moments is not None and not _may_be(moments, interval.sequence):
            raise MalformedReportError("statistics that no intervals have")
        report = Report(
            told.device,
            interval.sequence,
            _grown(told.counters, interval.counters),
            told.counters,
            interval.state,
            interval.held,
            interval.children,
            moments,
            interval.round_trip,
        )
        told.sequence, told.counters = report.sequence, report.counters
        if told.device.node != self._own:
            self._ledger.hear(report, self._owner, now)

    def _take_gone(self, gone: Gone, now: float) -> None:
        told = self._find(gone.key)
        del self._told[gone.key]
        node = told.device.node
        if node == self._own:
            return
        if gone.counters and gone.sequence > told.sequence:
            counters = _grown(told.counters, gone.counters)
            report = Report(told.device, gone.sequence, counters, told.counters)
            self._ledger.hear(report, self._owner, now, summed=told.summed)
        self._ledger.leave(node, self._owner, now, lost=gone.lost)

    def _find(self, key: Key) -> _Told:
        try:
            return self._told[key]
        except KeyError:
            raise MalformedReportError("a report on a device that was not introduced") from None

    @staticmethod
    def _checked(device: Device) -> Device:
        """Return a device with its texts made safe to print, in one line each."""
        return Device(
            device.node,
            device.epoch,
            device.parent,
            one_line(device.name),
            one_line(device.kind),
            one_line(device.version),
            one_line(device.link),
            device.workers,
            one_line(device.units),
        )


def _grown(counters: Counters, growth: list[int]) -> Counters:
    grown = plus(counters, unpack(growth))
    if max(grown) > MAX_COUNTER:
        raise MalformedReportError("a counter that is too large")
    return grown


def _may_be(moments: DeviceMoments, sequence: int) -> bool:
    parts = (moments.throughput, moments.cpu_usage, moments.transfer_load)
    return moments.is_possible and all(part.count < sequence for part in parts)
