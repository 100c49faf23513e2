"""Real volunteers, killed and stopped while runs go on: ``python -m tests.chaos --seeds 20``.

Eight volunteers, of which one is killed or stopped each 250 ms; with results in order and as they
come, and with the volunteers in a star and in a tree of degree 2. The results must be exact, the
root must end within 2 s of its last result, and no process may be left.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from .running import END_SECONDS, SHAPES, Round, play


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="rounds of each kind")
    parser.add_argument("--first", type=int, default=0, help="the first one's seed")
    parser.add_argument("--shape", choices=list(SHAPES), help="only this one (default: both)")
    parser.add_argument("--items", type=int, default=6000, help="items of a round")
    options = parser.parse_args()
    failed = kills = stops = 0
    for seed in range(options.first, options.first + options.seeds):
        for shape in [options.shape] if options.shape else SHAPES:
            for ordered in (True, False):
                plan = Round(seed, shape, ordered, options.items)
                with tempfile.TemporaryDirectory() as folder:
                    outcome = play(Path(folder), plan)
                if outcome.end_seconds > END_SECONDS:
                    outcome.problems.append(f"the root ends only after {outcome.end_seconds:.1f} s")
                words = "; ".join(outcome.problems) or "exact"
                numbers = f"{outcome.kills} killed, {outcome.stops} stopped"
                end = f"ended {outcome.end_seconds:.2f} s after the last result"
                print(f"{plan}: {numbers}, {end}: {words}", flush=True)
                failed += bool(outcome.problems)
                kills, stops = kills + outcome.kills, stops + outcome.stops
    print(f"{kills:,} killed and {stops:,} stopped; {failed} rounds failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
