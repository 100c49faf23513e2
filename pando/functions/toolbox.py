"""What bundling needs from npm: looked for first, else installed once into Pando's cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from ..cache import cache_folder, make_whole
from ..errors import FunctionError

Say = Callable[[str], None]

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
"""Modules that Node has built in, and what stands for each of them outside of Node."""
GLOBALS = {
    "Buffer": 'export { Buffer } from "buffer";\n',
    "process": 'import * as process from "process";\nexport { process };\n',
}
"""Node's global variables, as modules that esbuild puts in where one is used."""


def find_esbuild(folder: Path, say: Say) -> str:
    """The esbuild that belongs to a module in this folder, else any, else one of our own.

    One that belongs to the module lies in a folder of the user's.

    Raises:
        FunctionError: there is none, and it cannot be installed.
    """
    for place in (folder, *folder.parents):
        program = place / "node_modules" / ".bin" / "esbuild"
        if os.access(program, os.X_OK) and _is_own(place) and _is_own(program):
            return str(program)
    found = shutil.which("esbuild")
    if found is not None:
        return found
    return str(_install(ESBUILD, "esbuild", say) / "node_modules" / ".bin" / "esbuild")


def _is_own(place: Path) -> bool:
    """Whether it belongs to the user: what others put into `/tmp` is not to be run."""
    return not hasattr(os, "getuid") or place.stat().st_uid == os.getuid()


def find_built_ins(say: Say) -> Path:
    """The folder whose `node_modules` has what stands for Node's built-in modules.

    Each of `GLOBALS` is a module in it for esbuild to put in, `inject-….js`: one step away from
    what it stands for, so that nothing is left of those that are not used.

    Raises:
        FunctionError: they cannot be installed.
    """
    files = dict(GLOBALS)
    for name in GLOBALS:
        files[f"inject-{name}"] = f'export {{ {name} }} from "./{name}.js";\n'
    return _install(BUILT_INS, "what stands for Node's own modules", say, files)


def _install(
    packages: dict[str, str], what: str, say: Say, files: Mapping[str, str] = MappingProxyType({})
) -> Path:
    """The folder with these packages and files, made when it is first asked for."""
    manifest = json.dumps({"private": True, "sideEffects": False, "dependencies": packages})
    digest = hashlib.sha256("\n".join([manifest, *files.values()]).encode()).hexdigest()[:16]
    folder = cache_folder() / "npm" / digest
    if folder.is_dir():
        return folder
    if shutil.which("npm") is None:
        raise FunctionError(
            f"the module needs {what}, and there is no npm to install it with; "
            "install Node.js, or bundle the module into one file yourself"
        )
    say(f"installing {what}, once")
    try:
        with make_whole(folder) as made:
            (made / "package.json").write_text(manifest)
            for name, text in files.items():
                (made / f"{name}.js").write_text(text)
            _run_npm(made, what)
    except OSError as error:
        raise FunctionError(f"{folder} cannot be made: {error.strerror}") from None
    return folder


def _run_npm(folder: Path, what: str) -> None:
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or ["npm does not say why"])[-1]
        raise FunctionError(f"the module needs {what}, which cannot be installed: {why}")
