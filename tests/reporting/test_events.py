"""Events and errors: the newest of them, with bounded texts."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pando.reporting.events import (
    MAX_ERRORS,
    MAX_EVENT_TEXT,
    MAX_EVENTS,
    MAX_TRACEBACK,
    Ring,
    new_error,
    new_event,
)
from pando.reporting.monitor import MAX_REFUSALS, REFUSALS_SECONDS, Monitor
from pando.reports.counters import Counters
from pando.reports.records import Device, Report
from tests.reporting.feed import ROOT, device, identifier


@given(st.integers(1, 10), st.integers(0, 30), st.integers(0, 40))
def test_a_ring_keeps_the_newest(size: int, count: int, since: int) -> None:
    ring: Ring[int] = Ring(size)
    for number in range(count):
        ring.add(number)
    assert ring.total == count
    assert ring.since(since) == list(range(max(since, count - size), count))


@given(st.text(), st.text(max_size=1000))
def test_texts_of_events_are_one_bounded_line(name: str, text: str) -> None:
    event = new_event(1.0, "refused", "", name * 100, text * 3)
    assert len(event.name) <= 64
    assert len(event.text) <= MAX_EVENT_TEXT
    assert (event.name + event.text).isprintable()


def test_texts_of_errors_are_bounded_and_can_be_sent() -> None:
    huge = "\ud800<script>alert(1)</script>" * 100_000
    error = new_error(1.0, 7, huge, huge, huge, huge, huge + "the end")
    data = msgspec.json.encode(error)
    assert len(data) < 8 * MAX_TRACEBACK
    assert error.traceback.endswith("the end")


def test_what_happens_to_devices_is_told_with_its_time() -> None:
    monitor = Monitor("square", ROOT, 100.0, 3.0)
    monitor.hear_own(Report(Device(ROOT, 1), 1, Counters(), Counters()), 100.0)
    first = Report(device(1), 1, Counters(3000, 1), Counters())
    monitor.ledger.hear(first, "a", 101.0)
    moved = Report(device(1, parent=b"elsewher"), 2, Counters(6000, 1), Counters(3000, 1))
    monitor.ledger.hear(moved, "b", 104.0)
    monitor.ledger.close("b", 105.0, lost=True)
    again = Report(device(1), 3, Counters(9000, 1), Counters(6000, 1))
    monitor.ledger.hear(again, "c", 106.5)
    monitor.reassigned("device 1", 12, 107.0)
    monitor.ledger.leave(identifier(1), "c", 108.0, lost=False)
    monitor.struck_out(5, "the worker was killed", 109.0)
    monitor.refused("<b>", "an old version", 110.0)
    assert [(event.at, event.kind) for event in monitor.events.since(0)] == [
        (1.0, "joined"),
        (4.0, "moved"),
        (5.0, "lost"),
        (6.5, "returned"),
        (7.0, "reassigned"),
        (8.0, "left"),
        (9.0, "struck out"),
        (10.0, "refused"),
    ]
    assert monitor.events.since(4)[0].text == "12 items"


def test_strangers_who_are_refused_do_not_push_out_other_events() -> None:
    monitor = Monitor("square", ROOT, 0.0, 3.0)
    for number in range(2000):
        monitor.refused("a stranger", "a wrong link", number / 1000)
    assert len(monitor.events.since(0)) == MAX_REFUSALS
    monitor.refused("a stranger", "a wrong link", REFUSALS_SECONDS + 1.0)
    assert len(monitor.events.since(0)) == MAX_REFUSALS + 1


def test_events_and_errors_are_bounded() -> None:
    monitor = Monitor("square", ROOT, 0.0, 3.0)
    for number in range(2000):
        monitor.reassigned("a", 1, 1.0)
        monitor.item_failed(
            1.0, index=number, item="1", device="d", type="ValueError", reason="", traceback=""
        )
    assert len(monitor.events.since(0)) == MAX_EVENTS
    assert [error.index for error in monitor.errors.since(0)] == list(range(1900, 2000))
    assert len(monitor.errors.since(0)) == MAX_ERRORS
