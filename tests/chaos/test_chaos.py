"""One round of each shape, with a seed that is printed; ``python -m tests.chaos`` plays more."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from .running import SHAPES, Round, marked, play, processes_with

pytestmark = [
    pytest.mark.process,
    pytest.mark.socket,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="only Linux tells which processes are left"
    ),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_volunteers_that_are_killed_and_stopped(tmp_path: Path, shape: str) -> None:
    chance = random.SystemRandom()
    plan = Round(chance.randrange(10**6), shape, chance.random() < 0.5, items=2000)
    print(plan)
    outcome = play(tmp_path, plan)
    assert outcome.problems == []
    assert outcome.kills + outcome.stops > 0


def test_what_is_left_is_found() -> None:
    with marked() as mark:
        process = subprocess.Popen(["sleep", "60"])
        assert processes_with(mark) == [process.pid]
        process.kill()
        process.wait()
        assert processes_with(mark) == []
