"""Whole runs in simulated time, by the hundred. A failing seed is in the test's name."""

from __future__ import annotations

import dataclasses
import math
import random
from collections import Counter
from typing import Any

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
        tabs=rng.choice([0, 0, 0.5, 1]),
        without_offer=rng.choice([0, 0.3]),
        hides_per_second=rng.choice([0, 1]),
    )


def check(outcome: Outcome, scenario: Scenario) -> None:
    expected = [None if n in outcome.failed else n * n for n in range(scenario.items)]
    assert outcome.results == expected
    # Where devices die as fast as they compute an item, each item looks as if it had ended them.
    lived_long = scenario.deaths_per_second * scenario.item_seconds < 0.2 * scenario.nodes
    if not scenario.crashes and lived_long:
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


CHURN = Scenario(
    nodes=1000,
    degree=10,
    items=5_000,
    item_seconds=1.0,
    deaths_per_second=30,
    deaths_until=5,
    silent_deaths=0.2,
    unreachable=0.1,
)


def test_a_thousand_nodes_of_which_some_die_all_the_time() -> None:
    """Others come in their place; some fall silent, and parents of some cannot be reached."""
    outcome = Simulation(5, CHURN).run()
    check(outcome, CHURN)
    assert outcome.deaths > 50
    assert len(outcome.rejoin_seconds) > 50


def test_a_thousand_nodes_of_which_most_are_tabs_that_come_and_go() -> None:
    """They take others only by WebRTC, some are hidden and hand those over, and some die."""
    scenario = dataclasses.replace(CHURN, tabs=0.8, without_offer=0.1, hides_per_second=10)
    outcome = Simulation(5, scenario).run()
    check(outcome, scenario)
    assert outcome.deaths > 50
    assert outcome.handed_over > 50
    assert outcome.below_tabs > 200


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


def slow_scenario(**options: Any) -> Scenario:
    """500 items of a second on ten devices, of which some become slow in the middle."""
    return Scenario(nodes=10, degree=10, items=500, item_seconds=1.0, slow_from=25.0, **options)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("degree", [10, 3])
def test_a_device_that_becomes_slow_holds_up_nobody(seed: int, degree: int) -> None:
    scenario = dataclasses.replace(slow_scenario(slow=(4,)), degree=degree)
    outcome = Simulation(seed, scenario).run()
    check(outcome, scenario)
    ideal = 25 + 250 / (9 + 1 / 50)
    assert outcome.end < 1.15 * ideal
    assert outcome.doubled <= 0.03 * scenario.items


@pytest.mark.parametrize("seed", range(10))
def test_devices_that_stop_answering_hold_up_nobody(seed: int) -> None:
    scenario = slow_scenario(slow=(3, 7), slow_times=math.inf)
    outcome = Simulation(seed, scenario).run()
    check(outcome, scenario)
    assert outcome.end < 1.15 * (25 + 250 / 8)
    assert outcome.doubled <= 0.03 * scenario.items


def test_without_speculation_a_silent_device_holds_up_the_run() -> None:
    scenario = slow_scenario(slow=(4,), slow_times=math.inf, speculates=False)
    assert Simulation(0, scenario).run().end > scenario.time_limit


def test_most_devices_may_be_silent_and_the_run_ends() -> None:
    scenario = slow_scenario(slow=tuple(range(8)), slow_times=math.inf)
    outcome = Simulation(0, scenario).run()
    check(outcome, scenario)
    assert outcome.end < 1.5 * (25 + 250 / 2)
