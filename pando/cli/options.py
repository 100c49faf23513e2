"""The command line of `pando`: from arguments and config.json to settings, and the help page."""

from __future__ import annotations

import argparse
import re
import shutil
from dataclasses import MISSING, Field, fields
from typing import Any, NoReturn

from .. import __version__
from ..errors import UsageError
from .settings import COMPUTING, ITEMS, OTHER, VOLUNTEERS, Settings, dashed, read_config, value_type

INTRODUCTION = """\
Apply the function of a Python or JavaScript file to each item, on all cores,
and print the results in the order of the items, one a line."""

EXAMPLES = """\
Examples:
  pando examples/square.py 1 2 3 4 5
  seq 1000000 | pando examples/square.py --stdin
  pando mine.py --local 42                 a breakpoint in the function works

MODULE exports its function as `def pando(x)`, marks it with @pando.function,
or sets exports = {"/pando/1.0.0": function}; in JavaScript it sets
module.exports['/pando/1.0.0'] = function (x, cb) {…}. ITEMs that are numbers
become numbers, all others stay strings. Items that begin with a dash go
behind `--`.

$HOME/.pando/config.json may hold defaults, such as {"workers": 2}.
Exit status: 0 all done, 1 an item failed, 2 wrong use, 130 interrupted."""

TRUE, FALSE = ("true", "1", "yes"), ("false", "0", "no")
NEGATIVE_NUMBER = re.compile(r"-(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?$", re.IGNORECASE)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see pando -h")


def make_parser() -> argparse.ArgumentParser:
    """The parser; what is not given on the command line is not in the namespace."""
    width = min(shutil.get_terminal_size().columns, 96)
    parser = _Parser(
        prog="pando",
        usage="pando MODULE [OPTIONS] [ITEM ...]",
        description=INTRODUCTION,
        epilog=EXAMPLES,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
            prog, max_help_position=30, width=width
        ),
        allow_abbrev=False,
        add_help=False,
        argument_default=argparse.SUPPRESS,
    )
    parser._negative_number_matcher = NEGATIVE_NUMBER
    parser.add_argument("words", metavar="MODULE", nargs="*", help=argparse.SUPPRESS)
    for title in (ITEMS, COMPUTING, VOLUNTEERS, OTHER):
        group = parser.add_argument_group(title)
        for option in fields(Settings):
            if option.metadata["group"] == title:
                _add_option(group, option)
    group.add_argument("-h", "--help", action="store_true", help="show this page")
    group.add_argument("-v", "--version", action="store_true", help="show the version")
    return parser


def _add_option(group: argparse._ArgumentGroup, option: Field[Any]) -> None:
    name = dashed(option.name)
    meaning = option.metadata["meaning"]
    if not option.metadata["built"]:
        meaning += " (to come)"
    if value_type(option.name) is bool:
        # The help page shows the one that changes something.
        on, off = (argparse.SUPPRESS, meaning) if option.default else (meaning, argparse.SUPPRESS)
        group.add_argument(f"--{name}", dest=option.name, action="store_true", help=on)
        group.add_argument(f"--no-{name}", dest=option.name, action="store_false", help=off)
        return
    if option.default is not None and option.default is not MISSING:
        default = option.default
        meaning += f" ({default:g})" if isinstance(default, float) else f" ({default})"
    group.add_argument(
        f"--{name}",
        dest=option.name,
        type=value_type(option.name),
        metavar=option.metadata["value"],
        help=meaning.replace("%", "%%"),
    )


def parse(arguments: list[str]) -> tuple[Settings, str, list[str], list[str]] | str:
    """Settings, the module, its items, and the options given; or a text to show instead.

    Raises:
        UsageError: an option is unknown or its value wrong, here or in config.json.
    """
    parser = make_parser()
    place = arguments.index("--") if "--" in arguments else len(arguments)
    options, behind = arguments[:place], arguments[place + 1 :]
    known, unknown = parser.parse_known_intermixed_args(_without_boolean_values(options, parser))
    if unknown:
        name = unknown[0].partition("=")[0]
        parser.error(f"there is no option {name}, and items with a leading dash go behind `--`")
    given = vars(known)
    if given.pop("help", False):
        return parser.format_help()
    if given.pop("version", False):
        return f"pando {__version__}\n"
    words = [*given.pop("words", []), *behind]
    if not words:
        raise UsageError("which module? Use it as: pando MODULE [OPTIONS] [ITEM ...]; see pando -h")
    module, *items = words
    if given.get("stdin") and items:
        raise UsageError("items come from --stdin or from the command line, not from both")
    defaults = read_config()
    if items:
        defaults.pop("stdin", None)
    return Settings(**{**defaults, **given}), module, items, list(given)


def _without_boolean_values(arguments: list[str], parser: argparse.ArgumentParser) -> list[str]:
    """``--local=true`` as ``--local`` and ``--local=false`` as ``--no-local``."""
    boolean = {f"--{dashed(f.name)}" for f in fields(Settings) if value_type(f.name) is bool}
    plain: list[str] = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if equals and name in boolean:
            if value.lower() not in TRUE + FALSE:
                parser.error(f"{name} is true or false, not {value!r}")
            argument = name if value.lower() in TRUE else f"--no-{name.removeprefix('--')}"
        plain.append(argument)
    return plain
