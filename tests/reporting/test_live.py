"""What viewers get: a page that applies the changes sees what a page that comes new sees."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pando.reporting.live import Changes, State, Viewer, encode
from pando.reporting.monitor import Monitor
from pando.reporting.run_figures import RunFigures
from pando.reports.counters import Counters, plus
from pando.reports.records import Report
from tests.reporting.feed import ROOT, device, identifier


class Page:
    """A page in a browser: keeps what it was sent."""

    def __init__(self, monitor: Monitor) -> None:
        self.viewer = Viewer(monitor)
        self.seen: dict[str, Any] = {}

    def refresh(self) -> str | None:
        message = self.viewer.next()
        if message is None:
            return None
        data = json.loads(encode(message))
        if data["type"] == "state":
            self.seen = data
            return "state"
        seen = self.seen
        seen["root"] = data["root"]
        for name in data["removed"]:
            seen["volunteers"].pop(name, None)
        seen["volunteers"].update(data["volunteers"])
        if data["history"] is not None:
            seen["history"] = data["history"]
        columns = [*seen["history"]["series"].values(), seen["history"]["others"]]
        for place, values in data["points"].items():
            for column, value in zip(columns, values, strict=True):
                column.extend([0.0] * (int(place) + 1 - len(column)))
                column[int(place)] = value
        for name in ("events", "errors"):
            seen[name] += data[name]
        return "changes"


def same(one: Page, other: Page) -> None:
    for name in ("root", "volunteers", "history", "events", "errors"):
        assert one.seen[name] == other.seen[name], name


ACTIONS = ["report", "leave", "tick", "look", "look at both", "fail", "wait long"]


@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(1, 4)), max_size=40))
@settings(deadline=None)
def test_who_follows_the_changes_sees_what_who_comes_late_sees(
    actions: list[tuple[str, int]],
) -> None:
    monitor = Monitor("square", ROOT, 0.0, 3.0)
    pages = [Page(monitor), Page(monitor)]
    reports: dict[int, Report] = {}
    now = 0.0
    for action, number in actions:
        now += 1.0
        match action:
            case "report":
                last = reports.get(number, Report(device(number), 0, Counters(), Counters()))
                counters = plus(last.counters, Counters(1000, number))
                reports[number] = Report(device(number), last.sequence + 1, counters, last.counters)
                monitor.ledger.hear(reports[number], "a", now)
            case "leave":
                monitor.ledger.leave(identifier(number), "a", now, lost=True)
            case "tick":
                monitor.tick(RunFigures(done=int(now)), now)
            case "look":
                pages[number % 2].refresh()
            case "look at both":
                for page in pages:
                    page.refresh()
            case "fail":
                monitor.item_failed(
                    now,
                    index=number,
                    item="1",
                    device="d",
                    type="KeyError",
                    reason="r",
                    traceback="t",
                )
            case "wait long":
                now += 700.0
    monitor.tick(RunFigures(), now)
    late = Page(monitor)
    assert late.refresh() == "state"
    for page in pages:
        page.refresh()
        same(page, late)


def test_first_the_state_then_changes_and_nothing_twice() -> None:
    monitor = Monitor("square", ROOT, 0.0, 3.0)
    viewer = Viewer(monitor)
    monitor.ledger.hear(Report(device(1), 1, Counters(3000, 5), Counters()), "a", 3.0)
    monitor.ledger.hear(Report(device(2), 1, Counters(3000, 5), Counters()), "a", 3.0)
    monitor.tick(RunFigures(), 3.0)
    state = viewer.next()
    assert isinstance(state, State)
    assert viewer.next() is None
    assert state.recent == {identifier(n).hex(): [5 / 3] for n in (1, 2)}
    monitor.ledger.hear(Report(device(1), 2, Counters(6000, 8), Counters(3000, 5)), "a", 6.0)
    monitor.tick(RunFigures(), 6.0)
    changes = viewer.next()
    assert isinstance(changes, Changes)
    assert list(changes.volunteers) == [identifier(1).hex()]
    assert changes.history is None
    assert list(changes.points) == [1, 2]
    assert changes.events == []
    assert viewer.next() is None


def test_viewers_do_not_disturb_each_other() -> None:
    monitor = Monitor("square", ROOT, 0.0, 3.0)
    one, other = Page(monitor), Page(monitor)
    one.refresh()
    for step in range(1, 4):
        monitor.ledger.hear(
            Report(device(1), step, Counters(3000 * step), Counters(3000 * step - 3000)), "a", step
        )
        monitor.tick(RunFigures(), step)
        one.refresh()
    assert other.refresh() == "state"
    same(one, other)


def test_who_was_away_too_long_gets_the_state_again() -> None:
    monitor = Monitor("square", ROOT, 0.0, 3.0)
    page = Page(monitor)
    page.refresh()
    for number in range(1, 1200):
        now = 700.0 * number
        monitor.ledger.hear(Report(device(number), 1, Counters(3000), Counters()), "a", now)
        monitor.ledger.leave(identifier(number), "a", now, lost=True)
        monitor.tick(RunFigures(), now)
    assert page.refresh() == "state"
    late = Page(monitor)
    late.refresh()
    same(page, late)
