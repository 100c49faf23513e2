"""Convert words of the command line, and lines, to items."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..errors import UsageError
from ..values import InvalidItem

MAX_DIGITS = 100_000
"""Maximum digits of a number that is read or printed; longer ones stay strings."""
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
INTEGER = re.compile(r"[-+]?\d+", re.ASCII)
HEXADECIMAL = re.compile(r"0x[0-9a-f]+", re.ASCII | re.IGNORECASE)

Parse = Callable[[list[str]], list[Any]]


def parse_word(text: str) -> Any:
    """Convert a number such as ``7``, ``-1.5``, ``1e3`` or ``0x10``; return other texts as is."""
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
    """Apply `parse_word` to each line."""
    digits = "".join(lines)
    all_digits = digits.isascii() and digits.isdecimal() and all(lines)
    if all_digits and max(map(len, lines)) <= MAX_DIGITS:
        return [int(line) for line in lines]
    return [parse_word(line) for line in lines]


def parse_json(lines: list[str]) -> list[Any]:
    """Parse each line as JSON; a malformed line becomes an `InvalidItem`."""
    return [_parse_json_line(line) for line in lines]


def _parse_json_line(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        return InvalidItem(line, f"the line is not JSON: {error}")


def keep_strings(lines: list[str]) -> list[Any]:
    """Return the lines unchanged."""
    return lines


def choose_parser(*, as_json: bool, strings: bool) -> Parse:
    """Return the function that converts lines to items."""
    if as_json:
        return parse_json
    return keep_strings if strings else parse_words


@dataclass(frozen=True)
class ItemWords:
    """The items of a command line.

    Attributes:
        before: the items before those on standard input, or all items.
        reads_stdin: whether to read items from standard input.
        after: the items after those on standard input.
    """

    before: list[str] = field(default_factory=list)
    reads_stdin: bool = False
    after: list[str] = field(default_factory=list)

    @property
    def count(self) -> int | None:
        """The number of items, or None if items are read from standard input."""
        return None if self.reads_stdin else len(self.before)


def sort_words(words: list[str], literal: list[str]) -> ItemWords:
    """Return the items of a command line.

    Args:
        words: the words before ``--``, where ``-`` means the items on standard input.
        literal: the words after ``--``, which are items in any case.

    Raises:
        UsageError: ``-`` occurs twice.
    """
    if "-" not in words:
        return ItemWords([*words, *literal])
    place = words.index("-")
    if "-" in words[place + 1 :]:
        raise UsageError("`-`, which means standard input, can be an item only once")
    return ItemWords(words[:place], True, [*words[place + 1 :], *literal])


def stdin_kind() -> str:
    """Return whether standard input is a pipe or a file, which may hold items; empty if neither."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:  # it is closed
        return ""
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a file" if stat.S_ISREG(mode) else ""
