"""What trust costs over one volunteer, against an earlier checkout.

    python benchmarks/encryption.py --before CHECKOUT [--rounds N] [--only native|tab]

A root without workers and one volunteer, each a process, over the loopback: no-ops, and values of
1 MB there and back. The volunteer is a native one, with which everything is encrypted, and a tab
of a headless Chromium on plain http, where the handshake alone is new. Each checkout serves its
own page: CHECKOUT needs `pando/web/static` as built from its own sources. Before and after take
turns, so that whatever else the machine does meets both; the table shows medians and the median
of the ratios of pairs, and the same for the earlier checkout with itself.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import tabs
from chromium import open_chromium

SECONDS = 3.0
PAYLOAD_BYTES = 1_000_000
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
    for value in (1, b"x" * PAYLOAD_BYTES):
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


def measure_native(checkout: Path, folder: Path) -> list[float]:
    """No-ops a second, and values of 1 MB a second, with one native volunteer."""
    script = folder / "root.py"
    program = ROOT.replace("SECONDS", str(SECONDS)).replace("PAYLOAD_BYTES", str(PAYLOAD_BYTES))
    script.write_text(program)
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


def measure_tab(checkout: Path, folder: Path) -> list[float]:
    """The same with a tab of one worker, in a new browser; the function is in JavaScript."""
    rates = []
    for function, item in (("square", "count"), ("echo", f"bytes:{PAYLOAD_BYTES}")):
        with (
            open_chromium() as chromium,
            tabs.volunteering(chromium, "javascript", function, item, 1, checkout) as root,
        ):
            rates.append(root.measure(SECONDS))
    return rates


Measure = Callable[[Path, Path], list[float]]
VOLUNTEERS: dict[str, Measure] = {"native": measure_native, "tab": measure_tab}


def compare(measure: Measure, name: str, earlier: Path, rounds: int) -> None:
    """Print the rows of one kind of volunteer."""
    before, after, again = [], [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        measure(tabs.HERE, folder)
        for _ in range(rounds):
            before.append(measure(earlier, folder))
            after.append(measure(tabs.HERE, folder))
            again.append(measure(earlier, folder))
    for column, what in enumerate(("no-ops a second", "values of 1 MB a second")):
        cells = [f"{statistics.median(each[column] for each in rates):,.0f}"
                 for rates in (before, after)]  # fmt: skip
        for rates in (after, again):
            ratios = [b[column] / a[column] for a, b in zip(before, rates, strict=True)]
            cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})")
        print(f"| {name}: {what} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--before", type=Path, required=True, help="a checkout to compare with")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--only", choices=list(VOLUNTEERS), help="one kind of volunteer")
    options = parser.parse_args()
    print("| | before | after | after / before | before / before |\n|---|---|---|---|---|")
    for name in [options.only] if options.only else VOLUNTEERS:
        compare(VOLUNTEERS[name], name, options.before.resolve(), options.rounds)


if __name__ == "__main__":
    main()
