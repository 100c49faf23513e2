"""What speculation costs runs in which no device is slow: ``python benchmarks/speculation.py``.

    python benchmarks/speculation.py [--pairs N] [--seconds S]

A root with one worker and two native volunteers with one each, over the loopback: no-ops and items
of 1 ms. With and without speculation take turns, so that whatever else the machine does meets both;
the table shows the median of the pairs' ratios, and the same without speculation both times.
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
WARM_SECONDS = 2.0
ITEMS = {"no-ops a second": 0.0, "items of 1 ms a second": 0.001}
VOLUNTEERS = 2
ROOT = """
import sys, time
import pando

ITEM, WARM, SECONDS, WORKERS = map(float, sys.argv[1:5])
ends = [float("inf")]

def work(x):
    if ITEM:
        time.sleep(ITEM)
    return x

def items():
    n = 0
    while time.perf_counter() < ends[0]:
        yield n
        n += 1

def main():
    serve = pando.ServeOptions(port=0, listen="127.0.0.1")
    with pando.run(work, workers=1, serve=serve, speculate=sys.argv[5] == "on") as run:
        print(run.links[0], flush=True)
        results = run.map(items())
        look, warm = 0.0, float("inf")
        for _ in results:
            now = time.perf_counter()
            if now > warm:
                break
            if now > look and warm == float("inf"):
                look = now + 0.1
                if run.statistics().workers == WORKERS:
                    warm = now + WARM
        began = time.perf_counter()
        ends[0] = began + SECONDS
        count, doubled = 0, 0
        for _ in results:
            count += 1
            if (now := time.perf_counter()) > look:
                look = now + 0.25
                doubled = sum(each.doubled for each in run.statistics().streams)
        seconds = time.perf_counter() - began
        print("figures", count / seconds, doubled, flush=True)

if __name__ == "__main__":
    main()
"""
VOLUNTEER = "import sys; from pando.cli.volunteer import main; sys.exit(main())"


def rate(item: float, speculates: bool, seconds: float, folder: Path) -> tuple[float, int]:
    """Return a run's results a second, when all its workers compute, and items lent twice."""
    script = folder / "root.py"
    script.write_text(ROOT)
    given = [item, WARM_SECONDS, seconds, 1 + VOLUNTEERS, "on" if speculates else "off"]
    environment = {**os.environ, "PYTHONPATH": str(HERE), "HOME": str(folder)}
    volunteers: list[subprocess.Popen[bytes]] = []
    with subprocess.Popen(
        [sys.executable, str(script), *map(str, given)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as root:
        assert root.stdout is not None
        link = root.stdout.readline().strip()
        for number in range(VOLUNTEERS):
            home = folder / f"home {number}"  # each is a device of its own
            home.mkdir(exist_ok=True)
            volunteers.append(
                subprocess.Popen(
                    [sys.executable, "-c", VOLUNTEER, link, "--workers=1", "--once"],
                    stderr=subprocess.DEVNULL,
                    cwd=home,  # `-c` imports from there first
                    env={**environment, "HOME": str(home)},
                )
            )
        figures = root.stdout.readline()
    for volunteer in volunteers:
        volunteer.wait()
    _, results, doubled = figures.split()
    return float(results), int(doubled)


def main() -> None:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    options = parser.parse_args()
    head = ("", "without", "with", "lent twice with", "with / without", "without / without")
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, item in ITEMS.items():
            rate(item, True, options.seconds, folder)  # a warm-up
            rounds, doubled = [], []
            for number in range(options.pairs):
                order = (False, True, False) if number % 2 else (True, False, False)
                both = [rate(item, each, options.seconds, folder) for each in order]
                with_it, twice = both.pop(order.index(True))
                doubled.append(twice)
                rounds.append((with_it, *(each for each, _ in both)))
            on, off = ([each[column] for each in rounds] for column in (0, 1))
            cells = [f"{statistics.median(off):,.0f}", f"{statistics.median(on):,.0f}"]
            cells.append(f"{statistics.median(doubled):,.0f}")
            for above, below in ((0, 1), (2, 1)):
                ratios = [each[above] / each[below] for each in rounds]
                spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
                cells.append(f"{statistics.median(ratios):.3f} ({spread})")
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
