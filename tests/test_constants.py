"""Constants that Python and TypeScript both know are the same in both.

Their values are in a file that this suite and the front end's both compare with.
"""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from pando.web import browser_packages

ROOT = Path(__file__).parents[1]
CONSTANTS = json.loads((ROOT / "tests" / "vectors" / "constants.json").read_text("utf-8"))


@pytest.mark.parametrize("constant", CONSTANTS, ids=lambda constant: constant["name"])
def test_a_constant_is_what_both_languages_know(constant: dict[str, Any]) -> None:
    module, _, name = constant["python"].partition(":")
    value = getattr(importlib.import_module(module), name)
    if "factor" in constant:
        value *= constant["factor"]
    assert value == constant["value"]


def test_the_python_of_pyodide_is_the_same_everywhere() -> None:
    package = json.loads((ROOT / "pando/web/frontend/package.json").read_text("utf-8"))
    release = package["dependencies"]["pyodide"].partition(".")[0]
    major, minor = release[0], release[1:]  # a release is named after its Python
    python = f"{major}.{minor}"
    assert browser_packages.PYTHON_IN_BROWSERS.startswith(f"{python}.")
    assert browser_packages.ENVIRONMENT["python_version"] == python
    engine = (ROOT / "pando/web/frontend/src/compute/python.ts").read_text("utf-8")
    assert re.search(r'python: "([^"]+)"', engine)[1] == python  # type: ignore[index]
    abi = re.search(r'abi_version: "([^"]+)"', engine)[1]  # type: ignore[index]
    assert f"pyemscripten_{abi}_wasm32" == browser_packages.PLATFORM
    hook = (ROOT / "hatch_build.py").read_text("utf-8")
    assert f'("{browser_packages.PLATFORM}", "{python}", "cp{release}")' in hook
