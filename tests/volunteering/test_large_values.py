"""Items and results far larger than a message, with a real root and a real volunteer."""

from __future__ import annotations

import subprocess
import sys
from ast import literal_eval
from pathlib import Path
from typing import Self

import pytest

from pando.messages import MAX_MESSAGE_BYTES

from ..processes import GENEROUS_SECONDS, environment, wait_until
from ..roots import VOLUNTEER, free_port

pytestmark = [pytest.mark.process, pytest.mark.socket]

DOUBLING = """\
import os, sys, time, pando

def double(data):
    time.sleep(0.5)
    return data[:1] + data

def items(count):
    for number in range(count):
        yield bytes([number]) * 70_000_000

for place, result in enumerate(pando.map(double, items({count}), workers={workers}, serve={serve})):
    assert result == bytes([place]) * 70_000_001
    print(len(result), flush=True)
"""


LOCATING = """\
import os, time, pando

def locate(data):
    time.sleep(0.2)
    return len(data), os.getppid()

items = [b"x" * size for size in {sizes}]
for item in pando.map(locate, items, workers=0, serve={serve}, return_exceptions=True):
    print(item, flush=True)
"""


class Root:
    """A root that runs a script, with volunteers that join it."""

    def __init__(self, folder: Path, script: str, **values: object) -> None:
        self._folder = folder
        self.port = free_port()
        file = folder / "script.py"
        file.write_text(script.format(serve=f"pando.ServeOptions(port={self.port})", **values))
        self.said = folder / "said"
        with self.said.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(file)],
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment(folder),
                text=True,
            )
        self.volunteers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        assert wait_until(lambda: f":{self.port}/" in self.said.read_text())
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self.process, *self.volunteers):
            process.kill()
            process.wait()

    def add_volunteer(self, *options: str) -> subprocess.Popen[bytes]:
        link = f"http://localhost:{self.port}"
        command = [*VOLUNTEER, link, "--once", "--workers=1", *options]
        self.volunteers.append(subprocess.Popen(command, env=environment(self._folder)))
        return self.volunteers[-1]

    def finish(self) -> list[str]:
        """Wait for the end of the run; return the lines that it has printed."""
        output, _ = self.process.communicate(timeout=4 * GENEROUS_SECONDS)
        assert self.process.returncode == 0, self.said.read_text()
        return output.splitlines()


@pytest.mark.parametrize(("workers", "count"), [(1, 8), (0, 2)])
def test_items_and_results_of_70_mb(workers: int, count: int, tmp_path: Path) -> None:
    """The root's worker computes while a volunteer joins; or the volunteer has them all."""
    with Root(tmp_path, DOUBLING, count=count, workers=workers) as root:
        volunteer = root.add_volunteer()
        assert root.finish() == ["70000001"] * count
        assert volunteer.wait(GENEROUS_SECONDS) == 0


def test_items_above_a_volunteers_bound_go_to_another_one(tmp_path: Path) -> None:
    large = 70_000_000
    with Root(tmp_path, LOCATING, sizes=[1] * 40 + [large, 1] * 2) as root:
        small = root.add_volunteer(f"--max-value={MAX_MESSAGE_BYTES}")
        big = root.add_volunteer("--max-value=80M")
        found = [literal_eval(line) for line in root.finish()]
    assert {device for size, device in found if size == large} == {big.pid}
    assert {device for _, device in found} == {big.pid, small.pid}


def test_an_item_above_the_bounds_of_all_fails_with_a_sentence(tmp_path: Path) -> None:
    with Root(tmp_path, LOCATING, sizes=[1, 70_000_000]) as root:
        root.add_volunteer(f"--max-value={MAX_MESSAGE_BYTES}")
        lines = root.finish()
    assert len(lines) == 2
    assert f"nobody here takes more than {MAX_MESSAGE_BYTES:,}" in lines[1]
