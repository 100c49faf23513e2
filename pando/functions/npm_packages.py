"""What bundling needs from npm: looked for first, else installed once into Pando's cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from ..cache import atomic_directory, cache_folder
from ..errors import FunctionError
from ..notifier import Notifier
from .npm import HOW_TO_GET, Npm, find_npm, run_npm

ESBUILD = {"esbuild": "0.28.2"}
BUILT_INS = {
    "assert": "2.1.0",
    "buffer": "6.0.3",
    "constants": "npm:constants-browserify@1.0.0",
    "crypto": "npm:crypto-browserify@3.12.1",
    "domain": "npm:domain-browser@5.7.0",
    "events": "3.3.0",
    "os": "npm:os-browserify@0.3.0",
    "path": "npm:path-browserify@1.0.1",
    "process": "0.11.10",
    "punycode": "2.3.1",
    "querystring": "npm:querystring-es3@0.2.1",
    "stream": "npm:stream-browserify@3.0.0",
    "string_decoder": "1.3.0",
    "timers": "npm:timers-browserify@2.0.12",
    "url": "0.11.4",
    "util": "0.12.5",
    "vm": "npm:vm-browserify@1.1.2",
    "zlib": "npm:browserify-zlib@0.2.0",
}
"""Modules that Node has built in, and the polyfill for each of them."""
GLOBALS = {
    "Buffer": 'export { Buffer } from "buffer";\n',
    "process": 'import * as process from "process";\nexport { process };\n',
}
"""Node's global variables, as modules that esbuild puts in where one is used."""


def find_esbuild(folder: Path, say: Notifier) -> str:
    """Find the esbuild that belongs to a module in this folder, else any, else one of our own.

    One that belongs to the module lies in a folder of the user's.

    Raises:
        FunctionError: there is none, and it cannot be installed.
    """
    for place in (folder, *folder.parents):
        program = place / "node_modules" / ".bin" / "esbuild"
        if _is_own(place) and _is_own(program) and _can_run(program):
            return str(program)
    found = shutil.which("esbuild")
    if found is not None and _can_run(Path(found)):
        return found
    installed = _install(ESBUILD, "esbuild", say)
    native = installed.glob("node_modules/@esbuild/*/bin/esbuild")
    return str(next(native, installed / "node_modules" / ".bin" / "esbuild"))


def _can_run(program: Path) -> bool:
    """Tell whether it can be run here: what npm puts there is often a script for Node.js."""
    if not os.access(program, os.X_OK):
        return False
    try:
        with program.open("rb") as file:
            first = file.readline(200)
    except OSError:
        return False
    return not (first.startswith(b"#!") and b"node" in first) or shutil.which("node") is not None


def _is_own(place: Path) -> bool:
    """Tell whether it belongs to the user: what others put into `/tmp` is not to be run."""
    try:
        return not hasattr(os, "getuid") or place.stat().st_uid == os.getuid()
    except OSError:
        return False


def find_built_ins(say: Notifier) -> Path:
    """Find the folder whose `node_modules` has the polyfills of Node's built-in modules.

    Each of `GLOBALS` is a module in it for esbuild to put in, `inject-….js`: one step away from
    what it replaces, so that nothing is left of those that are not used.

    Raises:
        FunctionError: they cannot be installed.
    """
    files = dict(GLOBALS)
    for name in GLOBALS:
        files[f"inject-{name}"] = f'export {{ {name} }} from "./{name}.js";\n'
    return _install(BUILT_INS, "Node polyfills", say, files)


def _install(
    packages: dict[str, str],
    what: str,
    say: Notifier,
    files: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """Return the folder with these packages and files, made when it is first asked for."""
    manifest = json.dumps({"private": True, "sideEffects": False, "dependencies": packages})
    digest = hashlib.sha256("\n".join([manifest, *files.values()]).encode()).hexdigest()[:16]
    folder = cache_folder() / "npm" / digest
    if folder.is_dir():
        return folder
    npm = find_npm()
    if npm is None:
        raise FunctionError(
            f"the module needs {what}, and there is no npm to install it with; "
            f"{HOW_TO_GET}, or bundle the module into one file yourself"
        )
    say(f"installing {what} (first use only)")
    try:
        with atomic_directory(folder) as made:
            (made / "package.json").write_text(manifest)
            for name, text in files.items():
                (made / f"{name}.js").write_text(text)
            _fill(made, npm, what)
    except OSError as error:
        raise FunctionError(f"{folder} cannot be made: {error.strerror}") from None
    return folder


def _fill(folder: Path, npm: Npm, what: str) -> None:
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    arguments = ["install", "--ignore-scripts", "--include=optional", *quiet]
    done = run_npm(npm, *arguments, folder=folder, capture=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["npm does not say why"]
        lines = [line for line in lines if "A complete log of this run" not in line] or lines
        raise FunctionError(f"the module needs {what}, which cannot be installed: {lines[-1]}")
