"""The summary at the end of a long run."""

from __future__ import annotations

from typing import Any

from pando.cli.summary import summarize


def shown(elapsed: float, own: int | None, *counts: int, departed: int = 0) -> dict[str, Any]:
    volunteers = {
        str(place): {"deviceName": f"device {place}", "totalItems": count}
        for place, count in enumerate(counts)
    }
    root = {
        "elapsed": elapsed,
        "done": sum(counts) + (own or 0) + departed,
        "failed": 2,
        "own": None if own is None else {"totalItems": own},
        "departed": {"nbItems": departed},
        "summed": {"nbItems": 0},
    }
    return {"root": root, "volunteers": volunteers}


def test_a_short_run_has_none() -> None:
    assert summarize(shown(10.0, 5)) == ""


def test_a_long_one_tells_items_time_and_shares() -> None:
    assert summarize(shown(75, 3000, 1000)) == (
        "4,000 items in 1:15, 2 failed; computed by this machine (75 %), device 0 (25 %)"
    )


def test_many_devices_are_added_up_and_small_shares_are_not_none() -> None:
    text = summarize(shown(75, 1000, 1, 500, 400, 300, 200, 100, departed=99))
    assert text.endswith("device 4 (8 %), others (8 %)")
    assert "(under 1 %)" in summarize(shown(75, 1000, 1))


def test_a_run_of_which_nothing_was_reported() -> None:
    assert summarize(shown(75, 0)).endswith("computed by nobody")
