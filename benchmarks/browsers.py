"""How fast a browser computes, how soon, and with how much memory, as one Markdown table.

    python benchmarks/browsers.py [--quick] [--only NAME ...]

A headless Chromium volunteers for a root that has no workers of its own, on the same machine, with
functions in Python and in JavaScript. What it gets done is compared with a bare loop over the same
function in the same browser, in the same run. It takes about twelve minutes, with `--quick` about
two; then the figures only show that it works.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

import tabs
from chromium import describe_version
from machine import describe_machine
from probes import run_probe
from table import (
    BYTES,
    RATE,
    SECONDS,
    Case,
    Goal,
    Row,
    Section,
    Unit,
    choose_sections,
    parse_sections,
    print_sections,
)

LANGUAGES = {"javascript": "JavaScript", "python": "Python"}
NOOP = {
    "javascript": Goal("≥ 50 k/s", 50_000.0),
    "python": Goal("≥ 20 k/s", 20_000.0),
}
FIRST_VISIT = {"javascript": Goal("≤ 1.5 s", 1.5), "python": Goal("≤ 4 s", 4.0)}
SECOND_VISIT = {"javascript": Goal("≤ 1.5 s", 1.5), "python": Goal("≤ 2 s", 2.0)}
EFFICIENCY = Goal("≥ 95 %", 0.95)
WORKERS = (1, 2)
PAYLOAD_BYTES = 1_000_000
SPIN_ROUNDS = {"javascript": 1, "python": 3}
"""For one of the others' rounds: Python in WebAssembly varies from one second to the next."""

SHARE = Unit(True, lambda share: f"{share:.1%}")
MEGABYTES = Unit(True, lambda rate: f"{rate / 1e6:.3g} MB/s")


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        seconds: how long each steady state is.
        rounds: of each section, or three times as many.
    """

    seconds: float = 4.0
    rounds: int = 3


QUICK = Scale(0.5, 1)


def _name(workers: int) -> str:
    return "1 worker" if workers == 1 else f"{workers} workers"


def _square_section(language: str, scale: Scale) -> Section:
    bare = "bare loop"
    rows = {"bare": Row(bare, RATE)}
    for workers in WORKERS:
        rows[f"rate_{workers}"] = Row(f"a tab, {_name(workers)}", RATE, NOOP[language])
    title = f"no-op squares, {LANGUAGES[language]}"
    cases = [_probe(tabs.square, rows, language, scale.seconds)]
    return Section(f"noop-{language}", title, cases, scale.rounds, (bare,))


def _spin_section(language: str, scale: Scale) -> Section:
    rows = {}
    for workers in WORKERS:
        rows[f"bare_{workers}"] = Row(f"bare loops, {_name(workers)}", RATE)
    for workers in WORKERS:
        name = f"a tab, {_name(workers)}"
        rows[f"rate_{workers}"] = Row(name, RATE)
        # A machine of two cores has the root and the browser itself on the same two.
        of_one = "one bare loop" if workers == 1 else f"{workers} times one bare loop"
        rows[f"efficiency_{workers}"] = Row(f"the same, of {of_one}", SHARE, EFFICIENCY)
        if workers > 1:
            rows[f"share_{workers}"] = Row(f"the same, of {workers} bare loops at once", SHARE)
    title = f"items of 10 ms, {LANGUAGES[language]}"
    cases = [_probe(tabs.spin, rows, language, scale.seconds)]
    return Section(f"10ms-{language}", title, cases, scale.rounds * SPIN_ROUNDS[language])


def _visit_section(language: str, scale: Scale) -> Section:
    rows = {
        "first": Row("first visit", SECONDS, FIRST_VISIT[language]),
        "second": Row("second visit", SECONDS, SECOND_VISIT[language]),
    }
    title = f"from navigating to the first result, {LANGUAGES[language]}"
    return Section(f"start-{language}", title, [_probe(tabs.visit, rows, language)], scale.rounds)


def _memory_section(language: str, scale: Scale) -> Section:
    rows = {"empty": Row("an empty tab", BYTES)}
    for workers in WORKERS:
        rows[f"memory_{workers}"] = Row(f"a tab, {_name(workers)}", BYTES)
    title = f"memory of all renderer processes, {LANGUAGES[language]}"
    cases = [_probe(tabs.memory, rows, language, scale.seconds)]
    return Section(f"memory-{language}", title, cases, scale.rounds)


def _transfer_section(language: str, scale: Scale) -> Section:
    rows = {
        f"rate_{workers}": Row(f"a tab, {_name(workers)}, each way", MEGABYTES)
        for workers in WORKERS
    }
    title = f"values of 1 MB there and back, {LANGUAGES[language]}"
    cases = [_probe(tabs.transfer, rows, language, PAYLOAD_BYTES, scale.seconds)]
    return Section(f"transfer-{language}", title, cases, scale.rounds)


def _probe(probe: tabs.Probe, rows: Mapping[str, Row], *arguments: object) -> Case:
    return Case(rows, lambda: run_probe(probe, *map(str, arguments)))


def list_sections(scale: Scale) -> list[Section]:
    """All there is to measure, in the order of the table."""
    kinds = (_square_section, _spin_section, _visit_section, _memory_section, _transfer_section)
    return [make(language, scale) for make in kinds for language in LANGUAGES]


def main() -> int:
    """Measure, print the table, and return 1 where something has failed."""
    options = parse_sections(
        "Measure a browser that volunteers and print a Markdown table.",
        [section.key for section in list_sections(Scale())],
        "a short time, once: does it work?",
    )
    sections = choose_sections(list_sections(QUICK if options.quick else Scale()), options.only)
    if not sections:
        sys.stderr.write("no section has such a name; --help lists them\n")
        return 2
    started = time.perf_counter()
    machine = describe_machine("pando", "trio", "trio-websocket")
    print(f"{machine}, {describe_version()}; the browser on the same machine.", flush=True)
    failed = print_sections(sections, quick=options.quick)
    print(f"\nMeasured in {time.perf_counter() - started:.0f} s; medians of all rounds. A second")
    print("visit is one with the same profile, in a browser that was closed in between.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
