"""`pando.report`: figures of a function's own, added up until they are sent."""

from __future__ import annotations

import threading

from .errors import portable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Figures = tuple[float, str, float, float]
    """Items, what they are called, seconds of computing and seconds of transferring."""

DEFAULT_UNITS = "items"
MAX_UNITS = 32
"""Characters of the units' name; more is cut."""
MAX_FIGURE = 1e15
"""No single figure may be larger."""
OLD_NAMES = {
    "nbItems": "items",
    "units": "units",
    "cpuTime": "cpu_time",
    "dataTransferTime": "transfer_time",
}
"""What the original tool calls them; its times are in milliseconds."""


class Tally:
    """Figures added up. It may be used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._figures: Figures | None = None

    def add(self, figures: Figures) -> None:
        """Add to what is there; the newest name of the units holds."""
        items, units, cpu_seconds, transfer_seconds = figures
        with self._lock:
            before = self._figures or (0.0, units, 0.0, 0.0)
            self._figures = (
                before[0] + items,
                units,
                before[2] + cpu_seconds,
                before[3] + transfer_seconds,
            )

    def take(self) -> Figures | None:
        """What has been added since the last time, if anything has."""
        with self._lock:
            figures, self._figures = self._figures, None
        return figures

    def read(self) -> Figures | None:
        """What has been added so far, if anything has."""
        return self._figures


tally = Tally()
"""What this process has reported and not sent."""


def report(
    info: Mapping[str, Any] | None = None,
    /,
    *,
    items: float = 1,
    units: str = DEFAULT_UNITS,
    cpu_time: float = 0.0,
    transfer_time: float = 0.0,
) -> None:
    """Tell, from inside the function, what it has done: the monitoring page shows it.

    Figures reported within the same interval are added up. Call it as often as you like.

    Args:
        info: the figures under the original tool's names instead: ``nbItems``, ``units``,
            ``cpuTime`` and ``dataTransferTime``, times in milliseconds.
        items: how many things of your own have been processed.
        units: what they are called, such as ``"BigNums"``.
        cpu_time: seconds spent computing.
        transfer_time: seconds spent transferring data.

    Raises:
        TypeError: a figure is not a number, or `info` has a name that is not known.
        ValueError: a figure is negative, infinite, or not a number at all.
    """
    if info is not None:
        items, units, cpu_time, transfer_time = _from_old_names(info)
    tally.add(
        (
            _checked("items", items),
            portable(str(units))[:MAX_UNITS],
            _checked("cpu_time", cpu_time),
            _checked("transfer_time", transfer_time),
        )
    )


def _from_old_names(info: Mapping[str, Any]) -> tuple[Any, Any, Any, Any]:
    for name in info:
        if name not in OLD_NAMES:
            raise TypeError(f"{name!r} is not a figure to report: {', '.join(OLD_NAMES)} are")
    times = (_checked(name, info.get(name, 0)) / 1000 for name in ("cpuTime", "dataTransferTime"))
    return info.get("nbItems", 1), info.get("units", DEFAULT_UNITS), *times


def _checked(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    if not 0 <= value <= MAX_FIGURE:
        raise ValueError(f"{name} must be between 0 and {MAX_FIGURE:g}, not {value!r}")
    return float(value)
