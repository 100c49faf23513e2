"""Runs scripts that send their cases, and what receives them: here, elsewhere, in Pyodide."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgpack

import pando

HERE = Path(__file__).parent
FIXTURES = HERE / "fixtures"
INSTALLED = FIXTURES / "installed" / "site-packages"
PYODIDE = Path(pando.__file__).parent / "web" / "frontend" / "node_modules" / "pyodide"


def run_python(
    *arguments: str,
    cwd: Path | None = None,
    input: str = "",
    python: str = sys.executable,
    path: tuple[Path, ...] = (),
) -> str:
    """What a script that sends its cases, or receives some, writes."""
    places = os.pathsep.join(map(str, (HERE, INSTALLED, *path)))
    ended = subprocess.run(
        [python, *arguments],
        env={**os.environ, "PYTHONPATH": places, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=cwd,
        input=input,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def receive(shipped: str, cwd: Path, form: str = "portable") -> dict[str, list[str]]:
    """What the cases give in a fresh interpreter that has no path to the script's folder."""
    return json.loads(run_python("-P", str(HERE / "shipping.py"), form, cwd=cwd, input=shipped))


def receive_elsewhere(python: str, shipped: str, cwd: Path) -> dict[str, list[str]]:
    """The same by another version of Python, which needs nothing installed."""
    command = ["-P", str(HERE / "shipping.py"), "portable"]
    path = (pando_folder(), msgpack_folder())
    return json.loads(run_python(*command, cwd=cwd, input=shipped, python=python, path=path))


def receive_in_pyodide(shipped: str) -> dict[str, list[str]]:
    """The same by Pyodide, in Node."""
    node = shutil.which("node")
    assert node is not None
    folders = [HERE, INSTALLED, pando_folder(), msgpack_folder()]
    ended = subprocess.run(
        [node, str(HERE / "pyodide_cases.mjs"), str(PYODIDE), *map(str, folders)],
        input=shipped,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]  # before it is Pyodide's own text
    return json.loads(ended.stdout)


@functools.cache
def find_python(version: str) -> str | None:
    """A Python of another version, where there is one at hand."""
    name = f"python{version}"
    kept = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/{name}"))
    for found in filter(None, [shutil.which(name), *map(str, kept)]):
        asked = [found, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        done = subprocess.run(asked, capture_output=True, text=True)
        if done.stdout.strip() == version:
            return found
    return None


def has_pyodide() -> bool:
    """Whether Pyodide can be run in Node."""
    return shutil.which("node") is not None and (PYODIDE / "pyodide.mjs").is_file()


def pando_folder() -> Path:
    """Where Pando lies."""
    return Path(pando.__file__).parent.parent


@functools.cache
def msgpack_folder() -> Path:
    """A folder with `msgpack` as it is in Python, without the part in C."""
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="msgpack-"))
    ignore = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(Path(msgpack.__file__).parent, folder / "msgpack", ignore=ignore)
    return folder
