"""What sending a function costs: the start of a run, and its size, with modules and with data.

    python benchmarks/sending.py [--before CHECKOUT] [--rounds N]

Each measurement is a script of its own, run in turn for this checkout and for an earlier one, so
that whatever else the machine does meets both; the table shows medians with the least of them, and
medians of the ratios of pairs. Modules are compiled before, as they are where Pando is installed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parents[1]
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
}
MODULES = 50
FIRST = """
import time, pando
{setup}
started = time.perf_counter()
results = iter(pando.map({function}, range({items}), workers=2, serve={serve}))
next(results)
first = time.perf_counter() - started
for _ in results: pass
print(first, time.perf_counter() - started)
"""
SIZE = """
import time
{setup}
started = time.perf_counter()
from pando.functions.serialized import serialize
made = serialize({function})
exact = time.perf_counter() - started
portable = made.portable()
print(len(made.exact()), exact, len(portable), time.perf_counter() - started - exact)
"""
SQUARE = "def square(x): return x * x"
ONE = "import own_0"
ALL = "\n".join(f"import own_{number}" for number in range(MODULES))
USES_ALL = f"{ALL}\ndef uses(x): return x" + "".join(f" + own_{n}.f(x)" for n in range(MODULES))
FLOATS = "data = [float(n) for n in range(3_000_000)]\ndef reads(x): return data[x]"
BYTES = "data = bytes(24_000_000)\ndef reads(x): return data[x]"
ARRAY = "import numpy\ndata = numpy.zeros(3_000_000)\ndef reads(x): return float(data[x])"
MODULE = (
    "factor = 2\ntable = {'a': [1, 2]}\n\ndef f(x):\n    return x * factor + table['a'][0]\n" * 5
)
CASES = {
    "no-op": (SQUARE, "square", 1),
    "1 module of one's own": (ONE, "own_0.f", 1),
    f"{MODULES} modules": (USES_ALL, "uses", 1),
    "24 MB: 3,000,000 floats": (FLOATS, "reads", 1),
    "24 MB: bytes": (BYTES, "reads", 1),
    "24 MB: a NumPy array": (ARRAY, "reads", 1),
    "1,000,000 no-ops": (SQUARE, "square", 1_000_000),
}


def run(checkout: Path, folder: Path, script: str) -> list[float]:
    """The figures that a script prints, with the Pando of a checkout."""
    path = folder / "script.py"
    path.write_text(script)
    done = subprocess.run(
        [sys.executable, str(path)],
        env={**ENVIRONMENT, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return [float(figure) for figure in done.stdout.split()]


def main() -> None:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="a checkout to compare with")
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for number in range(MODULES):
            (folder / f"own_{number}.py").write_text(MODULE)
        print_starts(folder, options.before, options.rounds)
        print_sizes(folder)


def print_starts(folder: Path, before: Path | None, rounds: int) -> None:
    """The first result and the whole of a run, after the import."""
    print(
        "| function | serves | first result | all | first, before | ratio of firsts (before / now) "
        "| ratio of all |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, (setup, function, items) in CASES.items():
        for serve in (False, True):
            if serve and name != "no-op":
                continue
            script = FIRST.format(setup=setup, function=function, items=items, serve=serve)
            now, then = [], []
            for checkout in (HERE, before):  # compiles what is imported
                if checkout is not None:
                    run(checkout, folder, script)
            for _ in range(rounds if "24 MB" not in name else max(3, rounds // 4)):
                if before is not None:
                    then.append(run(before, folder, script))
                now.append(run(HERE, folder, script))
            cells = [*map(_seconds, zip(*now, strict=True)), "", "", ""]
            if then:
                cells[2] = _seconds([each[0] for each in then])
                for column in (0, 1):
                    ratios = [b[column] / n[column] for b, n in zip(then, now, strict=True)]
                    cells[3 + column] = f"{statistics.median(ratios):.2f}"
            print(f"| {name} | {'yes' if serve else 'no'} | {' | '.join(cells)} |", flush=True)


def _seconds(measured: Iterable[float]) -> str:
    found = sorted(measured)
    return f"{statistics.median(found):.3f} s ({found[0]:.3f})"


def print_sizes(folder: Path) -> None:
    """What the two forms take."""
    print("\n| function | exact | made in | portable | made in |\n|---|---|---|---|---|")
    for name, (setup, function, _) in list(CASES.items())[:-1]:
        script = SIZE.format(setup=setup, function=function)
        rows = [run(HERE, folder, script) for _ in range(3)]
        exact, seconds, portable, more = (
            statistics.median(column) for column in zip(*rows, strict=True)
        )
        cells = [f"{exact:,.0f} B", f"{seconds:.3f} s", f"{portable:,.0f} B", f"{more:.3f} s"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
