"""Generate the manual page of a command from its parser."""

from __future__ import annotations

import argparse
import re

from .. import __version__
from .parser import Parser

OTHERS = {"pando": "pando-volunteer", "pando-volunteer": "pando", "pando-server": "pando"}


def format_manual(parser: Parser) -> str:
    """Return the page in roff."""
    usage, summary = parser.usage or "", (parser.description or "").partition("\n\n")
    lines = [
        f'.TH {_escape(parser.prog.upper())} 1 "" "pando {__version__}" "User Commands"',
        ".SH NAME",
        f"{_escape(parser.prog)} \\- {_escape(_name_line(summary[0]))}",
        ".SH SYNOPSIS",
        ".nf",
        *(_escape(line.strip()) for line in usage.splitlines()),
        ".fi",
        ".SH DESCRIPTION",
        *_paragraphs(parser.description or ""),
        ".SH OPTIONS",
    ]
    for group in parser._action_groups:
        shown = [action for action in group._group_actions if action.help != argparse.SUPPRESS]
        if not shown:
            continue
        if group.title != "options":
            lines.append(f".SS {_escape(group.title or '')}")
        for action in shown:
            lines += [".TP", _invocation(action), _escape(action.help or "").replace("%%", "%")]
    if parser.epilog:
        lines += [".SH NOTES", *_paragraphs(parser.epilog)]
    lines += [".SH SEE ALSO", f".BR {_escape(OTHERS[parser.prog])} (1)"]
    return "\n".join(lines) + "\n"


def _name_line(text: str) -> str:
    """Return the first sentence on one line, without its full stop, for the NAME section."""
    sentence = " ".join(text.split()).partition(". ")[0].rstrip(".")
    return sentence[:1].lower() + sentence[1:]


def _invocation(action: argparse.Action) -> str:
    value = f" \\fI{_escape(str(action.metavar))}\\fR" if action.metavar else ""
    names = action.option_strings or [""]
    return ", ".join(f"\\fB{_escape(name)}\\fR" if name else "" for name in names) + value


def _paragraphs(text: str) -> list[str]:
    """Format paragraphs; keep the line breaks of those with indented lines."""
    lines: list[str] = []
    for paragraph in text.strip("\n").split("\n\n"):
        as_it_is = re.search(r"^ ", paragraph, re.MULTILINE) is not None
        body = [_escape(line) for line in paragraph.splitlines()]
        lines += [".PP", *([".nf", *body, ".fi"] if as_it_is else body)]
    return lines[1:]


def _escape(text: str) -> str:
    """Escape a text, so that roff finds no requests and no escapes in it."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...")
    text = text.replace("'", "\\(aq").replace("`", "\\(ga")
    return f"\\&{text}" if text.startswith(".") else text
