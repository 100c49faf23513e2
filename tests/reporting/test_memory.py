"""What the root keeps does not grow while volunteers come and go.

`benchmarks/reporting.py` has a whole day of it.
"""

from __future__ import annotations

import gc
import random
from collections import Counter

from pando.reporting.ledger import MAX_FORMER
from pando.reporting.live import Viewer
from pando.reporting.monitor import Monitor
from pando.reporting.passing import Incoming
from pando.reporting.run_figures import RunFigures
from pando.reports.counters import Counters, plus
from pando.reports.records import Device, Gone, Interval, Introduction, Update
from tests.reporting.feed import ROOT, identifier

INTERVALS = 2400
VOLUNTEERS = 25
STAY = 25
"""Mean number of intervals after which one leaves and another one comes in its place."""


def kept_by(*roots: object) -> Counter[str]:
    """Count the objects that can be reached, by type; numbers and texts do not count."""
    counts: Counter[str] = Counter()
    seen: set[int] = set()
    waiting = list(roots)
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, type) or callable(thing):
            continue
        seen.add(id(thing))
        if type(thing).__module__ == "builtins" and not isinstance(
            thing, dict | list | tuple | set
        ):
            continue
        counts[type(thing).__name__] += 1
        waiting += gc.get_referents(thing)
    return counts


class Run:
    """Volunteers below one link that work, leave and come, with a viewer that looks on."""

    def __init__(self) -> None:
        self.random = random.Random(1)
        self.monitor = Monitor("square", ROOT, 0.0, 3.0)
        self.incoming = Incoming("a", self.monitor.ledger, ROOT)
        self.viewer = Viewer(self.monitor)
        self.sequence = [0] * VOLUNTEERS
        self.came = 0
        self.done = 0
        self.now = 0.0

    def step(self) -> None:
        self.now += 3.0
        introductions, intervals, gone = [], [], []
        for place in range(VOLUNTEERS):
            if self.sequence[place] and self.random.randrange(STAY) == 0:
                gone.append(place)
                self.sequence[place] = 0
            if not self.sequence[place]:
                self.came += 1
                named = Device(identifier(self.came), 1, ROOT, f"device {self.came}", workers=4)
                introductions.append(Introduction(place, named, 0, []))
            self.sequence[place] += 1
            self.done += 1
            intervals.append(Interval(place, self.sequence[place], [3000, 1, 2000]))
        update = Update([Gone(p, True) for p in gone], introductions, [], intervals)
        self.incoming.take(update, self.now)
        self.monitor.refused("somebody", "an old version", self.now)
        self.monitor.tick(RunFigures(done=self.done), self.now)
        self.viewer.next()

    def kept(self) -> Counter[str]:
        return kept_by(self.monitor, self.incoming, self.viewer)


def test_what_is_kept_is_flat_while_volunteers_come_and_go() -> None:
    run = Run()
    counts: list[Counter[str]] = []
    for interval in range(1, INTERVALS + 1):
        run.step()
        if interval in (1600, INTERVALS):
            counts.append(run.kept())
    assert run.came > MAX_FORMER + VOLUNTEERS
    early, late = counts
    assert early["Entry"] <= MAX_FORMER + 12 * VOLUNTEERS
    for kind in early | late:
        assert late[kind] <= 1.1 * early[kind] + 50, kind
    total = Counters()
    for entry in run.monitor.ledger.entries.values():
        total = plus(total, entry.total)
    assert plus(total, run.monitor.ledger.departed).items == run.done
