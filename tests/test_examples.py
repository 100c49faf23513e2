"""The examples, with their own inputs: what they print, and that both languages agree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .processes import run_command

pytestmark = pytest.mark.process

EXAMPLES = Path(__file__).parent.parent / "examples"


def inputs(name: str, count: int) -> bytes:
    """What the generator of an example's items prints."""
    command = [sys.executable, str(EXAMPLES / "inputs.py"), name, str(count)]
    return subprocess.run(command, capture_output=True, timeout=60, check=True).stdout


def collatz(n: int) -> int:
    steps = 0
    while n > 1:
        n = 3 * n + 1 if n % 2 else n // 2
        steps += 1
    return steps


EXPECTED = {
    "square": [str(n * n) for n in range(1, 201)],
    "collatz": [str(collatz(10**30 + n)) for n in range(200)],
}


@pytest.mark.parametrize("language", ["py", "js"])
@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_prints_what_is_expected(name: str, language: str) -> None:
    done = run_command(EXAMPLES / f"{name}.{language}", "--stdin", stdin=inputs(name, 200))
    assert done.stdout.decode().split() == EXPECTED[name]
    assert done.returncode == 0


def test_the_example_of_errors_goes_on_behind_them() -> None:
    done = run_command(
        EXAMPLES / "error.py", "--stdin", "--on-error", "skip", stdin=inputs("error", 30)
    )
    assert done.stdout.decode().split() == [str(1 / n) for n in range(1, 31) if n % 10]
    assert done.stderr.count(b"pando: item ") == 3
    assert done.returncode == 1


def test_a_generator_says_what_there_is() -> None:
    command = [sys.executable, str(EXAMPLES / "inputs.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "square, error, collatz" in done.stderr
    assert done.returncode == 1


def test_a_generator_without_end_ends_with_its_reader() -> None:
    command = f"{sys.executable} {EXAMPLES / 'inputs.py'} square | head -3"
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60, check=False)
    assert done.stdout.split() == [b"1", b"2", b"3"]
    assert not done.stderr
