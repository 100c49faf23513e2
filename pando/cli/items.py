"""Items as the command line has them: words and lines, numbers among them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import trio

from ..errors import UsageError
from ..source import EndOfInput, WouldBlock
from ..values import Unreadable

CHUNK_SIZE = 64 * 1024
"""Bytes to read from standard input at once."""
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


class LineSplitter:
    """Takes bytes as they come and gives whole lines. The last line may lack its end.

    Bytes that are not UTF-8 become lone surrogates, as in the names of files, and so come out
    again as they went in.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._is_first = True

    def feed(self, chunk: bytes) -> list[str]:
        """The lines that these bytes complete."""
        head, newline, tail = chunk.rpartition(b"\n")
        if not newline:
            self._parts.append(chunk)
            return []
        text = b"".join([*self._parts, head]).decode("utf-8", "surrogateescape")
        self._parts = [tail]
        if self._is_first:
            self._is_first = False
            text = text.removeprefix("\ufeff")  # the byte order mark that some programs write
        lines = text.split("\n")
        if "\r" in text:
            lines = [line.removesuffix("\r") for line in lines]
        return lines

    def end(self) -> list[str]:
        """What is left when no more bytes come."""
        return self.feed(b"\n") if any(self._parts) else []


def read_batches(file: int, parse: Parse) -> Iterator[list[Any]]:
    """Items from a file descriptor, as they come."""
    splitter = LineSplitter()
    while chunk := os.read(file, CHUNK_SIZE):
        yield parse(splitter.feed(chunk))
    yield parse(splitter.end())


class LineSource:
    """Items from a file descriptor, for a run: a `pando.running.inputs.Source`.

    Reading happens in a thread, and only when items are wanted.
    """

    def __init__(self, file: int, parse: Parse) -> None:
        self._file = file
        self._parse = parse
        self._splitter = LineSplitter()
        self._items: list[Any] = []
        self._end: Exception | None = None
        self._wanted = trio.Event()

    def read_nowait(self, limit: int) -> list[Any]:
        if len(self._items) <= limit:
            self._wanted.set()
        if not self._items:
            raise self._end or WouldBlock
        items = self._items[:limit]
        del self._items[:limit]
        return items

    def count_unread(self) -> int | None:
        return None if self._end is None else len(self._items)

    async def run(self, wake: Callable[[], None]) -> None:
        while self._end is None:
            await self._wanted.wait()
            self._wanted = trio.Event()
            try:
                chunk = await trio.to_thread.run_sync(
                    os.read, self._file, CHUNK_SIZE, abandon_on_cancel=True
                )
            except OSError as error:
                self._end = UsageError(f"standard input cannot be read: {error}")
            else:
                lines = self._splitter.feed(chunk) if chunk else self._splitter.end()
                self._items.extend(self._parse(lines))
                if not chunk:
                    self._end = EndOfInput()
            wake()

    def close(self) -> None:
        self._wanted = trio.Event()
