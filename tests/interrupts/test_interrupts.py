"""A twentieth of the random moments, with a seed that is printed; the command has all of them."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from .running import MOMENTS, interrupt

pytestmark = [
    pytest.mark.process,
    pytest.mark.socket,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="only Linux tells which processes are left"
    ),
]
TIMES = 5


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_at_random_moments_of_a_run_that_serves(tmp_path: Path, moment: str) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for number in range(TIMES):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert interrupt(folder, moment, chance).problems == []
