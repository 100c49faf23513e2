"""Whole runs in simulated time, by the hundred. A failing seed is in the test's name."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from .simulator import Outcome, Scenario, Simulation


def scenario_of(seed: int) -> Scenario:
    """A random scenario: all that may happen, in some proportion."""
    rng = random.Random(seed)
    return Scenario(
        nodes=rng.randrange(1, 30),
        degree=rng.randrange(1, 6),
        items=rng.randrange(0, 600),
        item_seconds=rng.choice([0.0005, 0.01, 0.1, 0.5]),
        deaths_per_second=rng.choice([0, 0.5, 2]),
        deaths_until=20,
        silent_deaths=rng.choice([0, 0.3]),
        unreachable=rng.choice([0, 0.3]),
        crashes=rng.choice([0, 0, 0.001]),
    )


def check(outcome: Outcome, scenario: Scenario) -> None:
    expected = [None if n in outcome.failed else n * n for n in range(scenario.items)]
    assert outcome.results == expected
    if not scenario.crashes:
        assert outcome.failed == []


@pytest.mark.parametrize("seed", range(200))
def test_nothing_is_lost_doubled_or_reordered(seed: int) -> None:
    scenario = scenario_of(seed)
    check(Simulation(seed, scenario).run(), scenario)


def test_a_seed_replays_identically() -> None:
    runs = [Simulation(7, scenario_of(7)).run() for _ in range(2)]
    assert runs[0] == runs[1]


def test_orphans_rejoin_within_seconds_while_nodes_keep_dying() -> None:
    scenario = Scenario(
        nodes=200, degree=5, items=20_000, item_seconds=0.5, deaths_per_second=2, deaths_until=60
    )
    outcome = Simulation(1, scenario).run()
    check(outcome, scenario)
    assert outcome.deaths > 60
    waits = sorted(outcome.rejoin_seconds)
    assert waits[int(len(waits) * 0.99)] < 5


def test_a_thousand_nodes_join_at_once_and_hardly_deeper_than_need_be() -> None:
    outcome = Simulation(3, Scenario(nodes=1000, degree=10)).join_all()
    depths = Counter(depth for depth in outcome.depths.values() if depth)
    assert sum(depths.values()) == 1000
    assert max(outcome.join_seconds) < 10
    ideal = 3  # 10 + 100 + 890
    assert sum(count for depth, count in depths.items() if depth <= ideal + 1) >= 830


def test_all_nodes_compute_and_are_kept_busy() -> None:
    scenario = Scenario(nodes=40, degree=3, items=4000, item_seconds=1.0)
    outcome = Simulation(5, scenario).run()
    check(outcome, scenario)
    joined = max(outcome.join_seconds)
    assert outcome.end < joined + scenario.items * scenario.item_seconds / scenario.nodes * 1.1
