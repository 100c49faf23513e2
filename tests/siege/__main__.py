"""All that hostile devices and strangers do, beside an honest run: ``python -m tests.siege``.

For each row an honest run of a root and a volunteer is measured before, beside and after the
attack. What it keeps of its rate is printed (the goal is 95 %); at the end its output must be
exact, which decides the exit status.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import trio

from .rows import ROWS, STRANGERS_OF_TLS, attack_for
from .running import honest_run, kept

GOAL = 0.95


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.siege", description=__doc__)
    parser.add_argument("rows", nargs="*", help=f"only these, of: {', '.join(ROWS)}")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--attack", nargs=3, metavar=("ROW", "PORT", "SECONDS"))
    options = parser.parse_args()
    if options.attack:
        row, port, seconds = options.attack
        trio.run(attack_for, row, int(port), float(seconds))
        return 0
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"no such row: {', '.join(unknown)}")
    rows = options.rows or list(ROWS)
    problems = [
        *besiege([row for row in rows if row not in STRANGERS_OF_TLS], options.seconds),
        *besiege([row for row in rows if row in STRANGERS_OF_TLS], options.seconds, tls=True),
    ]
    print("; ".join(problems) or "the output is exact")
    return 1 if problems else 0


def besiege(rows: list[str], seconds: float, *, tls: bool = False) -> list[str]:
    """Attack one honest run by each row, print what it keeps, and return what is wrong."""
    if not rows:
        return []
    with tempfile.TemporaryDirectory() as folder, honest_run(Path(folder), tls=tls) as run:
        for row in rows:
            part = kept(run, row, seconds)
            missed = "" if part >= GOAL else f"  (under the goal of {GOAL:.0%})"
            print(f"{row:30} keeps {part:6.1%}{missed}", flush=True)
        return run.finish()


if __name__ == "__main__":
    sys.exit(main())
