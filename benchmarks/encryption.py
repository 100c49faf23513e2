"""What encryption costs over one native volunteer, against an earlier checkout.

    python benchmarks/encryption.py --before CHECKOUT [--rounds N]

A root without workers and one volunteer, each a process, over the loopback: no-ops, values of
1 MB there and back, and the time from the volunteer's connection to the first result. Before and
after take turns, so that whatever else the machine does meets both; the table shows medians and
the median of the ratios of pairs, and the same for the earlier checkout with itself.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parents[1]
SECONDS = 3.0
ROOT = """
import itertools, sys, time
import pando

def same(x):
    return x

def items(value):
    ends = None
    while ends is None or time.perf_counter() < ends[0]:
        ends = ends or LIMIT
        yield value
LIMIT = [float("inf")]

def main():
    serve = pando.ServeOptions(port=0, listen="127.0.0.1")
    for value in (1, b"x" * 1_000_000):
        LIMIT[0] = float("inf")
        with pando.run(same, workers=0, serve=serve) as run:
            print(run.links[0], flush=True)
            results = run.map(items(value))
            started = time.perf_counter()
            next(results)
            first = time.perf_counter()
            warm = first + 1.0
            for _ in results:
                if time.perf_counter() > warm:
                    break
            began, cpu = time.perf_counter(), time.process_time()
            LIMIT[0] = began + SECONDS
            count = sum(1 for _ in results)
            seconds = time.perf_counter() - began
            print("figures", count / seconds, (time.process_time() - cpu) / count, flush=True)

main()
"""
VOLUNTEER = "import sys; from pando.cli.volunteer import main; sys.exit(main())"


def measure(checkout: Path, folder: Path) -> list[float]:
    """No-ops for each second, and values of 1 MB for each second."""
    script = folder / "root.py"
    script.write_text(ROOT.replace("SECONDS", str(SECONDS)))
    environment = {**os.environ, "PYTHONPATH": str(checkout), "HOME": str(folder)}
    rates: list[float] = []
    volunteer: subprocess.Popen[bytes] | None = None
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment
    ) as root:
        assert root.stdout is not None
        for line in root.stdout:
            if line.startswith("figures"):
                rates.append(float(line.split()[1]))
                assert volunteer is not None, "the link comes first"
                volunteer.wait()
            else:
                volunteer = subprocess.Popen(
                    [sys.executable, "-c", VOLUNTEER, line.strip(), "--workers=1", "--once"],
                    stderr=subprocess.DEVNULL,
                    cwd=folder,  # `-c` imports from there first
                    env=environment,
                )
    return rates


def main() -> None:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True, help="a checkout to compare with")
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    before, after, again = [], [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        measure(HERE, folder)
        for _ in range(options.rounds):
            before.append(measure(options.before, folder))
            after.append(measure(HERE, folder))
            again.append(measure(options.before, folder))
    print("| | before | after | after / before | before / before |\n|---|---|---|---|---|")
    for column, name in enumerate(("no-ops a second", "values of 1 MB a second")):
        cells = [f"{statistics.median(each[column] for each in rounds):,.0f}"
                 for rounds in (before, after)]  # fmt: skip
        for rounds in (after, again):
            ratios = [b[column] / a[column] for a, b in zip(before, rounds, strict=True)]
            cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})")
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
