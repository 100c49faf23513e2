"""What a JavaScript module seems to need, read off its text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

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
