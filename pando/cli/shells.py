"""Generate shell completion for a command from its parser."""

from __future__ import annotations

from .parser import Parser

FILES = ("words", "certfile", "keyfile")
FOLDERS = ("wheels",)


def print_completion(parser: Parser, shell: str) -> str:
    """Return the script by which a shell completes options and file names."""
    import shtab

    for action in parser._actions:
        if action.dest in FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.dest in FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        if not action.option_strings:
            action.help = "a module or an item"
        elif isinstance(action.metavar, str) and "|" in action.metavar:
            action.choices = action.metavar.split("|")
    script: str = shtab.complete(parser, shell=shell)
    return script
