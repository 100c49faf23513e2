"""The code in the pages, and in the docstrings of the public names, does what it says.

A block of Python is run as a script; one whose first line is a comment with a file's name is
written into that file, for the blocks after it. In a console block each line with a prompt is run
by a shell and has to print the lines after it.
"""

from __future__ import annotations

import doctest
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sybil import Document, Example
from sybil.parsers.markdown import CodeBlockParser

import pando
from pando import values

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
PAGES = [
    "README.md",
    "docs/index.md",
    "docs/tutorial.md",
    "docs/command.md",
    "docs/library.md",
    "docs/volunteers.md",
]
SECONDS = 120


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the blocks run: with the examples, and with the commands of this checkout on PATH."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, arguments in {"python": "", "pando": "-m pando"}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (programs / name).chmod(0o755)
    return tmp_path


def run(folder: Path, *command: str) -> str:
    """What a command prints; it has to succeed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PANDO_SERVE": "0",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run(page: str, folder: Path) -> None:
    def run_python(example: Example) -> None:
        text = str(example.parsed)
        first = text.partition("\n")[0]
        name = first.removeprefix("# ")
        path = folder / (name if first.startswith("# ") and name.endswith(".py") else "block.py")
        path.write_text(text)
        if path.name == "block.py":
            run(folder, "python", path.name)

    def run_console(example: Example) -> str | None:
        for part in f"\n{example.parsed}".split("\n$ ")[1:]:
            command, _, expected = part.partition("\n")
            printed = run(folder, "bash", "-o", "pipefail", "-c", quiet(command))
            if printed.strip() != expected.strip():
                return f"{command} prints {printed!r}"
        return None

    parsers = [CodeBlockParser("python", run_python), CodeBlockParser("console", run_console)]
    for example in Document.parse(str(ROOT / page), *parsers):
        example.evaluate()


def quiet(command: str) -> str:
    """A pipe whose reader leaves early ends by a signal, which is no error here."""
    return f"set +o pipefail; {command}" if "| head" in command else command


def docstrings() -> list[doctest.DocTest]:
    """The examples in the docstrings of the public names and of their methods."""
    finder, parser = doctest.DocTestFinder(), doctest.DocTestParser()
    found = parser.get_doctest(pando.__doc__ or "", {"pando": pando}, "pando", None, None)
    tests = [found]
    for name in pando.__all__:
        public = getattr(pando, name)
        if inspect.isclass(public) or inspect.isfunction(public):
            tests += finder.find(public, name, globs={"pando": pando})
    return [test for test in tests if test.examples]


@pytest.mark.parametrize("test", docstrings(), ids=lambda test: test.name)
def test_the_examples_in_a_docstring_are_true(
    test: doctest.DocTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANDO_SERVE", "0")
    monkeypatch.setattr(values.REGISTERED, "_by_type", {})
    monkeypatch.setattr(values.REGISTERED, "_by_name", {})
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
    assert result.failed == 0, "".join(said)
    assert result.attempted > 0


def test_what_people_call_first_has_examples() -> None:
    shown = {test.name.partition(".")[0] for test in docstrings()}
    assert {"map", "amap", "run", "open_run", "report", "register_type", "function"} <= shown
