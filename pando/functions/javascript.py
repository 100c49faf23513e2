"""JavaScript modules: read, and made one script that requires nothing but Pando itself.

A module is a CommonJS script that sets ``module.exports["/pando/1.0.0"] = function (x, cb) {…}``,
as for the original tool, or an ES module with a default export. Whether it exports a function is
known only where it runs; see `pando.worker.javascript`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import FunctionError
from .package import JavaScriptPackage
from .toolbox import Say

SUFFIXES = (".js", ".cjs", ".mjs")
ENGINE = "mini-racer>=0.14,<0.15"
"""What has to be installed where no browser runs JavaScript, in the words of PEP 508."""
PROVIDED = "pando-computing"
"""The one module that may be required without being there: whoever runs the function has it."""

TOKENS = re.compile(
    r"""
    //[^\n]* | /\*.*?\*/
    | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | `(?:\\.|[^`\\])*`
    | (?<![\w$.])require\s*\(\s*(["'])(?P<required>[^"'\n]+)\1\s*\)
    | (?<![\w$.])(?P<buffer>Buffer\s*(?:\.\s*\w|\())
    | (?<![\w$.])(?P<process>process\s*\.\s*(?:env|nextTick|argv|hrtime|platform|version|cwd)\b)
    | ^[ \t]*(?P<es>export\s+(?:default|const|let|var|function|class|async)\b | export\s*[{*]
        | import\s*["'{*] | import\s+[\w$]+\s*(?:,|\bfrom\b))
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
"""What may have to be bundled: not a parser, but it knows comments and strings.

Whoever requires nothing needs no esbuild, and with it neither Node.js; esbuild itself has the last
word on what is required.
"""


@dataclass
class Needs:
    """What a script seems to take from elsewhere; names with the line where each is required."""

    required: dict[str, int] = field(default_factory=dict)
    built_in: list[str] = field(default_factory=list)
    is_es_module: bool = False


def find_needs(source: str) -> Needs:
    """What a script seems to require, and which of Node's global variables it seems to use."""
    needs = Needs()
    for token in TOKENS.finditer(source):
        kind, text = token.lastgroup, token.group()
        if kind == "required":
            name = token["required"]
            if name != PROVIDED and name not in needs.required:
                needs.required[name] = source.count("\n", 0, token.start()) + 1
        elif kind == "es":
            needs.is_es_module = True
        elif kind is not None and (name := re.split(r"\W", text)[0]) not in needs.built_in:
            needs.built_in.append(name)
    return needs


def read_module(path: str | Path, *, as_text: bool, say: Say) -> JavaScriptPackage:
    """A JavaScript file, with all that it requires, as a package.

    Args:
        path: the file.
        as_text: whether results are wanted as `String(result)`.
        say: told, in a sentence, of what takes long.

    Raises:
        FunctionError: there is no such file, or something that it requires cannot be found; the
            message is one sentence that names it.
    """
    path = Path(path)
    source = _read(path)
    needs = find_needs(source)
    if needs.required or needs.built_in or needs.is_es_module or path.suffix == ".mjs":
        from .bundling import bundle

        source = bundle(source, path, needs.required, say)
    return JavaScriptPackage(path.stem, source, str(path), as_text, [ENGINE])


def _read(path: Path) -> str:
    if path.is_dir():
        raise FunctionError(f"{path} is a folder, not a JavaScript file")
    try:
        source = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise FunctionError(f"there is no file {path}") from None
    except UnicodeDecodeError:
        raise FunctionError(f"{path} is not in UTF-8") from None
    except OSError as error:
        raise FunctionError(f"{path} cannot be read: {error.strerror}") from None
    return f"//{source}" if source.startswith("#!") else source
