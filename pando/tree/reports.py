"""A node's own reports: what it has measured, put into its ledger once an interval."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from ..reporting.device import Reporter
from ..reports.records import Device, Report
from .node import Node

EPOCH_BYTES = 6


@dataclass(frozen=True)
class Description:
    """What a device says of itself.

    Attributes:
        node: its identifier.
        name: what people call it.
        version: its Pando's.
        workers: how many it has.
        kind: "native" or "tab".
        epoch: a random number, by which its counters are told from those of an earlier time.
    """

    node: bytes
    name: str
    version: str
    workers: int
    kind: str = "native"
    epoch: int = field(default_factory=lambda: int.from_bytes(secrets.token_bytes(EPOCH_BYTES)))


class OwnReports:
    """Makes the reports of a node.

    Args:
        description: what the device says of itself.
        node: the node.
        interval: seconds between two reports.
        cpu_seconds: gives the processor time of its workers; None where that cannot be told.
        started: when the first interval began, in seconds of Trio's clock (default: now).
    """

    def __init__(
        self,
        description: Description,
        node: Node,
        interval: float,
        cpu_seconds: Callable[[], float | None],
        *,
        started: float | None = None,
    ) -> None:
        self._description = description
        self._node = node
        self._cpu_seconds = cpu_seconds
        self._reporter = Reporter(trio.current_time() if started is None else started, interval)
        node.meter.wanted = description.workers

    def make(
        self,
        parent: bytes = b"",
        link: str = "",
        *,
        children: int = 0,
        round_trip: float | None = None,
    ) -> Report:
        """Return the next report.

        Args:
            parent: the identifier of the parent.
            link: the kind of the link to it.
            children: how many children the node has.
            round_trip: the link's round-trip time, in seconds, where it has been measured.
        """
        node, about, traffic = self._node, self._description, self._node.traffic
        reported = node.lending.reported.read()
        device = Device(
            about.node,
            about.epoch,
            parent,
            about.name,
            about.kind,
            about.version,
            link,
            about.workers,
            reported[1] if reported else "",
        )
        measured = node.meter.read(
            cpu_seconds=self._cpu_seconds(),
            bytes_in=traffic.bytes_in,
            bytes_out=traffic.bytes_out,
            transfer_seconds=traffic.seconds,
            reported=reported,
        )
        waiting = sum(statistics.queued for statistics in node.statistics()) if parent else 0
        return self._reporter.report(
            device,
            measured,
            trio.current_time(),
            state=node.meter.state,
            held=node.meter.held + waiting,
            children=children,
            round_trip=round_trip,
        )
