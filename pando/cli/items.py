"""Items as the command line has them: words, numbers among them."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..errors import UsageError
from ..values import Unreadable

MAX_DIGITS = 100_000
"""Digits of a number, read or printed; a longer row of digits stays a string."""
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
INTEGER = re.compile(r"[-+]?\d+", re.ASCII)
HEXADECIMAL = re.compile(r"0x[0-9a-f]+", re.ASCII | re.IGNORECASE)

Parse = Callable[[list[str]], list[Any]]


def parse_word(text: str) -> Any:
    """A number where the text is one, as ``7``, ``-1.5``, ``1e3`` or ``0x10``; else the text."""
    if not text or text[0] not in "0123456789+-." or len(text) > MAX_DIGITS:
        return text
    if INTEGER.fullmatch(text):
        return int(text)
    if NUMBER.fullmatch(text):
        return float(text)
    if HEXADECIMAL.fullmatch(text):
        return int(text, 16)
    return text


def parse_words(lines: list[str]) -> list[Any]:
    """`parse_word` of each line."""
    digits = "".join(lines)
    all_digits = digits.isascii() and digits.isdecimal() and all(lines)
    if all_digits and max(map(len, lines)) <= MAX_DIGITS:
        return [int(line) for line in lines]
    return [parse_word(line) for line in lines]


def parse_json(lines: list[str]) -> list[Any]:
    """The JSON value of each line; a line that holds none fails alone, with the reason."""
    return [_parse_json_line(line) for line in lines]


def _parse_json_line(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        return Unreadable(line, f"the line is not JSON: {error}")


def keep_strings(lines: list[str]) -> list[Any]:
    """The lines themselves."""
    return lines


def choose_parser(*, as_json: bool, strings: bool) -> Parse:
    """How the options say that lines become items."""
    if as_json:
        return parse_json
    return keep_strings if strings else parse_words


@dataclass(frozen=True)
class ItemWords:
    """The items that a command line names.

    Attributes:
        before: those before standard input's, or all.
        reads_stdin: whether standard input has items.
        after: those after standard input's.
    """

    before: list[str] = field(default_factory=list)
    reads_stdin: bool = False
    after: list[str] = field(default_factory=list)

    @property
    def count(self) -> int | None:
        """How many items there are, where that is known."""
        return None if self.reads_stdin else len(self.before)


def sort_words(words: list[str], literal: list[str]) -> ItemWords:
    """The items of a command line.

    Args:
        words: those before ``--``; ``-`` among them stands for what standard input has.
        literal: those after it, which are taken as they are.

    Raises:
        UsageError: standard input is named twice.
    """
    if "-" not in words:
        return ItemWords([*words, *literal])
    place = words.index("-")
    if "-" in words[place + 1 :]:
        raise UsageError("`-`, which stands for standard input, can be an item only once")
    return ItemWords(words[:place], True, [*words[place + 1 :], *literal])


def waiting_items() -> str:
    """What standard input is, where it seems to be meant for items: a pipe or a file."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:  # it is closed
        return ""
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a file" if stat.S_ISREG(mode) else ""
