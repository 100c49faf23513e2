"""The base of the commands' parsers: errors are one sentence, with a suggestion."""

from __future__ import annotations

import argparse
import shutil
from typing import NoReturn

from ..errors import UsageError

MAX_WIDTH = 96
SHELLS = ("bash", "zsh", "fish")


class Parser(argparse.ArgumentParser):
    """A parser that raises `UsageError`, and suggests similar options."""

    def __init__(self, *, prog: str, usage: str, description: str, epilog: str = "") -> None:
        width = min(shutil.get_terminal_size().columns, MAX_WIDTH)
        super().__init__(
            prog=prog,
            usage=usage,
            description=description,
            epilog=epilog,
            formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
                prog, max_help_position=30, width=width
            ),
            allow_abbrev=False,
            add_help=False,
            argument_default=argparse.SUPPRESS,
        )

    def error(self, message: str) -> NoReturn:
        """Raise a UsageError instead of exiting."""
        raise UsageError(f"{message}; see {self.prog} -h")

    def refuse(self, argument: str, otherwise: str = "") -> NoReturn:
        """Raise a UsageError for an unknown option, with a similar option or other advice."""
        import difflib

        name = argument.partition("=")[0]
        close = difflib.get_close_matches(name, self.visible_options(), n=1)
        if close:
            raise UsageError(f"unknown option {name}; did you mean {close[0]}? See {self.prog} -h")
        self.error(f"unknown option {name}{otherwise}")

    def visible_options(self) -> list[str]:
        """Return the options on the help page."""
        return [
            option
            for action in self._actions
            if action.help != argparse.SUPPRESS
            for option in action.option_strings
        ]

    def add_last_options(self, group: argparse._ArgumentGroup) -> None:
        """Add the options that print something instead of running the command."""
        group.add_argument(
            "--print-completion",
            metavar="|".join(SHELLS),
            choices=SHELLS,
            help="print the completion of options for a shell",
        )
        group.add_argument("--print-man", action="store_true", help="print the manual page")
        group.add_argument("-h", "--help", action="store_true", help="show this page")
        group.add_argument("-v", "--version", action="store_true", help="show the version")
