"""Ctrl-C at random moments: ``python -m tests.interrupts --times 100``.

At the start of a run that serves, while it runs, at its end, while errors are printed, while
volunteers join, and while pages are asked for. Each time it must end by the signal within 2 s,
with no traceback, and leave no process.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from .running import MOMENTS, interrupt

END_SECONDS = 2.0


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.interrupts", description=__doc__)
    parser.add_argument("--times", type=int, default=100, help="random moments of each kind")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    failed = 0
    for moment in MOMENTS:
        chance = random.Random(f"{options.seed} {moment}")
        slowest, problems = 0.0, list[str]()
        for number in range(options.times):
            with tempfile.TemporaryDirectory() as folder:
                outcome = interrupt(Path(folder), moment, chance)
            slowest = max(slowest, outcome.seconds)
            if outcome.seconds > END_SECONDS:
                outcome.problems.append(f"it ends only after {outcome.seconds:.1f} s")
            problems += [f"number {number}: {problem}" for problem in outcome.problems]
        failed += len(problems)
        print(f"{moment}: {options.times} times, slowest {slowest:.2f} s", flush=True)
        print(*problems, sep="\n", end="\n" if problems else "")
    print(f"{failed} problems, seed {options.seed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
