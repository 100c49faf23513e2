"""Two rows of the siege, by a seed that is printed; ``python -m tests.siege`` runs all of them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from .rows import CHILDREN, STRANGERS
from .running import honest_run, rate_beside

pytestmark = [pytest.mark.process, pytest.mark.socket]
SECONDS = 2.0


def test_an_honest_run_beside_hostile_ones_is_exact(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with honest_run(tmp_path) as run:
        for rows in (CHILDREN, STRANGERS):
            row = chance.choice(list(rows))
            print(row)
            assert rate_beside(run, row, SECONDS) >= 0
        assert run.finish() == []
