"""`pando.report`: metrics that the function reports, accumulated until they are sent."""

from __future__ import annotations

import threading

from .errors import sanitize_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Figures = tuple[float, str, float, float]
    """Items, their unit, seconds of computing and seconds of transferring."""

DEFAULT_UNITS = "items"
MAX_UNITS = 32
"""Maximum characters of a unit's name; longer names are truncated."""
MAX_FIGURE = 1e15
"""The maximum of each number in a report."""
OLD_NAMES = {
    "nbItems": "items",
    "units": "units",
    "cpuTime": "cpu_time",
    "dataTransferTime": "transfer_time",
}
"""Names of the original tool, whose times are in milliseconds."""


_NUMBERS = (int, float)
_clean_units: dict[str, str] = {}
MAX_CLEAN_UNITS = 64
"""Units whose clean form is remembered."""


class Tally:
    """Metrics accumulated by any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._figures: Figures | None = None

    def add(self, figures: Figures) -> None:
        """Add to the totals; the newest unit replaces the previous one."""
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
        """Return the totals since the last call and reset them; None if nothing was added."""
        with self._lock:
            figures, self._figures = self._figures, None
        return figures

    def read(self) -> Figures | None:
        """Return the totals without resetting them; None if nothing was added."""
        return self._figures


tally = Tally()
"""What this process has reported but not sent yet."""


def report(
    info: Mapping[str, Any] | None = None,
    /,
    *,
    items: float = 1,
    units: str = DEFAULT_UNITS,
    cpu_time: float = 0.0,
    transfer_time: float = 0.0,
) -> None:
    """Report custom progress metrics from inside the function, for the monitoring page.

    Reports within the same interval are added up. Call it as often as you like.

    Args:
        info: the metrics under the original tool's names instead: ``nbItems``, ``units``,
            ``cpuTime`` and ``dataTransferTime``, with times in milliseconds.
        items: number of units processed.
        units: name of the units, such as ``"BigNums"``.
        cpu_time: seconds spent computing.
        transfer_time: seconds spent transferring data.

    Raises:
        TypeError: a value is not a number, or `info` has an unknown name.
        ValueError: a value is negative, infinite or NaN.

    Example:
        >>> def test_numbers(start):
        ...     found = [n for n in range(start, start + 100) if n % 97 == 0]
        ...     pando.report(items=100, units="numbers")
        ...     return found
        >>> list(pando.map(test_numbers, [0, 100]))
        [[0, 97], [194]]
    """
    if info is not None:
        items, units, cpu_time, transfer_time = _from_old_names(info)
    # Functions may report each of very many items: what is as usual is not looked at twice.
    if type(items) not in _NUMBERS or not 0 <= items <= MAX_FIGURE:
        items = _checked("items", items)
    if type(cpu_time) not in _NUMBERS or not 0 <= cpu_time <= MAX_FIGURE:
        cpu_time = _checked("cpu_time", cpu_time)
    if type(transfer_time) not in _NUMBERS or not 0 <= transfer_time <= MAX_FIGURE:
        transfer_time = _checked("transfer_time", transfer_time)
    if type(units) is not str or (clean := _clean_units.get(units)) is None:
        clean = _clean(str(units))
    tally.add((items, clean, cpu_time, transfer_time))


def _clean(units: str) -> str:
    if len(_clean_units) >= MAX_CLEAN_UNITS:
        _clean_units.clear()
    clean = sanitize_text(units)[:MAX_UNITS]
    if len(units) <= MAX_UNITS:
        _clean_units[units] = clean
    return clean


def _from_old_names(info: Mapping[str, Any]) -> tuple[Any, Any, Any, Any]:
    for name in info:
        if name not in OLD_NAMES:
            raise TypeError(f"unknown metric {name!r}; known ones are {', '.join(OLD_NAMES)}")
    get = info.get
    cpu_time, transfer_time = get("cpuTime", 0), get("dataTransferTime", 0)
    if type(cpu_time) not in _NUMBERS or not 0 <= cpu_time <= MAX_FIGURE:
        cpu_time = _checked("cpuTime", cpu_time)
    if type(transfer_time) not in _NUMBERS or not 0 <= transfer_time <= MAX_FIGURE:
        transfer_time = _checked("dataTransferTime", transfer_time)
    return get("nbItems", 1), get("units", DEFAULT_UNITS), cpu_time / 1000, transfer_time / 1000


def _checked(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    if not 0 <= value <= MAX_FIGURE:
        raise ValueError(f"{name} must be between 0 and {MAX_FIGURE:g}, not {value!r}")
    return float(value)
