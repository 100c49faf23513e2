"""The overlay's decisions, alone and by thousands of nodes."""

from __future__ import annotations

import random
import statistics
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pando.tree.overlay import Accept, Busy, Delegate, Overlay, Wait, choose_slot

from ..simulation.simulator import ideal_depths

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


def newcomer_for(overlay: Overlay, slot: int, degree: int = 3, start: int = 1000) -> bytes:
    return next(
        node_id(i)
        for i in range(start, start + 1000)
        if choose_slot(node_id(i), ROOT, degree) == slot
    )


def test_accepts_while_there_is_room_and_then_delegates() -> None:
    overlay, children = full_overlay()
    decision = overlay.request(node_id(99), now=0)
    assert isinstance(decision, Delegate)
    assert decision.child in children
    assert overlay.request(node_id(99), now=5) == decision, "the same newcomer goes the same way"


def test_candidates_count_as_children() -> None:
    overlay, _ = full_overlay(connect=False)
    assert not isinstance(overlay.request(node_id(99), now=0), Accept)


def test_a_request_for_a_child_that_is_connecting_waits_for_it() -> None:
    overlay, children = full_overlay(connect=False)
    assert overlay.request(node_id(99), now=0) == Wait(node_id(99))
    decisions = [decision for child in children for decision in overlay.connected(child)]
    assert len(decisions) == 1
    assert isinstance(decisions[0], Delegate)


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
    assert sum(isinstance(decision, Busy) for decision in decisions) == 13
    assert len(overlay.connected(node_id(1))) == 5
    assert isinstance(overlay.request(node_id(19), now=0), Delegate), "now there is a place"


def test_a_child_that_nobody_can_connect_to_is_passed_over() -> None:
    overlay, children = full_overlay()
    for child in children[:2]:
        overlay.set_takes_children(child, False)
    decisions = {overlay.request(node_id(i), now=0) for i in range(50, 80)}
    assert {decision.child for decision in decisions if isinstance(decision, Delegate)} == {
        children[2]
    }


def test_nobody_is_refused_even_past_the_degree() -> None:
    overlay, children = full_overlay()
    assert overlay.request(node_id(50), now=0, avoid=frozenset(children)) == Accept(node_id(50))
    overlay.connected(node_id(50))
    assert len(overlay.children) == 4


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

    nodes = st.integers(1, 12).map(node_id)

    @rule(node=nodes)
    def request(self, node: bytes) -> None:
        if node not in self.overlay.children:
            self.overlay.request(node, self.now)

    @rule(node=nodes, takes_children=st.booleans())
    def connected(self, node: bytes, takes_children: bool) -> None:
        if node in self.overlay.candidates:
            self.overlay.connected(node, takes_children=takes_children)

    @rule(node=nodes)
    def left(self, node: bytes) -> None:
        self.overlay.left(node, self.now)
        assert node not in self.overlay.children

    @rule(seconds=st.floats(0, 20))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.overlay.expire(self.now)

    @invariant()
    def consistent(self) -> None:
        self.overlay.validate_state()


TestOverlay = OverlayMachine.TestCase
TestOverlay.settings = settings(max_examples=100, deadline=None)


def depths(count: int, degree: int, seed: int) -> Counter[int]:
    """How many nodes end at each depth when `count` join one after the other."""
    rng = random.Random(seed)
    root = Overlay(rng.randbytes(8), degree=degree)
    overlays = {root.node: root}
    found: Counter[int] = Counter()
    for _ in range(count):
        origin, at, depth = rng.randbytes(8), root, 1
        while isinstance(decision := at.request(origin, now=0), Delegate):
            at, depth = overlays[decision.child], depth + 1
        assert isinstance(decision, Accept)
        at.connected(origin)
        overlays[origin] = Overlay(origin, degree=degree)
        found[depth] += 1
    return found


@pytest.mark.parametrize("count", [10, 100, 1000])
def test_most_nodes_are_hardly_deeper_than_in_an_ideal_tree(count: int) -> None:
    shares = []
    for seed in range(5):
        actual = sorted(depths(count, 10, seed).elements())
        ideal = ideal_depths(count, 10)
        within = sum(a <= i + 1 for a, i in zip(actual, ideal, strict=True))
        shares.append(within / count)
    assert statistics.mean(shares) >= 0.83


def test_slots_are_chosen_evenly_at_each_level() -> None:
    rng = random.Random(5)
    node, child = rng.randbytes(8), rng.randbytes(8)
    origins = [rng.randbytes(8) for _ in range(20_000)]
    below = [origin for origin in origins if choose_slot(origin, node, 10) == 3]
    counts = Counter(choose_slot(origin, child, 10) for origin in below)
    assert min(counts.values()) > 0.7 * len(below) / 10
    assert max(counts.values()) < 1.3 * len(below) / 10
