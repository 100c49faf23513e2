"""Results as the command prints them, and errors as it tells them."""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import trio

from ..errors import ItemError

ATOMIC_SIZE = select.PIPE_BUF
"""Bytes that a pipe which is ready for writing takes without waiting."""

Format = Callable[[Any], str]


class ClosedOutputError(Exception):
    """Whoever was reading the results has gone."""


def choose_format(*, as_json: bool) -> Format:
    """How the options say that a result is printed."""
    if as_json:
        return lambda result: json.dumps(result, ensure_ascii=False, allow_nan=False)
    return str


def format_lines(results: list[Any], format_result: Format) -> tuple[list[str], dict[int, str]]:
    """The line of each result, and why some have none, by position."""
    try:
        return [format_result(result) for result in results], {}
    except Exception:
        lines, errors = [], {}
    for place, result in enumerate(results):
        try:
            lines.append(format_result(result))
        except Exception as error:
            lines.append("")
            errors[place] = f"the result cannot be printed: {error}"
    return lines, errors


@dataclass(frozen=True)
class Printout:
    """What is printed for some results: their lines, then errors; perhaps nothing behind it."""

    data: bytes
    errors: list[ItemError] = field(default_factory=list)
    is_last: bool = False


def encode_lines(lines: list[str]) -> bytes:
    """Lines as bytes; lone surrogates become the bytes that they were read from."""
    if not lines:
        return b""
    text = "\n".join(lines) + "\n"
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


class ResultWriter:
    """Writes to a file descriptor without ever holding up the run behind a slow reader."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._poll = select.poll()
        self._poll.register(file, select.POLLOUT)

    async def write(self, data: bytes) -> None:
        """Write all of it.

        Raises:
            ClosedOutputError: nobody reads any more.
        """
        try:
            if len(data) <= ATOMIC_SIZE and self._ready():
                os.write(self._file, data)
                await trio.lowlevel.checkpoint()
            else:
                await trio.to_thread.run_sync(write_all, self._file, data, abandon_on_cancel=True)
        except BrokenPipeError:
            raise ClosedOutputError from None

    def _ready(self) -> bool:
        return any(event & select.POLLOUT for _, event in self._poll.poll(0))


def write_all(file: int, data: bytes) -> None:
    """Write all of the data, waiting as long as it takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def report_item_error(error: ItemError) -> None:
    """Tell on standard error why an item has no result, with the function's own traceback."""
    if error.traceback:
        sys.stderr.write(error.traceback.rstrip("\n") + "\n")
    sys.stderr.write(f"pando: {error}\n")
    sys.stderr.flush()


def say(text: str) -> None:
    """A sentence to the user, on standard error."""
    sys.stderr.write(f"pando: {text}\n")
    sys.stderr.flush()
