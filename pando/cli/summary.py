"""The summary of a run that took long: items, time, and who computed how much."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .formatting import clock

LONG_SECONDS = 10.0
"""Seconds after which a run ends with a summary."""
MAX_DEVICES = 5
"""Devices that are named; the others are added up."""


def summarize(shown: dict[str, Any]) -> str:
    """Return the summary in one line; empty for a run that took no longer than `LONG_SECONDS`.

    Args:
        shown: what monitoring shows of the run.
    """
    root = shown["root"]
    if root["elapsed"] <= LONG_SECONDS:
        return ""
    failed = f", {root['failed']:,} failed" if root["failed"] else ""
    items = "1 item" if root["done"] == 1 else f"{root['done']:,} items"
    return f"{items} in {clock(root['elapsed'])}{failed}; computed by {_devices(shown)}"


def _devices(shown: dict[str, Any]) -> str:
    counts = list(_counts(shown))
    total = sum(count for _, count in counts)
    if not total:
        return "nobody"
    counts.sort(key=lambda pair: -pair[1])
    named = [pair for pair in counts[:MAX_DEVICES] if pair[1]]
    rest = sum(count for _, count in counts[MAX_DEVICES:]) + shown["root"]["departed"]["nbItems"]
    rest += shown["root"]["summed"]["nbItems"]
    if rest:
        named.append(("others", rest))
    total = sum(count for _, count in named)
    return ", ".join(f"{name} ({_percent(count, total)})" for name, count in named)


def _counts(shown: dict[str, Any]) -> Iterator[tuple[str, float]]:
    own = shown["root"]["own"]
    if own is not None:
        yield "this machine", own["totalItems"]
    for volunteer in shown["volunteers"].values():
        yield volunteer["deviceName"], volunteer["totalItems"]


def _percent(part: float, whole: float) -> str:
    share = 100 * part / whole
    return f"{share:.0f} %" if share >= 1 else "under 1 %"
