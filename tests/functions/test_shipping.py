"""Functions that are sent give the same results in another process, in each form and place."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path

import pytest
from cases import ALL, NOT_IN_PYODIDE, Case
from running import (
    FIXTURES,
    find_python,
    has_pyodide,
    receive,
    receive_elsewhere,
    receive_in_pyodide,
    run_python,
)
from write_table import END, PAGE, START, table

pytestmark = pytest.mark.process

VERSIONS = ["3.11", "3.12", "3.13", "3.14"]


@functools.cache
def shipped(script: str) -> str:
    """What a script sends."""
    return run_python(str(FIXTURES / script))


def received(script: str, way: str) -> dict[str, list[str]]:
    """What its cases give, in a form and a place."""
    answer = _received(script, way)
    if isinstance(answer, AssertionError):
        raise answer
    return answer


@functools.cache
def _received(script: str, way: str) -> dict[str, list[str]] | AssertionError:
    try:
        return _receive(script, way)
    except AssertionError as error:
        return error


def _receive(script: str, way: str) -> dict[str, list[str]]:
    sent = shipped(script)
    elsewhere = Path(tempfile.mkdtemp())
    if way == "Pyodide":
        return receive_in_pyodide(sent)
    if way in VERSIONS:
        python = find_python(way)
        assert python is not None
        return receive_elsewhere(python, sent, elsewhere)
    return receive(sent, elsewhere, way)


def check(case: Case, way: str, refusal: str) -> None:
    outcome = received(case.script, way)[case.name]
    if refusal:
        assert isinstance(outcome, list)
        assert refusal in outcome[0]
    else:
        assert outcome == json.loads(shipped(case.script))[case.name]["expected"]


def title(case: Case) -> str:
    return f"{case.script}-{case.name}"


every_case = pytest.mark.parametrize("case", ALL, ids=title)


@every_case
def test_the_exact_form_gives_the_same(case):
    check(case, "exact", case.refusal)


@every_case
def test_the_portable_form_gives_the_same(case):
    check(case, "portable", case.portable_refusal)


@pytest.mark.parametrize("version", VERSIONS)
@every_case
def test_the_portable_form_gives_the_same_in_other_versions(version, case):
    if find_python(version) is None:
        pytest.skip(f"there is no Python {version} at hand")
    check(case, version, case.portable_refusal)


@every_case
def test_the_portable_form_gives_the_same_in_pyodide(case):
    if not has_pyodide():
        pytest.skip("the pages have not been built here, or there is no Node")
    if (case.script, case.name) in NOT_IN_PYODIDE:
        pytest.skip(NOT_IN_PYODIDE[case.script, case.name])
    check(case, "Pyodide", case.portable_refusal)


def test_there_are_enough_cases():
    assert len(ALL) >= 120
    assert len({(case.script, case.name) for case in ALL}) == len(ALL)


def test_the_table_in_the_documents_is_this_one():
    text = PAGE.read_text("utf-8")
    written = text[text.index(START) + len(START) : text.index(END)]
    assert written.strip() == table().strip(), "run `python tests/functions/write_table.py`"
