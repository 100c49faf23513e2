"""More of the rooms' simulator than the tests run: ``python -m tests.server --seeds 1000``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .simulation import simulate


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.server", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="random courses to play")
    parser.add_argument("--first", type=int, default=0, help="the first one's seed")
    options = parser.parse_args(arguments)
    delivered = 0
    for seed in range(options.first, options.first + options.seeds):
        try:
            delivered += simulate(seed).delivered
        except BaseException:
            print(f"fails: python -m tests.server --seeds 1 --first {seed}")
            raise
    print(
        f"{options.seeds:,} seeds played, from {options.first} on: {delivered:,} parts delivered, "
        "none lost, doubled or mixed up"
    )


if __name__ == "__main__":
    main()
