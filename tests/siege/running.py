"""An honest run, whose rate is measured in peace and beside each attack."""

from __future__ import annotations

import json
import ssl
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import trustme

from ..processes import GENEROUS_SECONDS, environment, wait_until
from ..roots import ROOT, SQUARE, VOLUNTEER, free_port

ITEM_SECONDS = 0.02
"""What an item takes: asleep, so that the attackers' share of the processors matters less."""
WORKERS = 4
"""Of the honest volunteer; the root has one."""
LEAST_RESULTS = 20


class HonestRun:
    """A root with a worker and an honest volunteer, whose input goes on until `finish`."""

    def __init__(self, folder: Path, *, tls: bool = False) -> None:
        self._folder = folder
        self._fed = 0
        self._is_over = False
        self.port = free_port()
        scheme, serve, trust = ("https", *_certificate(folder)) if tls else ("http", [], [])
        self._monitoring = f"{scheme}://localhost:{self.port}/monitoring.json"
        self._trust = ssl.create_default_context(cafile=folder / "authority") if tls else None
        (folder / "module.py").write_text(SQUARE.format(seconds=ITEM_SECONDS))
        with (folder / "output").open("wb") as output, (folder / "errors").open("wb") as errors:
            self.root = subprocess.Popen(
                [*ROOT, "module.py", "--stdin", f"--port={self.port}", "--workers=1", *serve],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=errors,
                cwd=folder,
                env=environment(),
            )
        self._feeder = threading.Thread(target=self._feed, daemon=True)
        self._feeder.start()
        assert wait_until(lambda: "volunteers join" in self.said), self.said
        with (folder / "volunteer").open("wb") as errors:
            self.volunteer = subprocess.Popen(
                [*VOLUNTEER, f"{scheme}://localhost:{self.port}/", f"--workers={WORKERS}", *trust],
                stderr=errors,
                env=environment(),
            )

    @property
    def said(self) -> str:
        """What the root has written to standard error."""
        return (self._folder / "errors").read_text()

    def _feed(self) -> None:
        assert self.root.stdin
        with suppress(BrokenPipeError), self.root.stdin as stdin:
            while not self._is_over:
                stdin.write("".join(f"{n}\n" for n in range(self._fed, self._fed + 10)).encode())
                self._fed += 10
                stdin.flush()
                time.sleep(0.005)

    def results(self) -> int:
        """How many results have come out."""
        return (self._folder / "output").read_bytes().count(b"\n")

    def rate(self, seconds: float) -> float:
        """Items a second that are computed, measured for some time.

        Not results that come out, which may have to wait for the one before them, and then come
        all at once.
        """
        before, started = self._figures()
        time.sleep(seconds)
        after, ended = self._figures()
        while ended == started:  # they are made once an interval
            time.sleep(0.1)
            after, ended = self._figures()
        return (after - before) / (ended - started)

    def _figures(self) -> tuple[int, float]:
        """How many items have been computed since the run began, and for how long it has run."""
        with urllib.request.urlopen(
            self._monitoring, timeout=GENEROUS_SECONDS, context=self._trust
        ) as answer:
            root = json.load(answer)["root"]
        return root["done"], root["elapsed"]

    def has_warmed_up(self) -> bool:
        """Whether the volunteer computes, too."""
        return wait_until(lambda: self.results() > LEAST_RESULTS * WORKERS)

    def finish(self) -> list[str]:
        """End the input, wait for the results, and return what is wrong with them."""
        self._is_over = True
        self._feeder.join()
        problems = []
        try:
            status = self.root.wait(5 * GENEROUS_SECONDS)
        except subprocess.TimeoutExpired:
            return ["the run does not end"]
        if status:
            problems.append(f"status {status}: {self.said[-2000:]}")
        squares = "".join(f"{n * n}\n" for n in range(self._fed)).encode()
        if (self._folder / "output").read_bytes() != squares:
            problems.append("the results are not exact")
        if "\x1b" in self.said or "\npando: all is well" in self.said:
            problems.append("what attackers say has reached the terminal")
        return problems

    def end(self) -> None:
        """End all processes."""
        for process in (self.root, self.volunteer):
            process.kill()
            process.wait()


def _certificate(folder: Path) -> tuple[list[str], list[str]]:
    """Return the options of a root that serves https, and those of a volunteer that trusts it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(folder / "own")
    return [f"--certfile={folder / 'own'}"], [f"--cafile={folder / 'authority'}"]


@contextmanager
def honest_run(folder: Path, *, tls: bool = False) -> Iterator[HonestRun]:
    """An honest run in an empty folder, by https where it is asked for; it ends with the block."""
    run = HonestRun(folder, tls=tls)
    try:
        assert run.has_warmed_up(), run.said
        yield run
    finally:
        run.end()


def rate_beside(run: HonestRun, row: str, seconds: float) -> float:
    """Results a second while somebody attacks."""
    command = [sys.executable, "-m", "tests.siege", "--attack", row, str(run.port), str(seconds)]
    attacker = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        rate = run.rate(seconds)
        _, said = attacker.communicate(timeout=5 * GENEROUS_SECONDS)
    finally:
        attacker.kill()
        attacker.wait()
    assert attacker.returncode == 0, f"{row}: {said}"
    return rate


def kept(run: HonestRun, row: str, seconds: float) -> float:
    """What the honest run keeps of its rate: the part of that before and after the attack."""
    before = run.rate(seconds)
    beside = rate_beside(run, row, seconds)
    return beside / statistics.mean((before, run.rate(seconds)))
