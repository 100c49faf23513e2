"""Bundling: a JavaScript module and what it requires become one script, by esbuild.

A CommonJS module's own text stays as it is, on its own lines, so that stacks are true; what it
requires is bundled after it. An ES module is bundled whole.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ..errors import FunctionError
from ..notifier import Notifier
from .npm_packages import BUILT_INS, GLOBALS, find_built_ins, find_esbuild
from .requires import PROVIDED

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
REQUIRE = "require-call"
USED_GLOBAL = "pando_uses_"
"""What precedes each of Node's global variables that is used, in a first attempt."""

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


def bundle(source: str, path: Path, lines: dict[str, int], say: Notifier) -> str:
    """Bundle a module's text and all that it requires into one CommonJS script.

    Args:
        source: the text.
        path: the file that it is from.
        lines: where the module requires what, as far as that is known.
        say: told, in a sentence, of what takes long.

    Raises:
        FunctionError: something is not JavaScript, or cannot be found.
    """
    bundler = _Bundler(path, lines, say)
    needs = bundler.examine()
    if needs.is_es_module:
        return bundler.bundle(f"./{path.resolve().name}")
    if not needs.required and not needs.built_in:
        return source
    names = dict.fromkeys([*needs.required, *map(str.lower, needs.built_in)])
    entries = [
        f"{json.dumps(name)}: function () {{ return require({json.dumps(name)}); }}"
        for name in names
    ]
    parameters = ["require", *needs.built_in]
    return ATTACHED % {
        "parameters": ", ".join(parameters),
        "source": source,
        "bundle": bundler.bundle(None, f"module.exports = {{{', '.join(entries)}}};"),
        "arguments": ", ".join(ARGUMENTS[name] for name in parameters),
    }


@dataclass(frozen=True)
class _Needs:
    """What a module takes from elsewhere, as esbuild finds it."""

    required: list[str]
    built_in: list[str]
    is_es_module: bool


class _Bundler:
    """esbuild, for one module."""

    def __init__(self, path: Path, lines: dict[str, int], say: Notifier) -> None:
        self._path = path
        self._folder = path.resolve().parent
        self._lines = lines
        self._say = say
        self._esbuild = find_esbuild(self._folder, say)

    def examine(self) -> _Needs:
        """Return what the module itself needs."""
        with tempfile.TemporaryDirectory() as temporary:
            output, told = Path(temporary, "output.js"), Path(temporary, "told.json")
            entry = self._path.resolve().name
            files = [f"./{entry}", f"--outfile={output}", f"--metafile={told}"]
            done = self._run([*files, "--external:*"], "")
            if done.returncode != 0:
                self._explain(done.stderr)
            script = output.read_text("utf-8")
            module = json.loads(told.read_text("utf-8"))["inputs"][entry]
        imports = [(each["kind"], each["path"]) for each in module["imports"]]
        return _Needs(
            [path for kind, path in imports if kind == REQUIRE and path != PROVIDED],
            [name for name in GLOBALS if f"{USED_GLOBAL}{name}" in script],
            module.get("format") == "esm" or any(kind != REQUIRE for kind, _ in imports),
        )

    def bundle(self, entry: str | None, text: str = "") -> str:
        """Bundle a file and what it requires, and Node's own modules where it needs any."""
        arguments = [] if entry is None else [entry]
        done = self._run(arguments, text)
        missing = {name.removeprefix("node:") for name in UNRESOLVED.findall(done.stderr)}
        if missing & BUILT_INS.keys() or USED_GLOBAL in done.stdout:
            done = self._run(arguments, text, find_built_ins(self._say))
        if done.returncode != 0:
            self._explain(done.stderr)
        return done.stdout

    def _run(
        self, arguments: list[str], text: str, built_ins: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [self._esbuild, *OPTIONS, *arguments]
        environment = dict(os.environ)
        if built_ins is None:
            command += [f"--define:{name}={USED_GLOBAL}{name}" for name in GLOBALS]
        else:
            command += [f"--alias:node:{name}={name}" for name in BUILT_INS]
            command += [f"--inject:{built_ins}/inject-{name}.js" for name in GLOBALS]
            environment["NODE_PATH"] = str(built_ins / "node_modules")
        try:
            return subprocess.run(
                command,
                input=text,
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
        file = self._folder / error["file"]
        in_entry = error["file"] == STDIN
        if in_entry or file.resolve() == self._path.resolve():
            file = self._path
        unresolved = UNRESOLVED.match(error["what"])
        if unresolved is None:
            raise FunctionError(f"{file}, line {error['line']}: {error['what']}")
        name = unresolved[1]
        line = self._lines.get(name) if in_entry else error["line"]
        place = f"{file}, line {line}" if line else str(file)
        raise FunctionError(f"{place}: it requires {name!r}, {_why_missing(name)}")


def _why_missing(name: str) -> str:
    if name.removeprefix("node:") in ONLY_IN_NODE:
        return "which only Node has"
    if name.startswith((".", "/")):
        return "and there is no such file"
    return f"which is not installed beside the module; `npm install {name}` there may help"
