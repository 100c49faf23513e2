"""The tree of errors is the one that its module prints."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from pando import errors

PACKAGE = Path(errors.__file__).parent


def printed() -> dict[str, str]:
    """The parent of each class that the docstring names."""
    assert errors.__doc__ is not None
    parents: dict[str, str] = {}
    above: list[str] = []
    for line in errors.__doc__.splitlines():
        match = re.match(r"    ([│├└─ ]*)([A-Z]\w+Error)\b", line)
        if match:
            depth = len(match[1]) // 4
            del above[depth:]
            parents[match[2]] = above[-1] if above else ""
            above.append(match[2])
    return parents


def test_the_module_prints_the_tree_as_it_is() -> None:
    bases: dict[str, list[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        if "node_modules" not in path.parts:
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ClassDef):
                    bases[node.name] = [
                        base.id for base in node.bases if isinstance(base, ast.Name)
                    ]
    actual = {"PandoError": ""}
    while True:
        more = {
            name: parent
            for name, parents in bases.items()
            for parent in parents
            if parent in actual and name not in actual
        }
        if not more:
            break
        actual |= more
    assert printed() == actual
