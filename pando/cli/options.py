"""The command line of `pando`: from arguments to settings and items, and the help page."""

from __future__ import annotations

import argparse
import re
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any

from .. import __version__
from ..errors import UsageError
from .defaults import read_defaults
from .items import ItemWords, sort_words
from .parser import Parser
from .settings import COMPUTING, ITEMS, OTHER, VOLUNTEERS, Settings, dashed, value_type

INTRODUCTION = """\
Apply the function of a Python or JavaScript file to each item, on all cores,
and print the results in the order of the items, one per line."""

EXAMPLES = """\
Examples:
  pando examples/square.py 1 2 3 4 5
  seq 1000000 | pando examples/square.py --stdin
  pando -c 'import math; math.sqrt(x)' 1 2 3
  pando mine.py --local 42                 breakpoint() in the function works

MODULE exports its function as `def pando(x)`, marks it with @pando.function,
or sets exports = {"/pando/1.0.0": function}; in JavaScript it sets
module.exports['/pando/1.0.0'] = function (x, cb) {…}. CODE is Python that
ends in an expression of x.

ITEMs that are numbers become numbers, all others stay strings. The item `-`
stands for the items on standard input. Put items that begin with a dash
after `--`.

$HOME/.pando/config.json may hold defaults, such as {"workers": 2}.
Exit status: 0 all done, 1 an item failed, 2 usage error. A command that a
signal ends, ends by that signal: shells report 130 after Ctrl-C."""

USAGE = "pando MODULE [OPTIONS] [ITEM ...]\n       pando -c CODE [OPTIONS] [ITEM ...]"
TRUE, FALSE = ("true", "1", "yes"), ("false", "0", "no")
NEGATIVE_NUMBER = re.compile(r"-(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Invocation:
    """What a command line asks for.

    Attributes:
        settings: the options, with defaults for those that were not given.
        module: the path of the module; empty where there is code instead.
        code: the code of ``-c``.
        items: the items.
        given: the options on the command line, by field.
    """

    settings: Settings
    module: str
    code: str | None
    items: ItemWords
    given: list[str]


def make_parser() -> Parser:
    """The parser; what is not given on the command line is not in the namespace."""
    parser = Parser(prog="pando", usage=USAGE, description=INTRODUCTION, epilog=EXAMPLES)
    parser._negative_number_matcher = NEGATIVE_NUMBER
    parser.add_argument("words", metavar="MODULE", nargs="*", help=argparse.SUPPRESS)
    for title in (ITEMS, COMPUTING, VOLUNTEERS, OTHER):
        group = parser.add_argument_group(title)
        if title == COMPUTING:
            help_text = "Python code that ends in an expression of x, instead of MODULE"
            group.add_argument("-c", dest="code", metavar="CODE", help=help_text)
        for option in fields(Settings):
            if option.metadata["group"] == title:
                _add_option(group, option)
    parser.add_last_options(group)
    return parser


def _add_option(group: argparse._ArgumentGroup, option: Field[Any]) -> None:
    name = dashed(option.name)
    meaning = option.metadata["meaning"].replace("%", "%%")
    if value_type(option.name) is bool:
        # The help page shows the one that changes something.
        on, off = (argparse.SUPPRESS, meaning) if option.default else (meaning, argparse.SUPPRESS)
        if option.metadata["missing"]:
            on = off = argparse.SUPPRESS
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
        help=argparse.SUPPRESS if option.metadata["missing"] else meaning,
    )


def documented_parser() -> Parser:
    """The parser as pages show it, with the short forms, which `parse` knows by itself.

    A parser of argparse that has an option ``-0`` takes ``-0.5`` for it.
    """
    parser = make_parser()
    for option in fields(Settings):
        if option.metadata["short"]:
            action = parser._option_string_actions[f"--{dashed(option.name)}"]
            action.option_strings = [option.metadata["short"], *action.option_strings]
    return parser


def parse(arguments: list[str]) -> Invocation | str:
    """What the arguments ask for, or a text to show instead.

    Raises:
        UsageError: an option is unknown or its value wrong, here or in config.json.
    """
    parser = make_parser()
    place = arguments.index("--") if "--" in arguments else len(arguments)
    code, options = _take_code(arguments[:place])
    known, unknown = parser.parse_known_intermixed_args(_spelled_out(options, parser))
    if unknown:
        parser.refuse(unknown[0], "; put items that begin with a dash after `--`")
    given = vars(known)
    text = _text_to_show(given)
    if text is not None:
        return text
    code = given.pop("code", code)
    words, literal = given.pop("words", []), arguments[place + 1 :]
    module = ""
    if code is None:
        if not words and not literal:
            raise UsageError(
                "missing MODULE; use it as: pando MODULE [OPTIONS] [ITEM ...], or with -c CODE "
                "instead of MODULE; see pando -h"
            )
        module = (words or literal).pop(0)
    items = sort_words(words, literal)
    if given.get("stdin") and (items.before or items.reads_stdin):
        raise UsageError(
            "items come from --stdin or from the command line, not from both; the item `-` stands "
            "for those on standard input"
        )
    defaults = read_defaults()
    if items.before or items.reads_stdin:
        defaults.pop("stdin", None)
    settings = Settings(**{**defaults, **given})
    if settings.stdin:
        items = ItemWords(reads_stdin=True)
    return Invocation(settings, module, code, items, list(given))


def _text_to_show(given: dict[str, Any]) -> str | None:
    if given.pop("help", False):
        return documented_parser().format_help()
    if given.pop("version", False):
        return f"pando {__version__}\n"
    shell = given.pop("print_completion", None)
    if shell is not None:
        from .shells import print_completion

        return print_completion(documented_parser(), shell)
    if given.pop("print_man", False):
        from .manual import format_manual

        return format_manual(documented_parser())
    return None


def _take_code(arguments: list[str]) -> tuple[str | None, list[str]]:
    """The code of ``-c``, which may begin with a dash, and the other arguments."""
    if "-c" not in arguments:
        return None, arguments
    place = arguments.index("-c")
    if place + 1 == len(arguments):
        raise UsageError("-c needs code, as in: pando -c 'x * x' 1 2 3")
    return arguments[place + 1], [*arguments[:place], *arguments[place + 2 :]]


def _spelled_out(arguments: list[str], parser: argparse.ArgumentParser) -> list[str]:
    """``-0`` as ``--null``, ``--local=true`` as ``--local``, ``--json=false`` as ``--no-json``."""
    options = fields(Settings)
    short = {f.metadata["short"]: f"--{dashed(f.name)}" for f in options if f.metadata["short"]}
    boolean = {f"--{dashed(f.name)}" for f in options if value_type(f.name) is bool}
    plain: list[str] = []
    for argument in arguments:
        argument = short.get(argument, argument)
        name, equals, value = argument.partition("=")
        if equals and name in boolean:
            if value.lower() not in TRUE + FALSE:
                parser.error(f"{name} is true or false, not {value!r}")
            argument = name if value.lower() in TRUE else f"--no-{name.removeprefix('--')}"
        plain.append(argument)
    return plain
