"""Real processes that are killed and stopped at random moments while a run goes on."""

from __future__ import annotations

import os
import random
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..processes import GENEROUS_SECONDS, wait_until
from ..roots import Party, Root

VOLUNTEERS = 8
PAUSE_SECONDS = 0.25
"""Between two volunteers that are killed or stopped."""
STOPPED_SECONDS = (0.5, 5.0)
"""How long a volunteer is stopped before it goes on."""
END_SECONDS = 2.0
"""How soon a root is to end after its last result."""
MARK = "PANDO_CHAOS"
"""A variable in the environment of all processes of a round, by which they are found."""
SHAPES = {"star": 16, "tree": 2}
"""The degree of each shape."""


@dataclass(frozen=True)
class Round:
    """What is played.

    Attributes:
        seed: of all that is random.
        shape: ``star`` or ``tree``.
        ordered: whether results come in the order of the items.
        items: how many.
        seconds: what each takes.
    """

    seed: int
    shape: str = "star"
    ordered: bool = True
    items: int = 6000
    seconds: float = 0.004

    def __str__(self) -> str:
        order = "ordered" if self.ordered else "unordered"
        return f"seed {self.seed}, {self.shape}, {order}"


@dataclass
class Outcome:
    """How a round has ended.

    Attributes:
        kills, stops: how many volunteers were killed, and stopped.
        end_seconds: time from the last result to the end of the root.
        problems: what went wrong, in sentences.
    """

    kills: int = 0
    stops: int = 0
    end_seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


def play(folder: Path, plan: Round) -> Outcome:
    """Play a round in an empty folder.

    Args:
        folder: for the files of the processes.
        plan: what is played.
    """
    outcome = Outcome()
    with marked() as mark:
        with Party(folder) as party:
            options = [f"--degree={SHAPES[plan.shape]}", "--workers=1", "--heartbeat=1500"]
            if not plan.ordered:
                options.append("--unordered")
            root = party.root(*options, items=plan.items, seconds=plan.seconds)
            Chaos(party, root, plan, outcome).run()
            outcome.problems += check_output(root, plan)
        if not wait_until(lambda: not processes_with(mark)):
            outcome.problems.append(f"processes are left: {processes_with(mark)}")
    return outcome


class Chaos:
    """Volunteers that come and go until the run has ended."""

    def __init__(self, party: Party, root: Root, plan: Round, outcome: Outcome) -> None:
        self._party = party
        self._root = root
        self._plan = plan
        self._outcome = outcome
        self._random = random.Random(plan.seed)
        self._started = 0
        self._alive = [self._start() for _ in range(VOLUNTEERS)]
        self._stopped: list[tuple[float, subprocess.Popen[bytes]]] = []

    def run(self) -> None:
        """Kill and stop volunteers until the run has ended, and measure how soon it does."""
        finished = 0.0
        due = time.monotonic()
        deadline = due + 20 * GENEROUS_SECONDS
        while self._root.process.poll() is None and time.monotonic() < deadline:
            now = time.monotonic()
            if not finished and self._root.lines() >= self._plan.items:
                finished = now
            if not finished and now >= due:
                self._strike(now)
                due = now + PAUSE_SECONDS
            self._wake(now)
            time.sleep(0.01)
        ended = time.monotonic()
        self._wake(float("inf"))
        self._outcome.end_seconds = ended - (finished or ended)
        if self._root.process.poll() is None:
            self._outcome.problems.append("the run does not end")

    def _start(self) -> subprocess.Popen[bytes]:
        self._started += 1
        return self._party.volunteer(self._root, f"device {self._started}")

    def _strike(self, now: float) -> None:
        """Kill or stop one volunteer, and let another one come."""
        victim = self._alive.pop(self._random.randrange(len(self._alive)))
        if self._random.random() < 0.5:
            victim.kill()
            victim.wait()
            self._outcome.kills += 1
        elif victim.poll() is None:
            victim.send_signal(signal.SIGSTOP)
            self._stopped.append((now + self._random.uniform(*STOPPED_SECONDS), victim))
            self._outcome.stops += 1
        if len(self._alive) + len(self._stopped) < VOLUNTEERS or not self._alive:
            self._alive.append(self._start())

    def _wake(self, now: float) -> None:
        """Let those go on that have been stopped for long enough."""
        for entry in list(self._stopped):
            until, volunteer = entry
            if until <= now:
                self._stopped.remove(entry)
                volunteer.send_signal(signal.SIGCONT)
                self._alive.append(volunteer)


def check_output(root: Root, plan: Round) -> list[str]:
    """Return what is wrong with a root's results, and with how it has ended."""
    problems = []
    if root.process.poll() != 0:
        problems.append(f"status {root.process.poll()}: {root.errors.read_text()[-2000:]}")
    lines = root.output.read_text().split()
    squares = [str(number * number) for number in range(plan.items)]
    if sorted(lines, key=int) != squares:
        problems.append(f"{len(lines)} results are not the {plan.items} squares")
    elif plan.ordered and lines != squares:
        problems.append("the results are not in order")
    if "Traceback" in root.errors.read_text():
        problems.append(f"the root says: {root.errors.read_text()[-2000:]}")
    return problems


@contextmanager
def marked() -> Iterator[str]:
    """Mark the processes that are started in this block, and what they start."""
    mark = secrets.token_hex(8)
    os.environ[MARK] = mark
    try:
        yield mark
    finally:
        del os.environ[MARK]


def processes_with(mark: str) -> list[int]:
    """Return the processes with a mark; only Linux tells."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:  # gone, or another user's
            continue
    return [pid for pid in found if pid != os.getpid()]
