"""Ctrl-C at random moments of a run that serves: how the command ends."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

from ..chaos.running import marked, processes_with
from ..processes import GENEROUS_SECONDS, environment, wait_until
from ..roots import ROOT, SQUARE, VOLUNTEER, free_port

GUARDED = [
    ROOT[0],
    "-c",
    "import os\n"
    "from pando.cli.signals import Signals\n"
    "with Signals():\n"
    "    os.write(2, b'volunteers join ')\n"
    f"    exec({ROOT[2]!r})\n",
]
"""A command that says when Python itself has started: what comes before is none of its own."""
FAILING = "def pando(x):\n    raise ValueError('no ' * 50)\n"


class Command:
    """A run that serves, in a process of its own, with an input that a test writes."""

    def __init__(self, folder: Path, module: str, *options: str, start: list[str] = ROOT) -> None:
        self.folder = folder
        self.port = free_port()
        self._feeder: threading.Thread | None = None
        (folder / "module.py").write_text(module)
        with (folder / "output").open("wb") as output, (folder / "errors").open("wb") as errors:
            self.process = subprocess.Popen(
                [*start, "module.py", "--stdin", f"--port={self.port}", "--workers=1", *options],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=errors,
                cwd=folder,
                env=environment(folder),
            )
        assert wait_until(lambda: "volunteers join " in self.said), self.said

    @property
    def said(self) -> str:
        """What it has written to standard error."""
        return (self.folder / "errors").read_text()

    def lines(self) -> int:
        """How many results have come."""
        return (self.folder / "output").read_bytes().count(b"\n")

    def feed(self, items: int) -> None:
        """Write items, in a thread, until the command reads no more."""
        data = "".join(f"{number}\n" for number in range(items)).encode()

        def write() -> None:
            assert self.process.stdin
            with suppress(BrokenPipeError, ValueError):
                self.process.stdin.write(data)
                self.process.stdin.close()

        self._feeder = threading.Thread(target=write)
        self._feeder.start()

    def close(self) -> None:
        """Write no more to a command that has ended."""
        if self._feeder is not None:
            self._feeder.join()
        assert self.process.stdin
        with suppress(BrokenPipeError):
            self.process.stdin.close()


@dataclass
class Outcome:
    """How a command has ended.

    Attributes:
        seconds: from the signal to the end.
        problems: what was wrong, in sentences.
    """

    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


Prepared = Iterator[Command]
Moment = Callable[[Path], "contextmanager[Command]"]


@contextmanager
def at_the_start(folder: Path) -> Prepared:
    """Python has started, and nothing of Pando's but what receives signals."""
    yield Command(folder, SQUARE.format(seconds=0.01), start=GUARDED)


@contextmanager
def while_it_runs(folder: Path) -> Prepared:
    """Results come."""
    command = Command(folder, SQUARE.format(seconds=0.002))
    command.feed(100_000)
    wait_until(lambda: command.lines() > 0)
    yield command


@contextmanager
def at_the_end(folder: Path) -> Prepared:
    """The last results come."""
    command = Command(folder, SQUARE.format(seconds=0.01))
    command.feed(20)
    wait_until(lambda: command.lines() > 0)
    yield command


@contextmanager
def while_errors_are_printed(folder: Path) -> Prepared:
    """Each item fails."""
    command = Command(folder, FAILING, "--on-error=skip")
    command.feed(100_000)
    wait_until(lambda: "ValueError" in command.said)
    yield command


@contextmanager
def while_volunteers_join(folder: Path) -> Prepared:
    """Three volunteers come."""
    command = Command(folder, SQUARE.format(seconds=0.002))
    command.feed(100_000)
    link = f"http://localhost:{command.port}/"
    volunteers = [
        subprocess.Popen(
            [*VOLUNTEER, link, "--workers=1"], stderr=subprocess.DEVNULL, env=environment(folder)
        )
        for _ in range(3)
    ]
    try:
        yield command
    finally:
        for volunteer in volunteers:
            volunteer.kill()
            volunteer.wait()


@contextmanager
def while_pages_are_asked_for(folder: Path) -> Prepared:
    """Somebody reloads the page in a loop."""
    command = Command(folder, SQUARE.format(seconds=0.002))
    command.feed(100_000)
    is_over = threading.Event()

    def reload() -> None:
        while not is_over.is_set():
            with suppress(OSError, HTTPException):
                urllib.request.urlopen(f"http://localhost:{command.port}/", timeout=5).read()

    thread = threading.Thread(target=reload)
    thread.start()
    try:
        yield command
    finally:
        is_over.set()
        thread.join()


MOMENTS = {
    moment.__name__.replace("_", " "): moment
    for moment in (
        at_the_start,
        while_it_runs,
        at_the_end,
        while_errors_are_printed,
        while_volunteers_join,
        while_pages_are_asked_for,
    )
}
LATEST_SECONDS = 1.0
"""Until then Ctrl-C comes, at a random time after the moment's beginning."""


def interrupt(folder: Path, moment: str, chance: random.Random) -> Outcome:
    """Interrupt a run at a random time, and see how it ends.

    Args:
        folder: an empty one, for its files.
        moment: one of `MOMENTS`.
        chance: decides when.
    """
    outcome = Outcome()
    with marked() as mark:
        with MOMENTS[moment](folder) as command:
            time.sleep(chance.uniform(0, LATEST_SECONDS))
            was_over = command.process.poll() is not None
            sent = time.monotonic()
            command.process.send_signal(signal.SIGINT)
            try:
                command.process.wait(GENEROUS_SECONDS)
            except subprocess.TimeoutExpired:
                outcome.problems.append("it does not end")
                os.kill(command.process.pid, signal.SIGKILL)
                command.process.wait()
            outcome.seconds = 0.0 if was_over else time.monotonic() - sent
            command.close()
            may_be_done = moment == "at the end"
            expected = (-signal.SIGINT, 0) if may_be_done else (-signal.SIGINT,)
            if command.process.returncode not in expected:
                outcome.problems.append(f"status {command.process.returncode}")
            for line in command.said.splitlines():
                if line.startswith(("Traceback", "  +", "Exception")):
                    outcome.problems.append(f"it says: {command.said[-1500:]}")
                    break
        if not wait_until(lambda: not processes_with(mark)):
            outcome.problems.append(f"processes are left: {processes_with(mark)}")
    return outcome
