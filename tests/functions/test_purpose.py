"""What a module says of itself in its first line."""

from __future__ import annotations

import functools
import importlib.util
import math
import sys
from pathlib import Path

import pytest

from pando.functions.purpose import MAX_LENGTH, purpose_of_function, purpose_of_script
from pando.functions.serialized import serialize

FUNCTION = "\ndef pando(x):\n    return x\n"
PYTHON = {
    '"""Looking for primes, for my thesis.\n\nMore.\n"""': "Looking for primes, for my thesis.",
    '"""\n    Indented, and later.\n"""': "Indented, and later.",
    "# Looking for primes.\n# More.\nimport math": "Looking for primes.",
    "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n\n# Primes.": "Primes.",
    "# /// script\n# dependencies = []\n# ///\n# Primes.": "Primes.",
    "# ruff: noqa\n# Primes.": "Primes.",
    "import math\n# Not the first line.": "",
    "": "",
}
SCRIPTS = {
    "// Primes, for my thesis.\n// More.": "Primes, for my thesis.",
    "/* Primes. */ var x": "Primes.",
    "/**\n * Primes.\n * @module x\n */": "Primes.",
    "#!/usr/bin/env node\n// Primes.": "Primes.",
    "'use strict'\n// Primes.": "Primes.",
    "// eslint-disable-next-line": "",
    "var x // no": "",
    "": "",
}


def load(path: Path) -> object:
    """The function of a module in a file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module.pando


@pytest.mark.parametrize(("source", "purpose"), PYTHON.items())
def test_the_first_line_of_a_python_module(
    source: str, purpose: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "module_with_purpose.py"
    path.write_text(source + FUNCTION)
    monkeypatch.setitem(sys.modules, path.stem, None)
    function = load(path)
    assert purpose_of_function(function) == purpose
    assert purpose_of_function(functools.partial(function, 3)) == purpose
    assert serialize(function).find_purpose() == purpose


@pytest.mark.parametrize(("source", "purpose"), SCRIPTS.items())
def test_the_first_line_of_a_script(source: str, purpose: str, tmp_path: Path) -> None:
    path = tmp_path / "module.js"
    path.write_text(source)
    assert purpose_of_script(str(path)) == purpose


def test_modules_of_others_and_what_has_no_file_say_nothing(tmp_path: Path) -> None:
    assert purpose_of_function(math.sqrt) == ""
    assert purpose_of_function(pytest.raises) == ""
    assert purpose_of_script(str(tmp_path / "missing.js")) == ""


def test_it_is_one_line_of_bounded_length_without_control_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "module_with_purpose.py"
    path.write_text(f'"""a\\x1b[31m\\u202e{"b" * 1000}"""' + FUNCTION)
    monkeypatch.setitem(sys.modules, path.stem, None)
    purpose = purpose_of_function(load(path))
    assert len(purpose) == MAX_LENGTH
    assert purpose.startswith("a[31mbbb")
