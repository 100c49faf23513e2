"""What monitoring costs a run: no-ops with it and without, as the ratio of interleaved pairs.

    python benchmarks/monitoring.py [--rounds N] [--seconds S] [--without-page]

With: reports each 3 s, lines of JSON into a file, and the page open in Chromium. Without: no report
falls into the measured time, and nobody looks. Each is a process of its own; they take turns, and
runs without are compared with one another as well, which shows what chance does.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from chromium import PROGRAM, Chromium, open_chromium

HERE = Path(__file__).parents[1]
ROOT = """
import itertools, json, sys, time
import pando

def same(x):
    return x

def main(interval, seconds):
    serve = pando.ServeOptions(port=0, listen="127.0.0.1", reporting_interval=interval)
    with pando.run(same, workers=2, serve=serve) as run:
        results = run.map(itertools.count())
        for _ in itertools.islice(results, 200_000):
            pass
        print(run.links[0], flush=True)
        sys.stdin.readline()
        began, cpu = time.perf_counter(), time.process_time()
        ends = began + seconds
        count = 0
        for count, _ in enumerate(results, 1):
            if not count % 4096 and time.perf_counter() > ends:
                break
        passed = time.perf_counter() - began
        print(count / passed, (time.process_time() - cpu) / count, flush=True)

main(*map(float, sys.argv[1:]))
"""
LONG = 86_400.0
"""An interval that is never over."""


Figures = tuple[float, float]
"""Items a second, and processor seconds of the root's process for each item."""


def measure(folder: Path, seconds: float, chromium: Chromium | None, *, on: bool) -> Figures:
    """Measure one run, with monitoring or without."""
    script = folder / "root.py"
    script.write_text(ROOT)
    command = [sys.executable, str(script), str(3.0 if on else LONG), str(seconds)]
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE),
        "HOME": str(folder),
        "DEBUG": "pando:monitoring" if on else "",
    }
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
        ) as root,
    ):
        assert root.stdin is not None
        assert root.stdout is not None
        link = root.stdout.readline().partition("#")[0]
        if on and chromium is not None:
            chromium.open_tab(f"{link}monitoring")
        root.stdin.write("\n")
        root.stdin.flush()
        rate, cost = map(float, root.stdout.readline().split())
        if on and chromium is not None:
            chromium.close_tabs()
        root.kill()
    return rate, cost


def main() -> None:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--without-page", action="store_true", help="no page is open")
    options = parser.parse_args()
    off, on, again = list[Figures](), list[Figures](), list[Figures]()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        shows = PROGRAM is not None and not options.without_page
        chromium = stack.enter_context(open_chromium()) if shows else None
        measure(folder, options.seconds, chromium, on=True)
        for _ in range(options.rounds):
            off.append(measure(folder, options.seconds, chromium, on=False))
            on.append(measure(folder, options.seconds, chromium, on=True))
            again.append(measure(folder, options.seconds, chromium, on=False))
    page = "page open" if chromium is not None else "no page open"
    print(f"monitoring: log on, interval 3 s, {page}; {options.rounds} rounds\n")
    print("| | off | on | on / off | off / off |\n|---|---|---|---|---|")
    rows = (("no-ops a second", 1.0, ",.0f"), ("µs of the root for each", 1e6, ".2f"))
    for column, (name, scale, form) in enumerate(rows):
        cells = [
            format(scale * statistics.median(each[column] for each in rounds), form)
            for rounds in (off, on)
        ]
        for rounds in (on, again):
            ratios = [b[column] / a[column] for a, b in zip(off, rounds, strict=True)]
            cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})")
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
