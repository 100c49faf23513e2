"""The overlay's decisions, alone and by thousands of nodes."""

from __future__ import annotations

import random
from collections import Counter, deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pando.tree.overlay import (
    Accept,
    Busy,
    Decision,
    Delegate,
    Overlay,
    Wait,
    choose_slots,
)

ROOT = bytes(8)


def node_id(number: int) -> bytes:
    return number.to_bytes(8, "big")


def full_overlay(degree: int = 3, *, connect: bool = True) -> tuple[Overlay, list[bytes]]:
    overlay = Overlay(ROOT, degree=degree, timeout=10)
    children = [node_id(i) for i in range(1, degree + 1)]
    for child in children:
        assert overlay.request(child, now=0) == Accept(child)
        if connect:
            assert overlay.connected(child) == []
    return overlay, children


def slot_of(number: int) -> int:
    return choose_slots(node_id(number), ROOT, 3)[0]


def children_by_slot(children: list[bytes]) -> dict[int, bytes]:
    """Children in the order in which they joined: each has its own slot, or the next free one."""
    slots: dict[int, bytes] = {}
    for child in children:
        slot = choose_slots(child, ROOT, len(children))[0]
        while slot in slots:
            slot = (slot + 1) % len(children)
        slots[slot] = child
    return slots


def test_accepts_while_there_is_room_and_then_delegates() -> None:
    overlay, children = full_overlay()
    decision = overlay.request(node_id(99), now=0)
    assert decision == Delegate(node_id(99), children_by_slot(children)[slot_of(99)])
    first, second = choose_slots(node_id(99), ROOT, 3)
    assert first != second
    other = Delegate(node_id(99), children_by_slot(children)[second])
    assert overlay.request(node_id(99), now=5) == other, "where fewer have been sent"
    assert overlay.request(node_id(99), now=5) == decision


def test_the_slots_are_a_hash_of_both_identifiers() -> None:
    slots = [choose_slots(node_id(number), node_id(77), 1000) for number in (1, 2, 1 << 40)]
    assert slots == [(797, 880), (223, 436), (265, 286)], "all versions agree"
    with pytest.raises(ValueError, match="shorter"):
        choose_slots(node_id(1), b"short", 10)


def test_where_the_own_child_fails_the_next_one_is_asked() -> None:
    overlay, children = full_overlay()
    by_slot = children_by_slot(children)
    own, following = by_slot[slot_of(99)], by_slot[(slot_of(99) + 1) % 3]
    decision = overlay.request(node_id(99), now=0, avoid=frozenset([own]))
    assert decision == Delegate(node_id(99), following)


def test_a_child_that_asks_again_keeps_its_place_for_a_while() -> None:
    overlay, children = full_overlay()
    assert overlay.request(children[0], now=5) == Accept(children[0])
    assert overlay.candidates == children[:1]
    overlay.expire(now=14.9)
    assert overlay.candidates == children[:1]
    overlay.expire(now=15)
    assert (overlay.candidates, len(overlay.children)) == ([], 2)


def test_who_waits_and_asks_again_when_a_place_is_free_waits_no_more() -> None:
    overlay, children = full_overlay(connect=False)
    own = children_by_slot(children)[slot_of(99)]
    overlay.request(node_id(99), now=0)
    overlay.left(next(child for child in children if child != own), now=0)
    assert overlay.request(node_id(99), now=0) == Accept(node_id(99))
    assert overlay.waiting == 0
    assert overlay.connected(own) == []


def test_candidates_count_as_children() -> None:
    overlay, _ = full_overlay(connect=False)
    assert not isinstance(overlay.request(node_id(99), now=0), Accept)


def test_a_request_for_a_child_that_is_connecting_waits_for_it() -> None:
    overlay, children = full_overlay(connect=False)
    assert overlay.request(node_id(99), now=0) == Wait(node_id(99))
    own = children_by_slot(children)[slot_of(99)]
    decisions = [decision for child in children for decision in overlay.connected(child)]
    assert decisions == [Delegate(node_id(99), own)]
    assert overlay.waiting == 0


def test_who_waits_is_sent_to_its_child_although_a_place_is_free_now() -> None:
    overlay, children = full_overlay(connect=False)
    own = children_by_slot(children)[slot_of(99)]
    other = next(child for child in children if child != own)
    overlay.request(node_id(99), now=0)
    assert overlay.left(other, now=0) == []
    assert overlay.connected(own) == [Delegate(node_id(99), own)]


@pytest.mark.parametrize("now", [0.0, 5.0])
def test_who_waits_for_a_child_that_takes_none_is_decided_on_anew(now: float) -> None:
    overlay = Overlay(ROOT, degree=1, timeout=10)
    overlay.request(node_id(1), now=0)
    assert overlay.request(node_id(2), now=0) == Wait(node_id(2))
    when = (now,) if now else ()
    assert overlay.connected(node_id(1), *when, takes_children=False) == [Accept(node_id(2))]
    assert overlay.expire(now=now + 9.9) == []
    assert overlay.candidates == [node_id(2)]
    overlay.expire(now=now + 10)
    assert overlay.candidates == []


def test_who_connects_does_not_wait_any_more_and_is_a_child_in_any_case() -> None:
    overlay, children = full_overlay(connect=False)
    assert overlay.request(node_id(99), now=0) == Wait(node_id(99))
    assert overlay.connected(node_id(99)) == []
    assert (overlay.waiting, overlay.children) == (0, [node_id(99)])
    assert all(overlay.connected(child) == [] for child in children)
    overlay.validate_state()


def test_a_child_whose_slot_is_taken_has_the_next_one() -> None:
    overlay = Overlay(ROOT, degree=3)
    first, second = [node_id(i) for i in range(1, 50) if choose_slots(node_id(i), ROOT, 3)[0] == 0][
        :2
    ]
    third = next(node_id(i) for i in range(50, 99) if choose_slots(node_id(i), ROOT, 3)[0] == 2)
    for child in (first, second, third):
        overlay.request(child, now=0)
        overlay.connected(child)
    joining = next(node_id(i) for i in range(100, 200) if choose_slots(node_id(i), ROOT, 3)[0] == 1)
    assert overlay.request(joining, now=0) == Delegate(joining, second)


def test_a_place_is_kept_for_a_minute_unless_told_otherwise() -> None:
    overlay = Overlay(ROOT)
    overlay.request(node_id(1), now=0)
    overlay.expire(now=59.9)
    assert overlay.candidates == [node_id(1)]
    overlay.expire(now=60)
    assert overlay.candidates == []


def test_a_candidate_that_fails_frees_its_place_for_who_waits() -> None:
    overlay, children = full_overlay(connect=False)
    overlay.request(node_id(99), now=0)
    assert overlay.expire(now=9.9) == []
    decisions = overlay.expire(now=10)
    assert Accept(node_id(99)) in decisions
    assert overlay.candidates == [node_id(99)]
    assert children


def test_waiting_requests_are_bounded() -> None:
    overlay = Overlay(ROOT, degree=1, max_waiting=5)
    overlay.request(node_id(1), now=0)
    decisions = [overlay.request(node_id(i), now=0) for i in range(2, 20)]
    assert sum(isinstance(decision, Wait) for decision in decisions) == 5
    assert decisions[5:] == [Busy(node_id(i)) for i in range(7, 20)]
    assert len(overlay.connected(node_id(1))) == 5
    assert isinstance(overlay.request(node_id(19), now=0), Delegate), "now there is a place"


def test_a_child_that_nobody_can_connect_to_is_passed_over() -> None:
    overlay, children = full_overlay()
    for child in children[:2]:
        overlay.set_takes_children(child, False)
    for i in range(50, 80):
        assert overlay.request(node_id(i), now=0) == Delegate(node_id(i), children[2])
    for child in children[:2]:
        overlay.set_takes_children(child, True)
    decisions = {overlay.request(node_id(i), now=0) for i in range(50, 80)}
    assert {d.child for d in decisions if isinstance(d, Delegate)} == set(children)


def test_a_child_that_needs_an_offer_is_sent_only_those_who_have_made_one() -> None:
    overlay = Overlay(ROOT, degree=2, timeout=10)
    for number in (1, 2):
        overlay.request(node_id(number), now=0)
        overlay.connected(node_id(number), needs_offer=number == 1)
    without = {overlay.request(node_id(i), now=0) for i in range(50, 80)}
    assert {d.child for d in without if isinstance(d, Delegate)} == {node_id(2)}
    offering = {overlay.request(node_id(i), now=0, offers=True) for i in range(50, 80)}
    assert {d.child for d in offering if isinstance(d, Delegate)} == {node_id(1), node_id(2)}
    overlay.set_takes_children(node_id(2), False)
    assert overlay.request(node_id(90), now=0) == Accept(node_id(90))
    assert overlay.needs_offer(node_id(90)), "its place is beyond the degree"
    overlay.set_takes_children(node_id(1), False)
    assert not overlay.needs_offer(node_id(90)), "an offer would not help"


def test_those_who_wait_are_decided_on_by_what_they_offer() -> None:
    overlay = Overlay(ROOT, degree=1, timeout=10)
    overlay.request(node_id(1), now=0)
    overlay.request(node_id(2), now=0)
    overlay.request(node_id(3), now=0, offers=True)
    decisions = overlay.connected(node_id(1), needs_offer=True)
    assert decisions == [Accept(node_id(2)), Delegate(node_id(3), node_id(1))]


def test_what_they_offer_is_remembered_while_they_wait_for_one_after_the_other() -> None:
    """They wait for a child that fails, and for who has its place then, who takes none."""
    overlay = Overlay(ROOT, degree=2, timeout=10)
    first, second = node_id(1), node_id(2)
    for child in (first, second):
        overlay.request(child, now=0)
    overlay.connected(first, needs_offer=True)
    place = next(
        slot for slot, child in children_by_slot([first, second]).items() if child == second
    )
    other, offering = [
        node_id(number)
        for number in range(50, 99)
        if choose_slots(node_id(number), ROOT, 2) == (place, place)
    ][:2]
    assert overlay.request(other, now=0) == Wait(other)
    assert overlay.request(offering, now=0, offers=True) == Wait(offering)
    assert overlay.left(second, now=0) == [Accept(other), Wait(offering)]
    assert overlay.connected(other, takes_children=False) == [Delegate(offering, first)]


def test_who_asks_again_while_it_waits_waits_where_it_did() -> None:
    """It was counted there once, and is counted no more."""
    overlay, children = full_overlay(connect=False)
    by_slot = children_by_slot(children)
    origin = next(
        node_id(number)
        for number in range(50, 99)
        if len(set(choose_slots(node_id(number), ROOT, 3))) == 2
    )
    own = by_slot[choose_slots(origin, ROOT, 3)[0]]
    for _ in range(2):
        assert overlay.request(origin, now=0) == Wait(origin)
    assert overlay.connected(own) == [Delegate(origin, own)]


def test_who_has_waited_for_a_child_counts_there_as_who_was_sent_at_once() -> None:
    overlay, children = full_overlay(connect=False)
    slots = {child: slot for slot, child in children_by_slot(children).items()}
    late, early = children[0], children[1]

    def origin(*places: int) -> bytes:
        numbers = range(50, 500)
        found = (n for n in numbers if choose_slots(node_id(n), ROOT, 3)[: len(places)] == places)
        return node_id(next(found))

    for child in children[1:]:
        overlay.connected(child)
    waiting = origin(slots[late])
    assert overlay.request(waiting, now=0) == Wait(waiting)
    assert overlay.connected(late) == [Delegate(waiting, late)]
    sent = origin(slots[early], slots[early])
    assert overlay.request(sent, now=0) == Delegate(sent, early)
    following = origin(slots[early], slots[late])
    assert overlay.request(following, now=0) == Delegate(following, early), "one has each of them"


def test_nobody_is_refused_even_past_the_degree() -> None:
    overlay, children = full_overlay()
    assert overlay.request(node_id(50), now=0, avoid=frozenset(children)) == Accept(node_id(50))
    overlay.connected(node_id(50))
    assert len(overlay.children) == 4
    overlay.left(node_id(50), now=0)
    assert set(overlay.children) == set(children)


def test_a_node_that_left_frees_its_place() -> None:
    overlay, children = full_overlay()
    overlay.left(children[1], now=0)
    assert overlay.request(node_id(50), now=0) == Accept(node_id(50))


class OverlayMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.overlay = Overlay(ROOT, degree=3, timeout=10, max_waiting=4)
        self.now = 0.0
        self.open: Counter[bytes] = Counter()
        self.needing_offers: set[bytes] = set()
        self.offering: set[bytes] = set()

    nodes = st.integers(1, 12).map(node_id)

    def check(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            if isinstance(decision, Delegate) and decision.child in self.needing_offers:
                assert decision.origin in self.offering

    @rule(node=nodes, offers=st.booleans())
    def request(self, node: bytes, offers: bool) -> None:
        if node not in self.overlay.children:
            (self.offering.add if offers else self.offering.discard)(node)
            self.check([self.overlay.request(node, self.now, offers=offers)])

    @rule(node=nodes, takes_children=st.booleans(), needs_offer=st.booleans())
    def connected(self, node: bytes, takes_children: bool, needs_offer: bool) -> None:
        if node in self.overlay.candidates:
            (self.needing_offers.add if needs_offer else self.needing_offers.discard)(node)
            self.check(
                self.overlay.connected(node, takes_children=takes_children, needs_offer=needs_offer)
            )

    @rule(node=nodes, takes_children=st.booleans())
    def changes(self, node: bytes, takes_children: bool) -> None:
        self.overlay.set_takes_children(node, takes_children)

    @rule(node=nodes)
    def left(self, node: bytes) -> None:
        self.check(self.overlay.left(node, self.now))
        assert node not in self.overlay.children

    @rule(seconds=st.floats(0, 20))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.check(self.overlay.expire(self.now))

    @invariant()
    def consistent(self) -> None:
        self.overlay.validate_state()


TestOverlay = OverlayMachine.TestCase
TestOverlay.settings = settings(max_examples=100, deadline=None)


def depths(takes_children: list[bool], degree: int, rng: random.Random) -> list[int]:
    """The depth of each node when they join one after the other."""
    root = Overlay(rng.randbytes(8), degree=degree)
    overlays = {root.node: root}
    found = []
    for takes in takes_children:
        origin, at, depth = rng.randbytes(8), root, 1
        while isinstance(decision := at.request(origin, now=0), Delegate):
            at, depth = overlays[decision.child], depth + 1
        assert isinstance(decision, Accept)
        at.connected(origin, takes_children=takes)
        overlays[origin] = Overlay(origin, degree=degree)
        found.append(depth)
    return found


def ideal_depths(takes_children: list[bool], degree: int) -> list[int]:
    """The depths where each node in turn takes the highest place that is free."""
    places, found = deque([1] * degree), []
    for takes in takes_children:
        found.append(places.popleft())
        places.extend([found[-1] + 1] * degree * takes)
    return found


@pytest.mark.parametrize("leaves", [0.0, 0.3])
@pytest.mark.parametrize(("count", "seeds"), [(30, 100), (100, 100), (300, 30), (1000, 10)])
def test_nearly_all_nodes_are_as_deep_as_in_an_ideal_tree(
    count: int, seeds: int, leaves: float
) -> None:
    for seed in range(seeds):
        rng = random.Random(seed)
        takes_children = [rng.random() >= leaves for _ in range(count)]
        actual = sorted(depths(takes_children, 10, rng))
        ideal = sorted(ideal_depths(takes_children, 10))
        share = sum(a <= i for a, i in zip(actual, ideal, strict=True)) / count
        assert share >= 0.9, seed


def test_slots_are_chosen_evenly_at_each_level() -> None:
    rng = random.Random(5)
    node, child = rng.randbytes(8), rng.randbytes(8)
    origins = [rng.randbytes(8) for _ in range(20_000)]
    below = [origin for origin in origins if choose_slots(origin, node, 10)[0] == 3]
    counts = Counter(choose_slots(origin, child, 10)[0] for origin in below)
    assert min(counts.values()) > 0.7 * len(below) / 10
    assert max(counts.values()) < 1.3 * len(below) / 10
