"""Throughput over time, from the run's start, in a fixed number of points.

There is a series for each of the largest devices and one for all others. When the points are used
up, each two neighbours become one, and from then on a point is twice as long.
"""

from __future__ import annotations

from dataclasses import dataclass, field

POINTS = 600
NAMED = 12
"""Devices that have a series to themselves."""
PREFERENCE = 1.1
"""How much larger another device must be to take the place of the smallest of these."""


@dataclass(frozen=True)
class HistoryView:
    """The history as viewers get it.

    Attributes:
        layout: a number that changes when points are merged or other devices are named.
        width: seconds of a point.
        series: items in each point, by device. Their order holds as long as the layout.
        others: items in each point of all other devices.
    """

    layout: int
    width: float
    series: dict[str, list[float]]
    others: list[float]


@dataclass(slots=True)
class _Series:
    total: float = 0.0
    points: list[float] = field(default_factory=list)


class History:
    """Adds up items by time and device.

    Args:
        start: when the run began.
        width: seconds of a point, at first.
        points: how many there may be.
        named: how many devices have a series to themselves.

    Attributes:
        layout: see `HistoryView`.
    """

    def __init__(
        self, start: float, width: float, points: int = POINTS, named: int = NAMED
    ) -> None:
        self.layout = 0
        self._start = start
        self._width = width
        self._max_points = points
        self._max_named = named
        self._named: dict[bytes, _Series] = {}
        self._others: list[float] = []
        self._stamps: list[int] = []

    def add(
        self,
        device: bytes | None,
        items: float,
        total: float,
        now: float,
        seconds: float,
        stamp: int,
    ) -> None:
        """Count items that a device computed.

        Args:
            device: its identifier; None counts them for the others.
            items: how many.
            total: how many it has computed in all; by this the largest are chosen.
            now: when it was heard.
            seconds: the time before that in which they were computed.
            stamp: a number that grows, by which viewers know which points are new to them.
        """
        end = max(0.0, now - self._start)
        begin = max(0.0, end - seconds)
        while int(end / self._width) >= self._max_points:
            self._merge_points()
        points = self._points_of(device, total)
        first, last = int(begin / self._width), int(end / self._width)
        self._extend(last + 1, stamp)
        for place in range(first, last + 1):
            low, high = max(begin, place * self._width), min(end, (place + 1) * self._width)
            part = (high - low) / (end - begin) if end > begin else 1 / (last - first + 1)
            points[place] += items * part
            self._stamps[place] = stamp

    def view(self) -> HistoryView:
        """Return all of it."""
        series = {device.hex(): list(series.points) for device, series in self._named.items()}
        return HistoryView(self.layout, self._width, series, list(self._others))

    def points_since(self, stamp: int) -> dict[int, list[float]]:
        """Return the points that have changed after a stamp, by their place.

        Each has the items of every series, in the order of `view`, and of the others.
        """
        return {
            place: [
                *(series.points[place] for series in self._named.values()),
                self._others[place],
            ]
            for place, changed in enumerate(self._stamps)
            if changed > stamp
        }

    def _points_of(self, device: bytes | None, total: float) -> list[float]:
        if device is None:
            return self._others
        series = self._named.get(device)
        if series is not None:
            series.total = total
            return series.points
        if len(self._named) < self._max_named:
            return self._name(device, total)
        smallest = min(self._named, key=lambda named: self._named[named].total)
        if total <= PREFERENCE * self._named[smallest].total:
            return self._others
        points = self._named.pop(smallest).points
        self._others[:] = [a + b for a, b in zip(self._others, points, strict=True)]
        return self._name(device, total)

    def _name(self, device: bytes, total: float) -> list[float]:
        points = [0.0] * len(self._others)
        self._named[device] = _Series(total, points)
        self.layout += 1
        return points

    def _all(self) -> list[list[float]]:
        return [self._others, *(series.points for series in self._named.values())]

    def _extend(self, size: int, stamp: int) -> None:
        missing = size - len(self._others)
        if missing > 0:
            for points in self._all():
                points.extend([0.0] * missing)
            self._stamps.extend([stamp] * missing)

    def _merge_points(self) -> None:
        for points in self._all():
            points[:] = [sum(points[place : place + 2]) for place in range(0, len(points), 2)]
        self._stamps = [
            max(self._stamps[place : place + 2]) for place in range(0, len(self._stamps), 2)
        ]
        self._width *= 2
        self.layout += 1
