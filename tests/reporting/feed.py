"""A tree of nodes that report to each other without sockets, by encoded updates."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from pando.reporting.device import Measured, Reporter
from pando.reporting.ledger import Ledger
from pando.reporting.passing import Incoming, Outgoing
from pando.reports.counters import Counters
from pando.reports.records import Device, Report, Update

_decoder = msgspec.msgpack.Decoder(Update)
ROOT = b"the root"
INTERVAL = 3.0


def over_the_wire(update: Update) -> Update:
    """An update as the other end decodes it."""
    return _decoder.decode(msgspec.msgpack.encode(update))


def identifier(number: int) -> bytes:
    return number.to_bytes(8, "big")


def device(number: int = 1, epoch: int = 1, parent: bytes = ROOT, **more: Any) -> Device:
    return Device(identifier(number), epoch, parent, f"device {number}", workers=4, **more)


def report(sequence: int, counters: Counters, before: Counters = Counters(), **more: Any) -> Report:
    return Report(device(**more), sequence, counters, before)


class Node:
    """A device with its ledger, its counters and its link to a parent.

    Attributes:
        sent: bytes of all updates sent.
    """

    def __init__(self, number: int, *, max_single: int = 2000, largest: int = 200) -> None:
        self.node = identifier(number)
        self.number = number
        self.epoch = 0
        self.ledger = Ledger()
        self.parent: Parent | None = None
        self.sent = 0
        self._limits = (max_single, largest)
        self.restart(0.0)

    def restart(self, now: float) -> None:
        """Begin a new epoch, with all counters at zero."""
        self.epoch += 1
        self.measured = Measured()
        self._reporter = Reporter(now, INTERVAL)
        self._outgoing = Outgoing(self.node, *self._limits)

    def attach(self, parent: Parent, now: float, *, lost: bool = False) -> None:
        """Become the child of another node."""
        if self.parent is not None:
            self.parent.ledger.close(self.link, now, lost=lost)
        self.parent = parent
        self.link = (self.node, now, random.random())
        self._outgoing = Outgoing(self.node, *self._limits)
        self._incoming = Incoming(self.link, parent.ledger, parent.node)

    def report(self, now: float) -> Report:
        """Note this device's own report."""
        parent = ROOT if self.parent is None else self.parent.node
        own = Device(self.node, self.epoch, parent, f"device {self.number}", workers=4)
        report = self._reporter.report(own, self.measured, now)
        self.ledger.hear(report, "own", now)
        return report

    def send(self, now: float) -> Update:
        """Tell the parent what has changed."""
        update = self._outgoing.encode(self.ledger)
        self.sent += len(msgspec.msgpack.encode(update))
        self._incoming.take(over_the_wire(update), now)
        return update

    def work(self, items: int, seconds: float = 0.0) -> None:
        """Compute some items."""
        self.measured = self.measured._replace(
            items=self.measured.items + items,
            function=self.measured.function + seconds,
            cpu=self.measured.cpu + seconds,
        )


class Root:
    """The root's ledger."""

    node = ROOT

    def __init__(self, ledger: Ledger | None = None) -> None:
        self.ledger = ledger or Ledger()

    def total(self) -> Counters:
        """The counters of all devices together."""
        from pando.reports.counters import plus
        from pando.reports.records import unpack

        total = self.ledger.departed
        for entry in self.ledger.entries.values():
            if entry.is_counted:
                total = plus(total, entry.total)
        for rest in self.ledger.rests.values():
            total = plus(total, unpack(rest.counters))
        return total


Parent = Node | Root
