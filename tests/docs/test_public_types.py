"""The types of all that is public are known to type checkers, by pyright's own measure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pando

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
PARTLY = "partially unknown"
"""What pyright says of a type that has a part which is not declared, such as an attribute of a
class that the documentation does not name, or which is not known at all."""


@pytest.fixture(scope="module")
def symbols() -> dict[str, list[str]]:
    """The public names and what is in them, with what pyright says of each."""
    programs = Path(sys.executable).parent
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pyright",
            "--verifytypes",
            "pando",
            "--ignoreexternal",
            "--outputjson",
        ],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    homes = [f"{getattr(pando, name).__module__}.{name}" for name in pando.__all__]
    return {
        symbol["name"]: [each["message"] for each in symbol["diagnostics"]]
        for symbol in found
        if any(symbol["name"] == home or symbol["name"].startswith(f"{home}.") for home in homes)
    }


def test_every_public_name_is_looked_at(symbols: dict[str, list[str]]) -> None:
    for name in pando.__all__:
        assert f"{getattr(pando, name).__module__}.{name}" in symbols
    assert "pando.running.run.Run.map" in symbols


def test_what_is_public_has_declared_types(symbols: dict[str, list[str]]) -> None:
    wrong = {
        f"{name}: {message}"
        for name, messages in symbols.items()
        for message in messages
        if PARTLY not in message or "Unknown" in message
    }
    assert not wrong
