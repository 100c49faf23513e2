"""Parse the command line of `pando` to settings and items, and format the help page."""

from __future__ import annotations

import argparse
import re
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any

from .. import __version__
from ..deprecation import OPTIONS, describe_rename
from ..errors import UsageError
from .defaults import read_defaults
from .items import ItemWords, sort_words, stdin_kind
from .output import say
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
means the items on standard input. Put items that begin with a dash after `--`.

$HOME/.pando/config.json may hold defaults, such as {"workers": 2}.
Exit status: 0 success, 1 an item failed, 2 usage error; after Ctrl-C the
command ends by that signal, which shells report as 130."""

USAGE = "pando MODULE [OPTIONS] [ITEM ...]\n       pando -c CODE [OPTIONS] [ITEM ...]"
TRUE, FALSE = ("true", "1", "yes"), ("false", "0", "no")
NEGATIVE_NUMBER = re.compile(r"-(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Invocation:
    """A parsed command line.

    Attributes:
        settings: the options, with defaults for those that were not given.
        module: the path of the module; empty if there is code instead.
        code: the code of ``-c``, if any.
        items: the items.
        given: the fields of the options on the command line.
    """

    settings: Settings
    module: str
    code: str | None
    items: ItemWords
    given: list[str]


def make_parser() -> Parser:
    """Return the parser; options that are not given are missing in its namespace."""
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
        # The help page shows the option that changes the default.
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
    """Return the parser with short options, for the help page and the manual.

    `parse` handles short options itself, since argparse would take ``-0.5`` for the option ``-0``.
    """
    parser = make_parser()
    for option in fields(Settings):
        if option.metadata["short"]:
            action = parser._option_string_actions[f"--{dashed(option.name)}"]
            action.option_strings = [option.metadata["short"], *action.option_strings]
    return parser


def parse(arguments: list[str]) -> Invocation | str:
    """Parse the arguments; return a text instead if they ask for one, such as the help page.

    Raises:
        UsageError: an option is unknown or its value is invalid, here or in config.json.
    """
    parser = make_parser()
    place = arguments.index("--") if "--" in arguments else len(arguments)
    code, options = _take_code(arguments[:place])
    if "--host" in options:
        parser.error("--host needs a value after an equals sign, as in --host=localhost")
    known, unknown = parser.parse_known_intermixed_args(_normalize(options, parser))
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
            "items come from --stdin or from the command line, not from both; the item `-` means "
            "those on standard input"
        )
    defaults = read_defaults()
    if items.before or items.reads_stdin:
        defaults.pop("stdin", None)
    settings = Settings(**{**defaults, **given})
    if settings.stdin or ("host" in given and items.count == 0 and stdin_kind()):
        # The original's commands for a server leave --stdin out.
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
    """Separate the code of ``-c``, which may begin with a dash, from the other arguments."""
    if "-c" not in arguments:
        return None, arguments
    place = arguments.index("-c")
    if place + 1 == len(arguments):
        raise UsageError("-c needs code, as in: pando -c 'x * x' 1 2 3")
    return arguments[place + 1], [*arguments[:place], *arguments[place + 2 :]]


def _normalize(arguments: list[str], parser: argparse.ArgumentParser) -> list[str]:
    """Rewrite ``-0`` to ``--null``, ``--x=true`` to ``--x``, ``--x=false`` to ``--no-x``.

    Former names become the present ones, with a warning.
    """
    options = fields(Settings)
    short = {f.metadata["short"]: f"--{dashed(f.name)}" for f in options if f.metadata["short"]}
    boolean = {f"--{dashed(f.name)}" for f in options if value_type(f.name) is bool}
    plain: list[str] = []
    for argument in arguments:
        argument = short.get(argument, argument)
        name, equals, value = argument.partition("=")
        new = OPTIONS.get(name.removeprefix("--"))
        if new is not None and name.startswith("--"):
            say(describe_rename(name, f"--{new}"))
            argument = f"--{new}{equals}{value}"
        if equals and name in boolean:
            if value.lower() not in TRUE + FALSE:
                parser.error(f"{name} is true or false, not {value!r}")
            argument = name if value.lower() in TRUE else f"--no-{name.removeprefix('--')}"
        plain.append(argument)
    return plain
