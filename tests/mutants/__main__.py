"""Change the code in small ways, one at a time, and see whether its tests notice.

``python -m tests.mutants`` runs mutmut over all that `pyproject.toml` names in ``[tool.mutmut]``;
with names of modules, such as ``pando.scheduler.credit``, over these alone. It works in a copy.
It fails where fewer than `FLOOR` of the changes are noticed, where one survives that is not in
`accepted.toml`, and where something is accepted that does not survive.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
ACCEPTED = Path(__file__).with_name("accepted.toml")
FLOOR = 0.9
"""The part of the changes that the tests have to notice."""
COPIED = ("pando", "tests", "pyproject.toml")
LEFT_OUT = shutil.ignore_patterns("frontend", "static", "__pycache__", "v8.js")
NOTICED = {"killed", "timeout", "suspicious", "segfault", "caught by type check"}
MANGLED = re.compile(r"^(?P<module>[\w.]+)\.x(?:ǁ(?P<cls>\w+)ǁ|_)(?P<name>\w+)__mutmut_\d+$")
"""How mutmut calls the changes of a function, or of a method."""


@dataclass(frozen=True)
class Change:
    """A change that the tests have not noticed."""

    function: str
    was: str
    becomes: str

    def __str__(self) -> str:
        return f"{self.function}:\n    - {self.was}\n    + {self.becomes}"


@dataclass(frozen=True)
class Outcome:
    """How many changes ended how, and those that survived."""

    counts: Counter[str]
    survivors: list[Change]

    @property
    def noticed(self) -> float:
        """The part of the changes that the tests have noticed."""
        total = sum(self.counts.values())
        return sum(self.counts[status] for status in NOTICED) / total if total else 0.0


def run(names: list[str], processes: int) -> Outcome:
    """Run mutmut in a copy of the checkout.

    Args:
        names: modules; all that are configured where it is empty.
        processes: how many changes are tried at once.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, Path(folder, name), ignore=LEFT_OUT)
            else:
                shutil.copy(ROOT / name, folder)
        patterns = [f"{name}.*" for name in names]
        mutmut("run", "--max-children", str(processes), *patterns, folder=folder)
        lines = mutmut("results", "--all", "true", folder=folder).splitlines()
        results = dict(line.strip().rsplit(": ", 1) for line in lines if "__mutmut_" in line)
        tried = {name: status for name, status in results.items() if status != "not checked"}
        survivors = [
            describe(name, mutmut("show", name, folder=folder))
            for name, status in tried.items()
            if status not in NOTICED
        ]
        return Outcome(Counter(tried.values()), survivors)


def mutmut(*arguments: str, folder: str) -> str:
    """Call mutmut and return what it prints."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"mutmut {arguments[0]} fails:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def describe(name: str, difference: str) -> Change:
    """Name a change by its function and its lines, which stay when others are added."""
    found = MANGLED.match(name)
    function = name
    if found:
        function = ".".join(filter(None, found.group("module", "cls", "name")))
    removed, added = (
        " ".join(
            line[1:].strip()
            for line in difference.splitlines()
            if line.startswith(sign) and not line.startswith(sign * 3)
        )
        for sign in "-+"
    )
    return Change(function, removed, added)


def read_accepted(names: list[str]) -> dict[Change, str]:
    """Read the changes that may survive, with the reason for each."""
    entries = tomllib.loads(ACCEPTED.read_text("utf-8")).get("change", [])
    accepted = {
        Change(entry["function"], entry["was"], entry["becomes"]): entry["reason"]
        for entry in entries
    }
    chosen = tuple(f"{name}." for name in names) or ("",)
    return {change: why for change, why in accepted.items() if change.function.startswith(chosen)}


def judge(outcome: Outcome, accepted: dict[Change, str]) -> list[str]:
    """Say what is wrong with an outcome; nothing where all is well."""
    wrong = []
    if outcome.noticed < FLOOR:
        wrong.append(f"only {outcome.noticed:.1%} of the changes are noticed, not {FLOOR:.0%}")
    for change in outcome.survivors:
        if change not in accepted:
            wrong.append(f"survives, and is not accepted: {change}")
    for change in accepted.keys() - set(outcome.survivors):
        wrong.append(f"is accepted, but does not survive: {change}")
    return wrong


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", help="such as pando.scheduler.credit (default: all)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    outcome = run(options.modules, options.processes)
    print(f"{outcome.noticed:.1%} noticed:", dict(outcome.counts))
    wrong = judge(outcome, read_accepted(options.modules))
    print(*wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
