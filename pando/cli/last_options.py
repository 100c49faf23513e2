"""What the options print that are asked for instead of the command."""

from __future__ import annotations

import argparse

from .. import __version__
from .parser import Parser


def answer(parser: Parser, options: argparse.Namespace) -> str | None:
    """Return the text that options ask for instead of the command, if one does."""
    if "help" in options:
        return parser.format_help()
    if "version" in options:
        return f"pando {__version__}\n"
    if "print_completion" in options:
        from .shells import print_completion

        return print_completion(parser, options.print_completion)
    if "print_man" in options:
        from .manual import format_manual

        return format_manual(parser)
    return None
