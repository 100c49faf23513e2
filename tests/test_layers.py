"""The layers: a package imports only from those below it, and there are no circles.

What each may know is the table of the design. A package that is not in the table fails here, so
that it is put into it.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import pando

PACKAGE = Path(pando.__file__).parent
VOCABULARY = {
    "buffers",
    "cache",
    "channel",
    "config",
    "debug",
    "deprecation",
    "errors",
    "figures",
    "importing",
    "limits",
    "messages",
    "notifier",
    "reports",
    "requirements",
    "source",
    "standard_error",
    "values",
}
"""What every layer may know; the modules of it know nothing but each other."""
MAY_KNOW = {
    "scheduler": set(),
    "functions": set(),
    "net": set(),
    "reporting": set(),
    "runtime": {"functions"},
    "worker": {"functions", "runtime"},
    "tree": {"scheduler", "net", "reporting"},
    "web": {"net", "reporting"},
    "server": {"net", "web"},
    "volunteering": {"functions", "net", "reporting", "scheduler", "tree", "worker"},
    "running": {"functions", "net", "reporting", "scheduler", "tree", "web", "worker"},
    "cli": {"functions", "running", "runtime", "scheduler", "server", "volunteering", "worker"},
}
WITHOUT_TRIO = ("functions", "runtime", "values")
"""What runs where Trio is not."""
WITHOUT_IO = [
    "pando.messages",
    "pando.net.relayed.multiplexer",
    "pando.net.relayed.proof",
    "pando.reporting.device",
    "pando.reporting.live",
    "pando.reporting.global_view",
    "pando.reporting.passing",
    "pando.reporting.report_link",
    "pando.reports.records",
    "pando.scheduler",
    "pando.server.rooms",
    "pando.source",
    "pando.tree.actions",
    "pando.tree.codec",
    "pando.tree.deadlines",
    "pando.tree.incoming_results",
    "pando.tree.job",
    "pando.tree.lending",
    "pando.tree.lending_steps",
    "pando.tree.meter",
    "pando.tree.outgoing_batches",
    "pando.tree.overlay",
    "pando.tree.pauses",
    "pando.tree.uplink",
]
"""What is told what happened and returns what to do. Nothing that it imports may do I/O either."""
IO_MODULES = {"trio", "asyncio", "socket", "websockets"}


def modules() -> dict[str, Path]:
    """All modules of the package, by their name without the package's own."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        inside = path.relative_to(PACKAGE)
        if inside.parts[:2] == ("web", "frontend"):
            continue
        name = ".".join(inside.with_suffix("").parts).removesuffix("__init__").rstrip(".")
        found[name] = path
    return found


MODULES = modules()


def imports_of(name: str) -> Iterator[str]:
    """The modules of the package that a module imports, anywhere in it."""
    path = MODULES[name]
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            for alias in node.names:
                inner = f"{module}.{alias.name}".strip(".")
                yield inner if inner in MODULES else module


def layer_of(module: str) -> str:
    """The layer of a module. What `python -m` runs of a package is a command."""
    if module.endswith(".__main__"):
        return "cli"
    return module.partition(".")[0]


def test_every_package_is_in_the_table():
    layers = {layer_of(name) for name in MODULES if name}
    assert layers - {"__main__"} == VOCABULARY | set(MAY_KNOW)


@pytest.mark.parametrize("layer", [*MAY_KNOW, *sorted(VOCABULARY)])
def test_a_layer_knows_only_what_it_may(layer):
    allowed = VOCABULARY | MAY_KNOW.get(layer, set()) | {layer, ""}
    if layer == "scheduler":
        allowed = {"scheduler"}
    for name in MODULES:
        if layer_of(name) == layer:
            known = {layer_of(module) for module in imports_of(name)}
            assert known <= allowed, f"{name} imports from {known - allowed}"


def test_imports_make_no_circle():
    graph = {name: set(imports_of(name)) - {name, ""} for name in MODULES if name}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("part", WITHOUT_TRIO)
def test_what_runs_where_trio_is_not_imports_no_trio(part):
    place = PACKAGE / part
    for path in [place] if place.is_file() else place.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                assert not {alias.name for alias in node.names} & {"trio"}, path
            if isinstance(node, ast.ImportFrom):
                assert node.module != "trio", path


@pytest.mark.process
@pytest.mark.parametrize("module", WITHOUT_IO)
def test_what_does_no_io_imports_nothing_that_does(module):
    code = f"""
import msgspec, sys
before = set(sys.modules)
import {module}
print(*sorted(set(sys.modules) - before))"""
    imported = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert module in imported
    assert not IO_MODULES.intersection(imported)


def test_no_module_hides_a_public_name():
    """Importing a submodule sets it as an attribute of its package: it must not be a public one."""
    for module in pkgutil.iter_modules([str(PACKAGE)]):
        if module.name != "__main__":
            importlib.import_module(f"pando.{module.name}")
    for name in pando.__all__:
        assert getattr(pando, name).__module__ != f"pando.{name}"
        assert callable(getattr(pando, name))
