"""A ledger that is full: nobody's devices hide those of others, and the sums stay."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pando.reporting.ledger import KEEP_SECONDS, OWN, Ledger
from pando.reporting.shares import Shares
from pando.reports.counters import NOTHING, Counters, plus
from pando.reports.records import MAX_DEVICES, Report
from tests.reporting.feed import device, identifier

OWNERS = "abcd"
LINK_OF_HONEST, LINK_OF_HOSTILE = "honest", "hostile"
events = st.lists(
    st.tuples(
        st.sampled_from(["hear", "hear", "hear", "hear", "leave", "close", "expire"]),
        st.sampled_from(OWNERS),
        st.integers(1, 14),
    ),
    max_size=60,
)


def report(number: int, sequence: int) -> Report:
    counters = Counters(1000 * sequence, sequence)
    return Report(device(number), sequence, counters, Counters())


def total(ledger: Ledger) -> Counters:
    counters = ledger.departed
    for entry in ledger.entries.values():
        counters = plus(counters, entry.total)
    return counters


def live_by_owner(ledger: Ledger) -> Counter[Any]:
    return Counter(entry.owner for entry in ledger.live())


@given(events, st.integers(2, 9))
def test_whoever_is_refused_has_as_many_places_as_any_other(
    happened: list[tuple[str, str, int]], places: int
) -> None:
    ledger = Ledger(max_devices=places + 1)
    ledger.hear(report(0, 1), OWN, 0.0)
    heard: dict[int, int] = {}
    for now, (what, owner, number) in enumerate(happened):
        node = identifier(number)
        if what == "hear":
            sequence = heard.get(number, 0) + 1
            before = live_by_owner(ledger)
            if ledger.hear(report(number, sequence), owner, now):
                heard[number] = sequence
            else:
                assert before[owner] + 1 >= max(before.values())
        elif what == "leave":
            ledger.leave(node, owner, now, lost=False)
        elif what == "close":
            ledger.close(owner, now, lost=True)
            assert not live_by_owner(ledger)[owner]
        else:
            ledger.expire(now + 2 * KEEP_SECONDS)
        assert len(ledger.entries) <= places + 1
        assert ledger.entries[identifier(0)].is_live
        # What was ever counted stays so, be it shown or not.
        assert total(ledger).items == 1 + sum(heard.values())
        for each in OWNERS:
            assert ledger._shares.count(each) == live_by_owner(ledger)[each]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(OWNERS), st.integers(0, 5))))
def test_the_largest_share_is_known(changes: list[tuple[bool, str, int]]) -> None:
    shares, model = Shares(), {owner: dict[bytes, None]() for owner in OWNERS}
    for is_new, owner, number in changes:
        node = identifier(number)
        if is_new:
            shares.add(owner, node)
            model[owner].setdefault(node)
        else:
            shares.remove(owner, node)
            model[owner].pop(node, None)
        assert shares.most() == max(map(len, model.values()))
        assert {each: shares.of(each) for each in OWNERS} == {k: list(v) for k, v in model.items()}
        if shares.most():
            largest = [v for v in model.values() if len(v) == shares.most()]
            assert shares.last_of_largest() in [list(devices)[-1] for devices in largest]


def test_devices_that_one_child_invents_hide_none_of_another_s() -> None:
    ledger = Ledger()
    for number in range(MAX_DEVICES):
        ledger.hear(report(number, 1), LINK_OF_HOSTILE, 0.0)
    honest = range(MAX_DEVICES, MAX_DEVICES + 1000)
    for sequence in range(1, 4):
        for number in honest:
            assert ledger.hear(report(number, sequence), LINK_OF_HONEST, sequence)
        for number in range(0, MAX_DEVICES, 100):  # what had to make room does not come back
            ledger.hear(report(number, 1 + sequence), LINK_OF_HOSTILE, sequence)
    assert all(identifier(number) in ledger.entries for number in honest)
    assert identifier(0) in ledger.entries, "the child itself, which it tells of first"
    assert len(ledger.entries) == MAX_DEVICES - 1


def test_those_that_have_gone_make_room_first() -> None:
    ledger = Ledger(max_devices=4)
    for number in (1, 2, 3):
        ledger.hear(report(number, 1), "a", 0.0)
    ledger.leave(identifier(2), "a", 1.0, lost=True)
    assert ledger.hear(report(4, 1), "a", 2.0)
    assert identifier(2) not in ledger.entries
    assert (ledger.departed.items, ledger.departed_devices) == (1, 1)
    ledger.leave(identifier(3), "a", 3.0, lost=True)
    assert ledger.hear(report(2, 2), "b", 4.0), "it is known again"
    assert total(ledger).items == 5


def test_a_device_whose_figures_its_link_sums_up_makes_room_without_being_counted_twice() -> None:
    ledger = Ledger(max_devices=4)
    for number in (1, 2, 3):
        ledger.hear(report(number, 1), "a", 0.0, summed=True)
    assert ledger.hear(report(4, 1), "b", 1.0)
    assert identifier(3) not in ledger.entries
    assert ledger.departed == NOTHING
