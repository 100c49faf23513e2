"""What hostile children report must not get their honest parent cut off by its own parent."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pando import messages
from pando.figures import MAX_UNITS
from pando.reporting.ledger import KEEP_SECONDS, OWN, Ledger
from pando.reporting.passing import LARGEST, Incoming, MalformedReportError
from pando.reports.counters import MAX_COUNTER, Counters
from pando.reports.moments import MAX_RATE, MAX_SQUARES, DeviceMoments, Moments
from pando.reports.records import (
    MAX_DEVICES,
    MAX_NAME,
    MAX_WORD,
    MAX_WORKERS,
    PAUSED,
    Device,
    Gone,
    Interval,
    Introduction,
    Report,
    Rest,
    Update,
)
from tests.reporting.feed import Node, Root, device, identifier, over_the_wire

numbers = st.integers(0, MAX_COUNTER) | st.sampled_from([0, 1, 1000, MAX_COUNTER])
rates = st.floats(0, MAX_RATE)
told_counters = st.lists(numbers, max_size=len(Counters._fields))
moments = st.builds(Moments, numbers, rates, st.floats(0, MAX_SQUARES), rates, rates)
keys = st.integers(0, 5)
words = st.text(max_size=MAX_WORD)
devices = st.builds(
    Device,
    node=st.integers(1, 12).map(identifier),
    epoch=st.integers(0, 2) | numbers,
    parent=st.binary(max_size=8),
    name=st.text(max_size=MAX_NAME),
    kind=words,
    version=words,
    link=words,
    workers=st.integers(0, MAX_WORKERS),
    units=st.text(max_size=MAX_UNITS),
)
updates = st.builds(
    Update,
    gone=st.lists(st.builds(Gone, keys, st.booleans(), numbers, told_counters), max_size=2),
    introductions=st.lists(
        st.builds(Introduction, keys, devices, numbers, told_counters), max_size=4
    ),
    summed=st.lists(keys, max_size=2),
    intervals=st.lists(
        st.builds(
            Interval,
            keys,
            numbers,
            told_counters,
            st.integers(0, PAUSED),
            numbers,
            numbers,
            st.none() | st.builds(DeviceMoments, moments, moments, moments),
        ),
        max_size=4,
    ),
    rest=st.none() | st.builds(Rest, numbers, numbers, told_counters),
)


@given(st.lists(st.tuples(st.integers(0, 2), updates), max_size=12), st.sampled_from([2, 2000]))
@settings(max_examples=80, deadline=None)
def test_whatever_children_report_their_honest_parent_is_not_cut_off(
    told: list[tuple[int, Update]], max_single: int
) -> None:
    root, parent = Root(), Node(1, max_single=max_single, largest=1)
    parent.attach(root, 0.0)
    links = [Incoming(number, parent.ledger, parent.node) for number in range(3)]
    for now, (number, update) in enumerate(told, 1):
        try:
            links[number].take(over_the_wire(update), float(now))
        except MalformedReportError:  # it is sent away, and comes again
            parent.ledger.close(number, float(now), lost=True)
            links[number] = Incoming(number, parent.ledger, parent.node)
        if number:
            parent.report(float(now))
            parent.send(float(now))
    parent.report(float(len(told) + 1))
    parent.send(float(len(told) + 1))
    assert root.ledger.entries[parent.node].is_live


def test_eight_children_that_claim_20_000_nodes_each_cost_their_parent_nothing() -> None:
    root, parent = Root(), Node(1)
    parent.attach(root, 0.0)
    most = Rest(MAX_COUNTER, MAX_COUNTER, [MAX_COUNTER] * len(Counters._fields))
    for child in range(8):
        first = 10 + child * MAX_DEVICES
        keys = range(MAX_DEVICES if child < 2 else 10)
        introductions = [Introduction(key, device(first + key), 0, []) for key in keys]
        intervals = [Interval(key, 1, [3000, 1]) for key in keys]
        update = Update(introductions=introductions, intervals=intervals, rest=most)
        Incoming(child, parent.ledger, parent.node).take(update, 1.0)
    parent.work(7)
    parent.report(3.0)
    update = parent.send(3.0)
    assert len(parent.ledger.entries) == MAX_DEVICES
    assert parent.ledger.refused == 1 + MAX_DEVICES // 2 + 1, "the first two share what there is"
    shown = [entry.owner for entry in parent.ledger.entries.values()]
    assert [shown.count(child) for child in range(2, 8)] == [10] * 6
    assert len(update.intervals) <= LARGEST + 1
    assert update.rest is not None
    assert update.rest.devices == MAX_COUNTER
    assert len(messages.encode(update)) < messages.MAX_MESSAGE_BYTES // 8
    assert root.ledger.entries[parent.node].total.items == 7


def test_devices_that_come_back_take_no_more_places_than_there_are() -> None:
    ledger = Ledger(max_devices=3)
    for number in (1, 2):
        ledger.hear(Report(device(number), 1, Counters(3000), Counters()), "a", 0.0)
        ledger.leave(identifier(number), "a", 0.0, lost=True)
    ledger.expire(KEEP_SECONDS + 1)
    assert not ledger.entries
    for number in (3, 4, 1):
        ledger.hear(Report(device(number), 1, Counters(3000), Counters()), "a", 1000.0)
    assert set(ledger.entries) == {identifier(3), identifier(4)}
    assert ledger.refused == 1
    ledger.hear(Report(device(5), 1, Counters(3000), Counters()), OWN, 1000.0)
    assert len(ledger.entries) == 3, "there is a place for the node itself"
