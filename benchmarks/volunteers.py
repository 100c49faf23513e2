"""How many volunteers one root can have, and how fast, as one Markdown table.

    python benchmarks/volunteers.py [--quick] [--only NAME ...]

A thousand light volunteers (see `light.py`) join one root at once over real sockets, in a tree and
in a star, and compute items of one second each. Then native volunteers compute squares, which are
as good as no work, for a root that has no workers of its own. It takes less than five minutes, with
`--quick` less than one; then the figures only show that it works.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import swarm
from machine import describe_machine
from probes import run_probe
from table import (
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

ORIGINAL = "the original tool's best, 2 volunteers, batches of 100"
ORIGINAL_RATE = 14_700.0
NOOP = Goal("≥ 100 times the original", 100.0, of_ratio=True)

COUNT = Unit(True, lambda count: f"{count:,.0f}")
FEW = Unit(False, lambda count: f"{count:,.0f}")
KILOBYTES = Unit(False, lambda size: f"{size / 1e3:.1f} KB")
MILLISECONDS = Unit(False, lambda seconds: f"{seconds * 1e3:.2f} ms")
MICROSECONDS = Unit(False, lambda seconds: f"{seconds * 1e6:.2f} µs")
SHARE = Unit(True, lambda share: f"{share:.1%}")
LOAD = Unit(False, lambda load: f"{load:.0%} of a core")


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        light: light volunteers in all.
        processes: that they are divided among.
        steady_seconds: how long light volunteers compute in the steady state.
        native: how many native volunteers, in turn.
        noop_seconds: how long native volunteers are measured.
        rounds: of native volunteers; light ones join once.
        dask_items: tasks of `dask.distributed`, which is slow with small ones.
    """

    light: int = 1000
    processes: int = 4
    steady_seconds: int = 20
    native: tuple[int, ...] = (1, 2, 4)
    noop_seconds: int = 4
    rounds: int = 3
    dask_items: int = 10_000


QUICK = Scale(50, 2, 4, (1, 2), 1, 1, 1_000)

# ---- light volunteers ----


def _light_section(
    key: str, title: str, scale: Scale, degree: int, memory: Goal, *, joining: bool
) -> Section:
    """Light volunteers join a root of some degree; `joining` says whether its goals are judged."""
    everybody = Goal(f"{scale.light:,}", scale.light)
    rows = {
        "computing": Row("volunteers that compute in the end", COUNT, everybody),
        "seconds": Row(
            "until all compute (the original: 24 to 54 s)",
            SECONDS,
            Goal("< 10 s", 10.0) if joining else None,
        ),
        "turned_away": Row("volunteers turned away for good", FEW, Goal("0", 0.0)),
        "refused": Row("times that one was told to come again later", FEW),
        "children": Row("children of the root", FEW, Goal(f"{degree:,}", degree)),
        "join_cpu": Row("root's processor time to take one in", MILLISECONDS),
        "rate": Row("results of 1 s each", RATE),
        "rate_share": Row(
            f"the same, of {scale.light:,}/s (the original: 54 %)",
            SHARE,
            Goal("≥ 98 %", 0.98) if joining else None,
        ),
        "result_cpu": Row("root's processor time for a result", MICROSECONDS),
        "cpu": Row("root's load", LOAD),
        "light_cpu": Row("load of all volunteers together", LOAD),
        "memory": Row("root's memory for each", KILOBYTES, memory),
        "end": Row("from the run's end until the last one has gone", SECONDS),
    }
    arguments = (scale.light, scale.processes, degree, scale.steady_seconds)
    title = f"{scale.light:,} light volunteers, {title}"
    return Section(key, title, [_probe(swarm.join_light, rows, *arguments)], 1)


def _probe(probe: swarm.Probe, rows: Mapping[str, Row], *arguments: int) -> Case:
    return Case(rows, lambda: run_probe(probe, *map(str, arguments)))


# ---- volunteers as they are ----


def _noop_section(scale: Scale) -> Section:
    cases = [Case({"rate": Row(ORIGINAL, RATE)}, lambda: {"rate": ORIGINAL_RATE})]
    for volunteers in scale.native:
        name = f"pando-volunteer of one worker: {volunteers}"
        rows = {
            "rate": Row(name, RATE, NOOP),
            "item_cpu": Row(f"{name}: root's processor time for an item", MICROSECONDS),
        }
        cases.append(_probe(swarm.square_with_native, rows, volunteers, scale.noop_seconds))
    if _has_dask():
        for workers in scale.native:
            rows = {"rate": Row(f"dask.distributed, {workers} workers", RATE)}
            cases.append(_probe(swarm.square_with_dask, rows, workers, scale.dask_items))
    title = "no-op squares, a root without workers"
    return Section("noop", title, cases, scale.rounds, (ORIGINAL,))


def _has_dask() -> bool:
    return importlib.util.find_spec("distributed") is not None


# ---- the whole ----


def list_sections(scale: Scale) -> list[Section]:
    """All there is to measure, in the order of the table."""
    return [
        _light_section("tree", "degree 10", scale, 10, Goal("< 60 KB", 60e3), joining=True),
        _light_section(
            "star", "a star", scale, scale.light, Goal("< 150 KB", 150e3), joining=False
        ),
        _noop_section(scale),
    ]


def main() -> int:
    """Measure, print the table, and return 1 where something has failed."""
    options = parse_sections(
        "Measure runs with many volunteers and print a Markdown table.",
        [section.key for section in list_sections(Scale())],
        "few volunteers, a short time: does it work?",
    )
    # Volunteers and their workers import the functions from here.
    here = str(Path(__file__).resolve().parent)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    sections = choose_sections(list_sections(QUICK if options.quick else Scale()), options.only)
    if not sections:
        sys.stderr.write("no section has such a name; --help lists them\n")
        return 2
    started = time.perf_counter()
    machine = describe_machine("pando", "trio", "websockets", "distributed")
    print(f"{machine}; volunteers on the same machine.", flush=True)
    failed = print_sections(sections, quick=options.quick)
    print(f"\nMeasured in {time.perf_counter() - started:.0f} s. Light volunteers join once; the")
    print("others are medians of all rounds, and the ratio is to the original tool's best.")
    if not _has_dask():
        print("Not installed here, so left out: dask.distributed.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
