"""Trees and links over WebRTC beside those over WebSockets, as one Markdown table.

    python benchmarks/webrtc.py [--quick] [--only NAME ...] [--rounds N]

All on one machine, and each round measures both. Light volunteers (see `light.py`), real ones as
processes, and tabs in Chromium join a root, all at once; one link carries items, beside bare data
channels; and parents end, whose children look for others. A round takes about six minutes. With
`--quick` all is smaller, once; then the figures only show that it works.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import channels
import direct
import joining_tabs
import two_tabs
from chromium import describe_version
from machine import describe_machine
from probes import Figures, run_probe
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

ROUNDS = 3
WEBRTC, WEBSOCKET = "webrtc", "websocket"
NAMES = {WEBRTC: "WebRTC", WEBSOCKET: "WebSocket"}
DEGREE = 10
JOINED = Goal("≤ 10 s, in each round", 10.0, in_every_round=True)
TABS_JOINED = Goal("≤ 5 s", 5.0)
LINK = Goal("≥ 70 %", 0.7)
BELOW = {
    "wait": ("wait for 10 ms", Goal("≥ 95 %", 0.95)),
    "compute": ("compute", Goal("≥ 97 %", 0.97)),
}
SILENCE = direct.SILENCE_SECONDS
ORPHANS = {
    "closed": ("closes in order", Goal("≤ 5 s", 5.0)),
    "killed": ("is killed", Goal("≤ silence + 5 s", SILENCE + 5.0)),
    "frozen": ("is frozen", Goal("≤ silence + 5 s", SILENCE + 5.0)),
}

SHARE = Unit(True, lambda share: f"{share:.1%}")
MEGABYTES = Unit(True, lambda rate: f"{rate / 1e6:.3g} MB/s")
COUNT = Unit(True, lambda count: f"{count:,.0f}")

Probe = Callable[..., Figures]


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        light: light volunteers in all.
        processes: that they are divided among.
        native: `pando-volunteer` processes.
        tabs: in one browser.
        seconds: how long each steady state is.
        parents: that end at once; all are in one process.
        orphans: below them, in two processes.
    """

    light: int = 100
    processes: int = 4
    native: int = 8
    tabs: int = 30
    seconds: float = 5.0
    parents: int = 20
    orphans: int = 210


QUICK = Scale(20, 2, 2, 4, 1.0, 3, 12)


def _join_section(
    key: str, title: str, probe: Probe, goal: Goal, rounds: int, *size: int
) -> Section:
    cases = []
    for protocol, name in NAMES.items():
        row = Row(f"until all compute, over {name}", SECONDS, goal if protocol == WEBRTC else None)
        cases.append(_probe(probe, {"seconds": row}, protocol, *size))
    return Section(key, title, cases, rounds)


def _link_section(
    key: str, who: str, probe: Probe, bare: str, seconds: float, rounds: int
) -> Section:
    def rows(protocol: str) -> dict[str, Row]:
        name = NAMES[protocol]
        return {
            "items": Row(f"no-op squares, {name}", RATE),
            "bytes": Row(f"values of 64 KiB, both ways in sum, {name}", MEGABYTES),
        }

    of_webrtc = {
        **rows(WEBRTC),
        "bare": Row(bare, MEGABYTES),
        "share": Row("the values, of the bare data channel", SHARE, LINK),
    }
    cases = [
        _probe(probe, of_webrtc, WEBRTC, seconds),
        _probe(probe, rows(WEBSOCKET), WEBSOCKET, seconds),
    ]
    return Section(key, f"one link to {who}", cases, rounds)


def _two_tabs_section(work: str, seconds: float, rounds: int) -> Section:
    what, goal = BELOW[work]
    rows = {
        "beside": Row("both below the root, over WebSocket", RATE),
        "below": Row("one below the other, over WebRTC", RATE),
        "share": Row("the latter, of the former", SHARE, goal),
    }
    case = _probe(two_tabs.measure, rows, work, seconds)
    return Section(f"two-tabs-{work}", f"two tabs, items that {what}", [case], rounds)


def _orphan_section(how: str, scale: Scale, rounds: int) -> Section:
    what, goal = ORPHANS[how]
    rows = {
        "orphans": Row("orphans", COUNT),
        "median": Row("until half compute again", SECONDS),
        "seconds": Row("until 99 % compute again", SECONDS, goal),
    }
    case = _probe(direct.orphan, rows, how, scale.parents, scale.orphans, 2)
    title = f"a parent over WebRTC {what} (silence {SILENCE:g} s)"
    return Section(f"orphans-{how}", title, [case], rounds)


def _probe(probe: Probe, rows: Mapping[str, Row], *arguments: object) -> Case:
    return Case(rows, lambda: run_probe(probe, *map(str, arguments)))


def list_sections(scale: Scale, rounds: int) -> list[Section]:
    """All there is to measure, in the order of the table."""
    light = (scale.light, scale.processes, DEGREE)
    return [
        _join_section(
            "light",
            f"{scale.light} light volunteers join, degree {DEGREE}",
            direct.join,
            JOINED,
            rounds,
            *light,
        ),
        _join_section(
            "native",
            f"{scale.native} times pando-volunteer, from its start",
            direct.join_native,
            JOINED,
            rounds,
            scale.native,
        ),
        _join_section(
            "joining-tabs",
            f"{scale.tabs} tabs at a public server, JavaScript, from the last page loaded",
            joining_tabs.join,
            TABS_JOINED,
            rounds,
            scale.tabs,
        ),
        _link_section(
            "link-native",
            "pando-volunteer",
            channels.native,
            "two bare processes of aiortc",
            scale.seconds,
            rounds,
        ),
        _link_section(
            "link-tab",
            "a tab, JavaScript",
            channels.tab,
            "a bare page and a bare process of aiortc",
            scale.seconds,
            rounds,
        ),
        *(_two_tabs_section(work, scale.seconds, rounds) for work in BELOW),
        *(_orphan_section(how, scale, rounds) for how in ORPHANS),
    ]


def main() -> int:
    """Measure, print the table, and return 1 where something has failed."""
    options = parse_sections(
        "Measure trees and links over WebRTC and print a Markdown table.",
        [section.key for section in list_sections(Scale(), ROUNDS)],
        "few volunteers, a short time, once: does it work?",
        ROUNDS,
    )
    scale, rounds = (QUICK, 1) if options.quick else (Scale(), options.rounds)
    sections = choose_sections(list_sections(scale, rounds), options.only)
    if not sections:
        sys.stderr.write("no section has such a name; --help lists them\n")
        return 2
    started = time.perf_counter()
    machine = describe_machine("pando-computing", "trio", "aiortc", "aioice")
    print(f"{machine}, {describe_version()}; volunteers on the same machine.", flush=True)
    failed = print_sections(sections, quick=options.quick)
    print(
        f"\nMeasured in {time.perf_counter() - started:.0f} s; medians of all rounds. A parent that"
    )
    print("closes in order is left when its child has seen that; the others when they end.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
