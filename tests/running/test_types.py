"""Types that a type checker infers in a user's program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

PROGRAM = """\
from collections.abc import AsyncIterator
from typing import assert_type

import pando


def square(x: int) -> int:
    return x * x


async def later(x: int) -> str:
    return str(x)


async def numbers() -> AsyncIterator[int]:
    yield 1


assert_type(pando.map(square, [1, 2]), pando.Results[int])
assert_type(pando.map(later, [1, 2], workers=2), pando.Results[str])
assert_type(
    pando.map(square, [1, 2], return_exceptions=True), "pando.Results[int | pando.ItemError]"
)
for result in pando.map(square, range(3), serve="lan", ordered=False):
    assert_type(result, int)

with pando.run(square, workers=1, serve=pando.ServeOptions(port=0)) as run:
    assert_type(run.map([1]), pando.Results[int])
    assert_type(run.map([1], return_exceptions=True), "pando.Results[int | pando.ItemError]")


async def main() -> None:
    async with pando.open_run(later) as run:
        async for text in run.map(numbers()):
            assert_type(text, str)
        async for text_or_error in run.map([1], return_exceptions=True):
            assert_type(text_or_error, "str | pando.ItemError")
    async for number in pando.amap(square, numbers()):
        assert_type(number, int)
"""
WRONG = """\
import pando


def square(x: int) -> int:
    return x * x


pando.map(square, ["a"])
pando.map(square, [1], serve="no")
pando.map(square, [1], wrokers=2)
"""
CHECKERS = {
    "mypy": ["-m", "mypy", "--strict", "--no-incremental", "--cache-dir=/dev/null"],
    "pyright": ["-m", "pyright", "--pythonpath", sys.executable],
}


def check(checker: str, path: Path, text: str) -> subprocess.CompletedProcess[str]:
    path.write_text(text)
    return subprocess.run(
        [sys.executable, *CHECKERS[checker], str(path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("checker", CHECKERS)
def test_the_types_of_results_are_known(checker, tmp_path):
    done = check(checker, tmp_path / "program.py", PROGRAM)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("checker", CHECKERS)
def test_wrong_arguments_are_found(checker, tmp_path):
    done = check(checker, tmp_path / "program.py", WRONG)
    assert done.returncode == 1, done.stderr
    wrong = {line for line in (8, 9, 10) if f"program.py:{line}:" in done.stdout}
    assert wrong == {8, 9, 10}, done.stdout
