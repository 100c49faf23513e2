"""Bundling: a JavaScript module and what it requires become one script, by esbuild.

A CommonJS module's own text stays as it is, on its own lines, so that stacks are true; what it
requires is bundled behind it. An ES module is bundled whole.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import NoReturn

from ..errors import FunctionError
from .needs import PROVIDED, Needs
from .toolbox import BUILT_INS, GLOBALS, Say, find_built_ins, find_esbuild

# fmt: off
ONLY_IN_NODE = {
    "async_hooks", "child_process", "cluster", "dgram", "diagnostics_channel", "dns", "fs",
    "fs/promises", "http", "http2", "https", "inspector", "module", "net", "perf_hooks",
    "readline", "repl", "sys", "tls", "tty", "v8", "wasi", "worker_threads",
}
# fmt: on
OPTIONS = [
    "--bundle",
    "--format=cjs",
    "--platform=browser",
    "--target=es2022",
    "--define:global=globalThis",
    '--define:process.env.NODE_ENV="production"',
    f"--external:{PROVIDED}",
    "--log-level=error",
    "--log-limit=0",
    "--color=false",
]
ERROR = re.compile(r"\[ERROR\] (?P<what>.*)\n\n\s*(?P<file>.+?):(?P<line>\d+):\d+:")
UNRESOLVED = re.compile(r'Could not resolve "(.*)"')
STDIN = "<stdin>"
USED_GLOBAL = "pando_uses_"
"""What stands before each of Node's global variables that is used, in a first attempt."""

ATTACHED = """\
(function (%(parameters)s) {return (function () {%(source)s
}).call(this)}).call(exports, ...(function (require) {
var module = {exports: {}};
(function (exports, module) {
%(bundle)s
})(module.exports, module);
var bundled = module.exports;
function find(name) {
  return Object.prototype.hasOwnProperty.call(bundled, name) ? bundled[name]() : require(name);
}
return [%(arguments)s];
})(require));
"""
ARGUMENTS = {"require": "find", "Buffer": 'find("buffer").Buffer', "process": 'find("process")'}


def bundle_module(path: Path, say: Say) -> str:
    """A module and all that it imports, as one CommonJS script.

    Raises:
        FunctionError: something in it is not JavaScript, or cannot be found.
    """
    return _Bundler(path, {}, say).bundle(f"./{path.name}")


def add_required(source: str, needs: Needs, path: Path, say: Say) -> str:
    """The text of a CommonJS script with all that it requires behind it.

    Raises:
        FunctionError: something in what it requires is not JavaScript, or cannot be found.
    """
    names = dict.fromkeys([*needs.required, *map(str.lower, needs.built_in)])
    entries = [
        f"{json.dumps(name)}: function () {{ return require({json.dumps(name)}); }}"
        for name in names
    ]
    bundler = _Bundler(path, needs.required, say)
    bundle = bundler.bundle(None, f"module.exports = {{{', '.join(entries)}}};")
    parameters = ["require", *needs.built_in]
    return ATTACHED % {
        "parameters": ", ".join(parameters),
        "source": source,
        "bundle": bundle,
        "arguments": ", ".join(ARGUMENTS[name] for name in parameters),
    }


class _Bundler:
    """esbuild, for one module: without Node's built-in modules, or with them where it needs any."""

    def __init__(self, path: Path, lines: dict[str, int], say: Say) -> None:
        self._path = path
        self._folder = path.resolve().parent
        self._lines = lines
        self._say = say
        self._esbuild = find_esbuild(self._folder, say)

    def bundle(self, entry: str | None, text: str = "") -> str:
        done = self._run(entry, text)
        missing = {name.removeprefix("node:") for name in UNRESOLVED.findall(done.stderr)}
        if missing & BUILT_INS.keys() or USED_GLOBAL in done.stdout:
            done = self._run(entry, text, find_built_ins(self._say))
        if done.returncode != 0:
            self._explain(done.stderr)
        return done.stdout

    def _run(
        self, entry: str | None, text: str, built_ins: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [self._esbuild, *OPTIONS]
        environment = dict(os.environ)
        if built_ins is None:
            command += [f"--define:{name}={USED_GLOBAL}{name}" for name in GLOBALS]
        else:
            command += [f"--alias:node:{name}={name}" for name in BUILT_INS]
            command += [f"--inject:{built_ins}/inject-{name}.js" for name in GLOBALS]
            environment["NODE_PATH"] = str(built_ins / "node_modules")
        try:
            return subprocess.run(
                [*command, entry] if entry is not None else command,
                input=text if entry is None else None,
                stdin=subprocess.DEVNULL if entry is not None else None,
                capture_output=True,
                encoding="utf-8",
                cwd=self._folder,
                env=environment,
                check=False,
            )
        except OSError as error:
            raise FunctionError(f"{self._esbuild} cannot be run: {error.strerror}") from None

    def _explain(self, errors: str) -> NoReturn:
        """Raise the first of esbuild's errors as one sentence."""
        error = ERROR.search(errors)
        if error is None:
            last = (errors.strip().splitlines() or ["esbuild does not say why"])[-1]
            raise FunctionError(f"{self._path} cannot be bundled: {last}")
        place = f"{self._folder / error['file']}, line {error['line']}"
        unresolved = UNRESOLVED.match(error["what"])
        if unresolved is None:
            raise FunctionError(f"{place}: {error['what']}")
        name = unresolved[1]
        if error["file"] == STDIN:
            place = f"{self._path}, line {self._lines[name]}"
        elif (self._folder / error["file"]).resolve() == self._path.resolve():
            place = f"{self._path}, line {error['line']}"
        raise FunctionError(f"{place}: it requires {name!r}, {_why_missing(name)}")


def _why_missing(name: str) -> str:
    if name.removeprefix("node:") in ONLY_IN_NODE:
        return "which only Node has"
    if name.startswith((".", "/")):
        return "and there is no such file"
    return f"which is not installed beside the module; `npm install {name}` there may help"
