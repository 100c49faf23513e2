"""Captured functions give the same results in another process."""

from __future__ import annotations

import ast
import functools
import json
from pathlib import Path

import pytest
from running import HERE, receive, run_python

pytestmark = pytest.mark.process

FIXTURES = HERE / "fixtures"
SCRIPTS = ["functions.py", "classes.py", "future.py", "data.py", "project/script.py"]


def case_names(script: str) -> list[str]:
    tree = ast.parse((FIXTURES / script).read_text())
    cases = next(
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CASES"
    )
    assert isinstance(cases, ast.Dict)
    return [ast.literal_eval(key) for key in cases.keys if key is not None]


@functools.cache
def outcomes(script: str, cwd: Path) -> dict[str, tuple[list[str], list[str]]]:
    """For each case of a script, what it should give and what it gave elsewhere."""
    shipped = run_python(str(FIXTURES / script))
    received = receive(shipped, cwd)
    return {name: (case["expected"], received[name]) for name, case in json.loads(shipped).items()}


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory):
    return tmp_path_factory.mktemp("elsewhere")


@pytest.mark.parametrize(
    ("script", "case"), [(script, case) for script in SCRIPTS for case in case_names(script)]
)
def test_a_shipped_function_gives_the_same(script, case, elsewhere):
    expected, received = outcomes(script, elsewhere)[case]
    assert received == expected
