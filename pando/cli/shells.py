"""Completion of a command's options for shells, made from its parser by shtab."""

from __future__ import annotations

from .parser import Parser

FILES = ("words", "certfile", "keyfile")
FOLDERS = ("wheels",)


def print_completion(parser: Parser, shell: str) -> str:
    """The script that a shell reads to complete the command's options and files."""
    import shtab

    for action in parser._actions:
        if action.dest in FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.dest in FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        if not action.option_strings:
            action.help = "a module, or an item"
        elif isinstance(action.metavar, str) and "|" in action.metavar:
            action.choices = action.metavar.split("|")
    script: str = shtab.complete(parser, shell=shell)
    return script
