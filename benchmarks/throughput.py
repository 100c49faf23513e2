"""How fast Pando is, side by side with others who do the same, as one Markdown table.

    python benchmarks/throughput.py [--quick] [--only NAME ...]

All contenders of a section are measured one after the other in each of several rounds, so that
whatever else the machine does meets all of them. Ratios say how many times as good as the
section's reference somebody is. Contenders that are slow with small items are given fewer of them.
It takes about six minutes, with `--quick` less than one; then the figures only show that it works.
"""

from __future__ import annotations

import compileall
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import commands
import contenders
import probes
from contenders import Contender
from machine import describe_machine
from table import (
    BYTES,
    RATE,
    SECONDS,
    Case,
    Goal,
    Row,
    Section,
    choose_sections,
    parse_sections,
    print_sections,
)
from workloads import WORKERS, Workload, payloads, spins_1ms, spins_50ms, squares

import pando

NO_SLOWER = Goal("≥ Pool.imap", 1.0, of_ratio=True)
NOT_MUCH_SLOWER = Goal("≥ 0.7 of Pool.imap", 0.7, of_ratio=True)
SHORT_ITEMS = Goal("≥ 0.97", 0.97, of_ratio=True)
LONG_ITEMS = Goal("≥ 0.99", 0.99, of_ratio=True)
FIRST_RESULT = Goal("< 0.3 s", 0.3)
HELP = Goal("< 0.15 s", 0.15)
GROWTH = Goal("< 20 MB", 20e6)
LINES = Goal("> 300 k/s", 300_000)

POOL_NAMES = tuple(pool.name for pool in contenders.POOLS)
INDEPENDENT = f"{WORKERS} independent processes"
SLOW_ITEMS = 40
"""Long items that peers are given; it takes no more to see their efficiency."""


@dataclass(frozen=True)
class Scale:
    """How much is measured; `--quick` measures a twentieth, once."""

    share: float = 1.0
    rounds_limit: int = 99

    def count(self, full: int) -> int:
        """So many items of a full run."""
        return max(20, round(full * self.share))

    def rounds(self, full: int) -> int:
        """So many rounds of a full run."""
        return min(full, self.rounds_limit)


QUICK = Scale(0.05, 1)

# ---- cases ----


def _rate_case(
    name: str, count: int, seconds: Callable[[], float], goal: Goal | None = None
) -> Case:
    return Case({"rate": Row(name, RATE, goal)}, lambda: {"rate": count / seconds()})


def _warm(
    contender: Contender, work: Workload, goal: Goal | None = None, *, full: Workload | None = None
) -> Case:
    """A measurement with warm workers; `full` is what others are given, should that be more."""
    name = contender.name + _less(work, full)
    return _rate_case(name, len(work.items), lambda: contender.time_warm(work), goal)


def _cold(
    contender: Contender,
    work: Workload,
    goal: Goal | None = None,
    *,
    full: Workload | None = None,
    note: str = "",
) -> Case:
    """A measurement with start-up and end."""
    name = contender.name + note + _less(work, full)
    return _rate_case(name, len(work.items), lambda: contender.time_cold(work), goal)


def _less(work: Workload, full: Workload | None) -> str:
    if full is None or len(work.items) == len(full.items):
        return ""
    return f" ({len(work.items):,} items)"


def _probe(probe: Callable[..., probes.Figures], *arguments: str, rows: Mapping[str, Row]) -> Case:
    return Case(rows, lambda: probes.run_probe(probe, *arguments))


# ---- (a) no-op squares ----

PEERS = (*contenders.POOLS, *contenders.EXECUTORS, *contenders.OTHERS)


def _noop_sections(scale: Scale) -> list[Section]:
    sections = []
    for full, rounds, name in ((200_000, 5, "200k"), (1_000_000, 3, "1m")):
        work = squares(scale.count(full))
        # Who is slow is measured once, with few items; with more it would say the same.
        peers = [peer for peer in PEERS if peer.noop_limit is None or name == "200k"]
        works = [(peer, work.first(peer.noop_limit or full)) for peer in peers]
        title = f"{len(work.items):,} no-op squares"
        warm = [
            _warm(contenders.PANDO_BATCHES, work, NO_SLOWER),
            _warm(contenders.PANDO_ITEMS, work, NO_SLOWER),
            *(_warm(peer, part, full=work) for peer, part in works),
            _warm(contenders.SEQUENTIAL, work),
        ]
        cold = [
            _cold(contenders.PANDO_MAP, work, NOT_MUCH_SLOWER),
            _cold(contenders.PANDO_MAP_OF_GENERATOR, work),
            _cold(contenders.PANDO_BATCHES, work),
            *(_cold(peer, part, full=work) for peer, part in works),
            _cold(contenders.SPAWNING_POOL, work),
        ]
        turns = scale.rounds(rounds)
        sections += [
            Section(f"noop-{name}-warm", f"(a) {title}, warm workers", warm, turns, POOL_NAMES),
            Section(f"noop-{name}-start", f"(a) {title}, with start-up", cold, turns, POOL_NAMES),
        ]
    return sections


# ---- (b), (c) items that take time ----


def _timed_section(
    key: str, title: str, work: Workload, peers_work: Workload, goal: Goal, rounds: int
) -> Section:
    independent = _rate_case(
        INDEPENDENT, len(work.items), lambda: contenders.time_independent(work)
    )
    # With fewer chunks than this some worker would have nothing to do, which is not worth waiting.
    peers = [peer for peer in PEERS if (peer.chunksize or 1) * WORKERS * 2 <= len(peers_work.items)]
    cases = [
        independent,
        _warm(contenders.PANDO_BATCHES, work, goal),
        _cold(contenders.PANDO_MAP, work, note=", with start-up"),
        *(_warm(peer, peers_work, full=work) for peer in peers),
        _cold(contenders.POOLS[0], peers_work, full=work, note=", with start-up"),
        _warm(contenders.SEQUENTIAL, work.first(max(4, len(work.items) // 10)), full=work),
    ]
    return Section(key, title, cases, rounds, (INDEPENDENT,))


def _timed_sections(scale: Scale) -> list[Section]:
    short = spins_1ms(scale.count(2_000))
    long = spins_50ms(scale.count(200))
    rounds = scale.rounds(3)
    return [
        _timed_section(
            "1ms",
            f"(b) {len(short.items):,} items of 1 ms, warm workers",
            short,
            short,
            SHORT_ITEMS,
            rounds,
        ),
        _timed_section(
            "50ms",
            f"(c) {len(long.items):,} items of 50 ms, warm workers",
            long,
            long.first(SLOW_ITEMS),
            LONG_ITEMS,
            rounds,
        ),
    ]


# ---- (d) items with much in them ----


def _payload_sections(scale: Scale) -> list[Section]:
    work = payloads(scale.count(5_000))
    title = f"(d) {len(work.items):,} items of 10 KB there and back"
    warm = [
        _warm(contenders.PANDO_BATCHES, work),
        _warm(contenders.PANDO_ITEMS, work),
        *(_warm(peer, work) for peer in PEERS),
        _warm(contenders.SEQUENTIAL, work),
    ]
    cold = [_cold(contenders.PANDO_MAP, work), *(_cold(peer, work) for peer in contenders.POOLS)]
    rounds = scale.rounds(3)
    return [
        Section("10kb-warm", f"{title}, warm workers", warm, rounds, POOL_NAMES),
        Section("10kb-start", f"{title}, with start-up", cold, rounds, POOL_NAMES),
    ]


# ---- the command ----


def _command_sections(scale: Scale) -> list[Section]:
    count = scale.count(1_000_000)
    few = scale.count(200)
    found, _ = commands.list_commands()
    cases = []
    for command in found:
        lines = few if command.per_line else count
        name = f"{command.name}, {few} lines" if command.per_line else command.name
        goal = LINES if command.name.startswith("pando") else None
        cases.append(_rate_case(name, lines, _line_timer(command, lines), goal))
    sections = [
        Section(
            "command",
            f"`seq {count} \\| ...`, whole command",
            cases,
            scale.rounds(3),
            (found[0].name,),
        )
    ]
    if pando := commands.find_pando():
        sections.append(_help_section([*pando, "--help"], scale))
    return sections


def _line_timer(command: commands.LineCommand, count: int) -> Callable[[], float]:
    return lambda: commands.time_lines(command, count)


def _help_section(arguments: list[str], scale: Scale) -> Section:
    bare = [sys.executable, "-c", "pass"]
    cases = [
        Case(
            {"time": Row("pando --help", SECONDS, HELP)},
            lambda: {"time": commands.time_command(arguments)},
        ),
        Case(
            {"time": Row("python -c pass", SECONDS)}, lambda: {"time": commands.time_command(bare)}
        ),
    ]
    return Section("help", "time of the whole command", cases, scale.rounds(10))


# ---- start-up and memory ----


def _first_result_section(scale: Scale) -> Section:
    def case(
        name: str, probe: Callable[..., probes.Figures], *arguments: str, goal: Goal | None = None
    ) -> Case:
        return _probe(probe, *arguments, rows={"seconds": Row(name, SECONDS, goal)})

    cases = [
        case(
            "pando.map, imported before",
            probes.first_result_of_pando,
            "imported",
            goal=FIRST_RESULT,
        ),
        case(
            "pando.map, its import included",
            probes.first_result_of_pando,
            "fresh",
            goal=FIRST_RESULT,
        ),
        *(
            case(f"Pool.imap, {method}", probes.first_result_of_pool, method)
            for method in _start_methods()
        ),
        case("ProcessPoolExecutor.map", probes.first_result_of_executor),
    ]
    return Section("first-result", "from the call to the first result", cases, scale.rounds(9))


def _start_methods() -> list[str]:
    known = multiprocessing.get_all_start_methods()
    return [method for method in ("fork", "spawn") if method in known]


def _worker_section(scale: Scale) -> Section:
    def case(name: str, probe: Callable[..., probes.Figures], *arguments: str) -> Case:
        return _probe(
            probe,
            *arguments,
            rows={
                "seconds": Row(f"{name}: start-up", SECONDS),
                "rss": Row(f"{name}: resident memory", BYTES),
                "pss": Row(f"{name}: its share of it (PSS)", BYTES),
            },
        )

    cases = [
        case("pando", probes.worker_of_pando),
        *(case(f"Pool, {method}", probes.worker_of_pool, method) for method in _start_methods()),
        case("bare python", probes.worker_of_python),
    ]
    return Section("worker", "one worker process", cases, scale.rounds(5))


def _memory_section(scale: Scale) -> Section:
    count = scale.count(10_000_000)
    fewer = max(3 * probes.SETTLING_ITEMS, scale.count(2_000_000))

    def case(
        name: str,
        probe: Callable[..., probes.Figures],
        pace: str,
        count: int,
        goal: Goal | None = None,
    ) -> Case:
        name = f"{name}, {pace} consumer, {count / 1e6:g} M items"
        return _probe(
            probe,
            pace,
            str(count),
            rows={
                "root": Row(f"{name}: growth of the root", BYTES, goal),
                "total": Row(f"{name}: growth of all processes", BYTES, goal),
                "peak": Row(f"{name}: peak of all processes", BYTES),
            },
        )

    cases = [
        case("pando.map", probes.growth_of_pando, "fast", count, GROWTH),
        case("pando.map", probes.growth_of_pando, "slow", count, GROWTH),
        case("Pool.imap, chunksize 4096", probes.growth_of_pool, "slow", fewer),
    ]
    return Section("memory", "memory from item 100,000 on, endless generator", cases, 1)


# ---- the whole ----


def list_sections(scale: Scale) -> list[Section]:
    """All there is to measure, in the order of the table."""
    return [
        *_noop_sections(scale),
        *_timed_sections(scale),
        *_payload_sections(scale),
        *_command_sections(scale),
        _first_result_section(scale),
        _worker_section(scale),
        _memory_section(scale),
    ]


def describe_conditions() -> str:
    """When, where and how it is measured, in one line."""
    return (
        f"{describe_machine('pando', 'trio', 'joblib', 'mpire')}; {WORKERS} workers, "
        f"multiprocessing by {multiprocessing.get_context().get_start_method()}."
    )


def list_skipped() -> list[str]:
    """Contenders that are not installed here."""
    return [*contenders.MISSING, *commands.list_commands()[1]]


def main() -> int:
    """Measure, print the table, and return 1 where a contender has failed."""
    options = parse_sections(
        "Measure Pando side by side with others and print a Markdown table.",
        [section.key for section in list_sections(Scale())],
        "a twentieth of the items, one round: does it work?",
    )
    # Worker processes of all kinds import the functions from here.
    here = str(Path(__file__).resolve().parent)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    # An installed package comes compiled; a checkout does not where Python may not write.
    compileall.compile_dir(Path(pando.__file__).parent, quiet=1)
    scale = QUICK if options.quick else Scale()
    sections = choose_sections(list_sections(scale), options.only)
    if not sections:
        sys.stderr.write("no section has such a name; --help lists them\n")
        return 2
    return print_table(sections, quick=options.quick)


def print_table(sections: list[Section], *, quick: bool) -> int:
    """Measure the sections and print each as soon as it is done."""
    started = time.perf_counter()
    print(describe_conditions(), flush=True)
    failed = print_sections(sections, quick=quick)
    print(f"\nMeasured in {time.perf_counter() - started:.0f} s. Medians of all rounds; a ratio is")
    print("the median of the rounds' ratios to the section's reference: the best Pool.imap in (a)")
    print(f"and (d), {INDEPENDENT} in (b) and (c), the plain loop for the command.")
    if skipped := list_skipped():
        print(f"Not installed here, so left out: {', '.join(skipped)}.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
