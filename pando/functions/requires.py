"""What a JavaScript module seems to need, read off its text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

PROVIDED = "pando-computing"
"""The one module that may be required without being there: all workers have it."""

TOKENS = re.compile(
    r"""
    //[^\n]* | /\*.*?\*/
    | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | `(?:\\.|[^`\\])*`
    | (?<![\w$.])require\s*\(\s*(["'])(?P<required>[^"'\n]+)\1\s*\)
    | (?<![\w$.])(?P<buffer>Buffer\s*(?:\.\s*\w|\())
    | (?<![\w$.])(?P<process>process\s*\.\s*(?:env|nextTick|argv|hrtime|platform|version|cwd)\b)
    | (?<![\w$.])(?P<page>(?:document|window)\s*(?:\?\.|[.\[]))
    | (?P<guard>typeof\s+(?:document|window)\b)
    | (?P<own>\b(?:var|let|const|function|class)\s+(?:document|window)\b
        | [(,]\s*(?:document|window)(?=\s*[,)]) | (?<![\w$.])(?:document|window)\s*=(?!=))
    | ^[ \t]*(?P<es>export\s+(?:default|const|let|var|function|class|async)\b | export\s*[{*]
        | import\s*["'{*] | import\s+[\w$]+\s*(?:,|\bfrom\b))
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
"""What may have to be bundled: not a parser, but it knows comments and strings.

What requires nothing needs neither esbuild nor Node.js; esbuild itself decides what is required.
"""


@dataclass
class Needs:
    """What a script seems to take from elsewhere; names with the line where each is required.

    `page` is what it uses of a browser's page, which is not around it anywhere.
    """

    required: dict[str, int] = field(default_factory=dict)
    built_in: list[str] = field(default_factory=list)
    page: dict[str, int] = field(default_factory=dict)
    is_es_module: bool = False


def scan_requires(source: str) -> Needs:
    """Find what a script seems to require, and which of Node's globals it seems to use."""
    needs = Needs()
    known: set[str] = set()
    for token in TOKENS.finditer(source):
        kind, text = token.lastgroup, token.group()
        if kind == "required":
            name = token["required"]
            if name != PROVIDED and name not in needs.required:
                needs.required[name] = source.count("\n", 0, token.start()) + 1
        elif kind == "page":
            name = re.split(r"\W", text)[0]
            needs.page.setdefault(name, source.count("\n", 0, token.start()) + 1)
        elif kind in ("guard", "own"):
            known.update(re.findall("document|window", text))
        elif kind == "es":
            needs.is_es_module = True
        elif kind is not None and (name := re.split(r"\W", text)[0]) not in needs.built_in:
            needs.built_in.append(name)
    # A script that makes such a variable itself, or looks whether there is one, knows what it does.
    needs.page = {name: line for name, line in needs.page.items() if name not in known}
    return needs
