"""A row of the siege of each kind, by a seed that is printed; ``python -m tests.siege`` has all."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from .rows import CHILDREN, STRANGERS, STRANGERS_OF_TLS, Attack
from .running import honest_run, rate_beside

pytestmark = [pytest.mark.process, pytest.mark.socket]
SECONDS = 2.0


@pytest.mark.parametrize("kinds", [(CHILDREN, STRANGERS), (STRANGERS_OF_TLS,)], ids=["", "tls"])
def test_an_honest_run_beside_hostile_ones_is_exact(
    kinds: tuple[dict[str, Attack], ...], tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with honest_run(tmp_path, tls=STRANGERS_OF_TLS in kinds) as run:
        for rows in kinds:
            row = chance.choice(list(rows))
            print(row)
            assert rate_beside(run, row, SECONDS) >= 0
        assert run.finish() == []
