"""What a module says of itself in its first line, for the people who are asked to compute it."""

from __future__ import annotations

import functools
import re
import sys
import tokenize
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .modules import is_own_file

MAX_LENGTH = 200
_SETTING = r"!|-\*-|.*coding[:=]|\s*///|\s*(ruff|type|mypy|flake8|eslint)\b|\s*@"
"""Comments that are for programs, not for people."""
_SCRIPT_COMMENT = r"\s*(?:#!.*\n\s*)?(?:['\"]use strict['\"];?\s*)?(/\*+|//+)(.*)"


def purpose_of_function(function: Callable[..., Any]) -> str:
    """The first line of the docstring, or else of the comment, of the module of a function.

    Empty where there is none, and for modules that are not the user's own.
    """
    while isinstance(function, functools.partial):
        function = function.func
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    if module is None or not isinstance(file, str) or not is_own_file(file):
        return ""
    text = module.__doc__
    if isinstance(text, str) and text.strip():
        return _first_line(text)
    try:
        with tokenize.open(file) as lines:
            return _first_comment(lines.read(64 * 1024))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return ""


def purpose_of_script(path: str) -> str:
    """The first line of the comment with which a JavaScript file begins; empty without one."""
    try:
        text = Path(path).read_text("utf-8-sig")[: 64 * 1024]
    except (OSError, UnicodeDecodeError):
        return ""
    match = re.match(_SCRIPT_COMMENT, text)
    if match is None:
        return ""
    opening, line = match.groups()
    if opening.startswith("/*") and not line.strip(" *"):
        line = text[match.end() :].lstrip().partition("\n")[0]
    line = line.partition("*/")[0].strip(" \t*")
    return "" if re.match(_SETTING, line) else _first_line(line)


def _first_comment(source: str) -> str:
    in_metadata = False
    for line in source.splitlines():
        text = line.strip()
        if not text.startswith("#"):
            if text:
                return ""
            continue
        text = text.lstrip("#")
        if text.startswith(" ///"):
            in_metadata = not in_metadata
        elif text.strip() and not in_metadata and not re.match(_SETTING, text):
            return _first_line(text)
    return ""


def _first_line(text: str) -> str:
    line = next((each.strip() for each in text.splitlines() if each.strip()), "")
    line = "".join(each for each in line if each.isprintable())
    return line if len(line) <= MAX_LENGTH else f"{line[: MAX_LENGTH - 1]}…"
