"""Tabs that volunteer: probes that `browsers.py` runs in processes of their own.

Each starts a browser, and roots as processes beside it; see `browser_root.py`.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from types import TracebackType

from chromium import Chromium, open_bare_loops, open_chromium
from probes import Figures, run_as_probe

Probe = Callable[..., Figures]

HERE = Path(__file__).resolve().parents[1]
WORKERS = (1, 2)
SPIN_SECONDS = 0.010
WARM_UP_SECONDS = 2.0
CHUNK = 10_000
"""No-op items between two looks at the clock, in a bare loop."""
SETTLE_SECONDS = 2.0
"""A person opens the link in a browser that runs, not in one that is starting."""
STAY_SECONDS = 2.0
"""How long a person stays, so that the browser keeps what it has compiled."""
END_SECONDS = 20.0
OPEN_SETTINGS = "document.getElementById('settings')?.setAttribute('open', '')"
"""Pages of earlier checkouts do not fold them."""


class RootProcess:
    """A root without workers; see `browser_root.py`."""

    def __init__(
        self, language: str, function: str, item: str, port: int = 0, checkout: Path = HERE
    ) -> None:
        script = str(checkout / "benchmarks" / "browser_root.py")
        self._process = subprocess.Popen(
            [sys.executable, script, language, function, item, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(checkout)},
        )
        self.link = str(self._read("link"))

    def _read(self, key: str) -> float | str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the root has ended")
        figure: float | str = json.loads(line)[key]
        return figure

    def first_result(self) -> float:
        """Wait for the first result; when it was there, as `time.monotonic` has it."""
        return float(self._read("first"))

    def measure(self, seconds: float) -> float:
        """Items a second in the steady state."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        return float(self._read("rate"))

    def __enter__(self) -> RootProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise


@contextmanager
def volunteering(
    chromium: Chromium,
    language: str,
    function: str,
    item: str,
    workers: int,
    checkout: Path = HERE,
) -> Iterator[RootProcess]:
    """A root, of this checkout or of another one, for which a tab with so many workers computes."""
    with RootProcess(language, function, item, checkout=checkout) as root:
        with chromium.driving(root.link) as page:
            page.evaluate(OPEN_SETTINGS)
            page.locator("#workers").fill(str(workers))
            page.locator("#start").click()
            root.first_result()
        try:
            yield root
        finally:
            chromium.close_tabs()


def square(language: str, seconds: str) -> Figures:
    """No-op items in a bare loop, and in a tab with one worker and with two."""
    figures: Figures = {}
    with open_chromium() as chromium:
        with open_bare_loops(chromium) as bare:
            bare.start(language, "square", 1)
            figures["bare"] = bare.measure(None, CHUNK, float(seconds))
        for workers in WORKERS:
            with volunteering(chromium, language, "square", "count", workers) as root:
                figures[f"rate_{workers}"] = root.measure(float(seconds))
    return figures


def memory(language: str, seconds: str) -> Figures:
    """What renderer processes use while a tab computes, each time in a new browser."""
    figures: Figures = {}
    for workers in WORKERS:
        with open_chromium() as chromium:
            time.sleep(STAY_SECONDS)
            figures["empty"] = chromium.memory()
            with volunteering(chromium, language, "square", "count", workers) as root:
                root.measure(float(seconds))
                figures[f"memory_{workers}"] = chromium.memory()
    return figures


def spin(language: str, seconds: str) -> Figures:
    """Items of 10 ms in a tab, with one worker and with two, between bare loops over the same."""
    figures: Figures = {}
    with open_chromium() as chromium:
        rounds, before = _spin_bare(chromium, language, float(seconds))
        for workers in WORKERS:
            with volunteering(chromium, language, "spin_rounds", str(rounds), workers) as root:
                figures[f"rate_{workers}"] = root.measure(float(seconds))
        _, after = _spin_bare(chromium, language, float(seconds), rounds)
    for workers in WORKERS:
        figures[f"bare_{workers}"] = mean([before[workers], after[workers]])
    for workers in WORKERS:
        rate = figures[f"rate_{workers}"]
        figures[f"efficiency_{workers}"] = rate / (figures["bare_1"] * workers)
        figures[f"share_{workers}"] = rate / figures[f"bare_{workers}"]
    return figures


def _spin_bare(
    chromium: Chromium, language: str, seconds: float, rounds: int | None = None
) -> tuple[int, dict[int, float]]:
    """Rounds that take 10 ms, and by the number of workers how many such items a second."""
    rates = {}
    with open_bare_loops(chromium) as bare:
        bare.start(language, "spin_rounds", 1)
        rounds = rounds or bare.calibrate(SPIN_SECONDS)
        for workers in WORKERS:
            bare.start(language, "spin_rounds", workers)
            bare.measure(rounds, 1, min(WARM_UP_SECONDS, seconds))
            rates[workers] = bare.measure(rounds, 1, seconds)
    return rounds, rates


def transfer(language: str, size: str, seconds: str) -> Figures:
    """Large values there and back: bytes a second each way."""
    figures: Figures = {}
    with open_chromium() as chromium:
        for workers in WORKERS:
            item = f"bytes:{size}"
            with volunteering(chromium, language, "echo", item, workers) as root:
                figures[f"rate_{workers}"] = root.measure(float(seconds)) * int(size)
    return figures


def visit(language: str) -> Figures:
    """From navigating to the first result, on a first visit and on the next, of a later run."""
    figures: Figures = {}
    port = _free_port()
    with tempfile.TemporaryDirectory() as profile:
        for name in ("first", "second"):
            with RootProcess(language, "square", "count", port) as root:
                figures[name] = _visit(Path(profile), root)
    return figures


def _visit(profile: Path, root: RootProcess) -> float:
    with open_chromium(profile) as chromium:
        time.sleep(SETTLE_SECONDS)
        began = time.monotonic()
        chromium.open_tab(f"{root.link};start")
        seconds = root.first_result() - began
        time.sleep(STAY_SECONDS)
    return seconds


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


if __name__ == "__main__":
    run_as_probe(square, spin, visit, memory, transfer)
