"""What the pages refer to is there: files, names of the code, tests."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
FAILURES = (ROOT / "docs" / "how-it-fails.md").read_text("utf-8")
SECURITY = (ROOT / "docs" / "security.md").read_text("utf-8")
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FILE = re.compile(r"`([\w./-]+\.(?:py|ts|js|json|toml|yml))`")
SYMBOL = re.compile(r"`([A-Za-z_][\w.]*)`\s+\(`([\w/]+\.py)`\)")


def in_code(text: str) -> str:
    """Without blocks of code, whose brackets are no links."""
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    for target in LINK.findall(in_code(page.read_text("utf-8"))):
        if not target.startswith(("http://", "https://", "#")):
            place = (page.parent / target.partition("#")[0]).resolve()
            assert place.exists(), f"{page.name} links to {target}"


def names_in(path: Path) -> set[str]:
    """The classes, functions and constants of a module, and the methods of its classes."""
    found = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        for inner in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(f"{node.name}.{inner.name}")
    return found


@pytest.mark.parametrize(("name", "file"), sorted(set(SYMBOL.findall(ARCHITECTURE))))
def test_the_architecture_names_what_is_there(name: str, file: str) -> None:
    assert name in names_in(ROOT / "pando" / file)


def test_the_architecture_names_enough() -> None:
    assert len(set(SYMBOL.findall(ARCHITECTURE))) > 25


def test_files_that_the_architecture_names_exist() -> None:
    for name in FILE.findall(in_code(ARCHITECTURE)):
        places = [ROOT / name, ROOT / "pando" / name]
        is_built = name in {"runtime/v8.js"}
        assert is_built or name == "config.json" or any(map(Path.exists, places)), name


def test_the_table_of_layers_is_the_one_that_is_tested() -> None:
    from tests.test_layers import MAY_KNOW, VOCABULARY

    table = re.search(r"^## Layers$(.*?)^###", ARCHITECTURE, re.DOTALL | re.MULTILINE)
    assert table
    rows = re.findall(r"^\| (`.+?) \|.*\| (.*) \|$", table[1], re.MULTILINE)
    stated = {tuple(re.findall(r"`(\w+)`", names)): may for names, may in rows}
    assert set(stated) - {(name,) for name in MAY_KNOW} == {
        names for names in stated if set(names) == VOCABULARY
    }
    for layer, knows in MAY_KNOW.items():
        may = stated[(layer,)]
        if "everything" in may or "all below" in may:
            continue
        assert set(re.findall(r"`(\w+)`", may)) == knows, layer


@pytest.mark.parametrize(
    "named", sorted(set(re.findall(r"`([\w/]+\.py::\w+)`", FAILURES + SECURITY)))
)
def test_the_tests_that_pages_name_exist(named: str) -> None:
    file, _, name = named.partition("::")
    assert name in names_in(ROOT / "tests" / file)
