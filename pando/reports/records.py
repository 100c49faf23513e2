"""What nodes tell their parents about devices: structs with their bounds, for `pando.messages`.

An `Update` holds what has changed since the one before it on the same link. Each device gets a
small number there, its key, when it is introduced; later records refer to it by this key.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from .. import errors
from ..figures import MAX_UNITS
from .counters import MAX_COUNTER, SIZE, Counters
from .moments import DeviceMoments

ID_BYTES = 8
MAX_NAME = 64
"""Characters of a device's name."""
MAX_WORD = 32
"""Characters of a kind, a version or a kind of link."""
MAX_DEVICES = 20_000
"""Devices that one link may report on."""
MAX_WORKERS = 1_000_000
MAX_ROUND_TRIP = 60_000_000
"""Microseconds; no round-trip time that is reported is longer."""

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNTER)]
Key = Annotated[int, msgspec.Meta(ge=0, lt=MAX_DEVICES)]
Word = Annotated[str, msgspec.Meta(max_length=MAX_WORD)]
CounterList = Annotated[list[Count], msgspec.Meta(max_length=SIZE)]
"""Counters in the order of their names; zeros at the end are left out."""

COMPUTING, STARVED, BLOCKED, LOADING, PAUSED = range(5)
"""States that a device reports: what its workers do, or what they wait for."""


class Device(msgspec.Struct, array_like=True, frozen=True):
    """What rarely changes about a device.

    Attributes:
        node: its identifier.
        epoch: a random number, another one each time that its counters begin at 0.
        parent: its parent's identifier.
        name: what people call it.
        kind: "native" or "tab".
        version: its Pando's.
        link: what its link to the parent is, such as "websocket" or "webrtc".
        workers: how many it has.
        units: what the function calls the items that it reports; empty where it reports none.
    """

    node: Annotated[bytes, msgspec.Meta(min_length=ID_BYTES, max_length=ID_BYTES)]
    epoch: Count
    parent: Annotated[bytes, msgspec.Meta(max_length=ID_BYTES)] = b""
    name: Annotated[str, msgspec.Meta(max_length=MAX_NAME)] = ""
    kind: Word = "native"
    version: Word = ""
    link: Word = ""
    workers: Annotated[int, msgspec.Meta(ge=0, le=MAX_WORKERS)] = 0
    units: Annotated[str, msgspec.Meta(max_length=MAX_UNITS)] = ""


class Introduction(msgspec.Struct, array_like=True, frozen=True):
    """A device gets a key, or what rarely changes about it has changed.

    `sequence` and `counters` are those of the report from which the next record counts on.
    """

    key: Key
    device: Device
    sequence: Count
    counters: CounterList


class Interval(msgspec.Struct, array_like=True, frozen=True):
    """A device's report: its counters' growth since the last record on this link.

    `held` is how many items wait or run there, `moments` the statistics of the intervals before,
    `round_trip` the round-trip time of its link in microseconds, or 0 where it is not known.
    """

    key: Key
    sequence: Count
    counters: CounterList
    state: Annotated[int, msgspec.Meta(ge=0, le=PAUSED)] = COMPUTING
    held: Count = 0
    children: Count = 0
    moments: DeviceMoments | None = None
    round_trip: Annotated[int, msgspec.Meta(ge=0, le=MAX_ROUND_TRIP)] = 0


class Gone(msgspec.Struct, array_like=True, frozen=True):
    """A device has left, or was lost; its key may be given to another one.

    `counters` is what it did since its last record: its last report came with its departure, or
    it was only part of the sums.
    """

    key: Key
    lost: bool
    sequence: Count = 0
    counters: CounterList = []


class Rest(msgspec.Struct, array_like=True, frozen=True):
    """Sums of all devices that are not reported on one by one."""

    devices: Count
    workers: Count
    counters: CounterList


class Update(msgspec.Struct, array_like=True, frozen=True, tag="update"):
    """From a child: what has changed at it and below. Its parts are to be read in their order.

    Attributes:
        gone: devices that are not here any more.
        introductions: devices that are new here, or have changed.
        summed: keys of devices that are from now on only part of `rest`.
        intervals: reports.
        rest: sums, where some devices are summed.
    """

    gone: Annotated[list[Gone], msgspec.Meta(max_length=MAX_DEVICES)] = []
    introductions: Annotated[list[Introduction], msgspec.Meta(max_length=MAX_DEVICES)] = []
    summed: Annotated[list[Key], msgspec.Meta(max_length=MAX_DEVICES)] = []
    intervals: Annotated[list[Interval], msgspec.Meta(max_length=MAX_DEVICES)] = []
    rest: Rest | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing."""
        return not (self.gone or self.introductions or self.summed or self.intervals or self.rest)


class Report(msgspec.Struct, frozen=True):
    """A device's report as nodes keep it.

    Attributes:
        device: what rarely changes about it.
        sequence: 1 for the first report of an epoch, then one more each time.
        counters: at this report.
        before: at the one before it.
        moments: the statistics of the intervals before this one, where they are told.
        round_trip: of the link to its parent, in microseconds; 0 where it is not known.
    """

    device: Device
    sequence: int
    counters: Counters
    before: Counters
    state: int = COMPUTING
    held: int = 0
    children: int = 0
    moments: DeviceMoments | None = None
    round_trip: int = 0


def pack(counters: Counters) -> list[int]:
    """Return counters without the zeros at their end."""
    size = SIZE
    while size and not counters[size - 1]:
        size -= 1
    return list(counters[:size])


def unpack(counters: list[int]) -> Counters:
    """Return the counters that `pack` was given."""
    return Counters(*counters)


def one_line(text: str, limit: int = MAX_NAME) -> str:
    """Return a text from elsewhere as one line of printable characters."""
    return errors.one_line(text, limit)
