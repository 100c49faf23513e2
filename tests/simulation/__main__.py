"""More of the simulator than the tests run: ``python -m tests.simulation --seeds 2000``."""

from __future__ import annotations

import argparse
import time
from collections import Counter

from .simulator import Scenario, Simulation, ideal_depths
from .test_simulation import check, scenario_of


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="random scenarios to play")
    parser.add_argument("--first", type=int, default=0, help="the first one's seed")
    parser.add_argument("--joins", action="store_true", help="depths for 10 to 10,000 nodes")
    parser.add_argument("--large", action="store_true", help="10,000 nodes, 1 %% dying each second")
    options = parser.parse_args()
    if options.joins:
        print_depths()
    elif options.large:
        play_large()
    else:
        for seed in range(options.first, options.first + options.seeds):
            scenario = scenario_of(seed)
            try:
                check(Simulation(seed, scenario).run(), scenario)
            except BaseException:
                print(f"seed {seed} fails: {scenario}")
                raise
        print(f"{options.seeds} seeds played, nothing lost, doubled or reordered")


def print_depths(seeds: int = 20, degree: int = 10) -> None:
    """Of nodes that join at once, how many are as deep as in an ideal tree, or one deeper."""
    print("| nodes | as deep as ideal | at most one deeper | deepest | all joined after |")
    print("|---|---|---|---|---|")
    for count in (10, 100, 1000, 10_000):
        same = deeper = deepest = 0
        slowest = 0.0
        for seed in range(seeds):
            outcome = Simulation(seed, Scenario(nodes=count, degree=degree)).join_all()
            depths = sorted(depth for depth in outcome.depths.values() if depth)
            ideal = ideal_depths(count, degree)
            same += sum(a <= i for a, i in zip(depths, ideal, strict=True))
            deeper += sum(a <= i + 1 for a, i in zip(depths, ideal, strict=True))
            deepest = max(deepest, depths[-1])
            slowest = max(slowest, *outcome.join_seconds)
        total = count * seeds
        print(
            f"| {count:,} | {same / total:.1%} | {deeper / total:.1%} | {deepest} "
            f"| {slowest:.1f} s |",
            flush=True,
        )


def play_large() -> None:
    """10,000 nodes join at once, and 1 % of them die each second for a minute."""
    scenario = Scenario(
        nodes=10_000, degree=10, items=120_000, item_seconds=5.0,
        deaths_per_second=100, deaths_until=60,
    )  # fmt: skip
    started = time.monotonic()
    outcome = Simulation(1, scenario).run()
    check(outcome, scenario)
    waits = sorted(outcome.rejoin_seconds)
    print(f"{outcome.deaths} nodes died, {len(waits)} orphans rejoined")
    print(f"p50 {waits[len(waits) // 2]:.2f} s, p99 {waits[int(len(waits) * 0.99)]:.2f} s")
    print(f"depths {sorted(Counter(outcome.depths.values()).items())}")
    seconds = f"{outcome.end:.0f} simulated, {time.monotonic() - started:.0f} real seconds"
    print(f"{scenario.items} items in {seconds}; none lost, doubled or reordered")


if __name__ == "__main__":
    main()
