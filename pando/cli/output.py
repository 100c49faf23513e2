"""Results as the command prints them, and errors as it tells them."""

from __future__ import annotations

import json
import os
import re
import select
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from ..errors import ItemError, PandoError, UsageError

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""All control characters but tabs and ends of lines."""

Format = Callable[[Any], str]


class ClosedOutputError(Exception):
    """Whoever was reading the results has gone."""


class OutputError(PandoError):
    """Results cannot be written."""


def choose_format(*, as_json: bool) -> Format:
    """How the options say that a result is printed."""
    if as_json:
        return lambda result: json.dumps(result, ensure_ascii=False, allow_nan=False)
    return str


def format_lines(results: Sequence[Any], format_result: Format) -> tuple[list[str], dict[int, str]]:
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
    """What is printed for some results: their lines, then errors; perhaps nothing follows."""

    data: bytes
    errors: list[ItemError] = field(default_factory=list)
    is_last: bool = False


def encode_lines(lines: list[str], end: bytes = b"\n") -> bytes:
    """Lines as bytes, each with its end; lone surrogates become the bytes they were read from."""
    if not lines:
        return b""
    try:
        text = end.decode().join(lines)
        return text.encode("utf-8", "surrogateescape") + end
    except UnicodeEncodeError:
        return b"".join(_encode_line(line) + end for line in lines)


def _encode_line(line: str) -> bytes:
    try:
        return line.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return line.encode("utf-8", "backslashreplace")


@contextmanager
def free_standard_output() -> Iterator[int]:
    """Keep the place of the results to ourselves: a file descriptor to write them to.

    What the module, its function or a program that they start prints meanwhile goes to standard
    error.
    """
    if sys.stdout is None:
        raise UsageError("standard output is closed")
    sys.stdout.flush()
    results = os.dup(1)
    os.dup2(2, 1)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)
    try:
        yield results
    finally:
        sys.stdout.flush()
        os.dup2(results, 1)
        os.close(results)


def write_all(file: int, data: bytes) -> None:
    """Write all of the data, waiting as long as it takes.

    Raises:
        ClosedOutputError: nobody reads any more.
        OutputError: it cannot be written.
    """
    view = memoryview(data)
    try:
        while view:
            view = view[_write_some(file, view) :]
    except BrokenPipeError:
        raise ClosedOutputError from None
    except OSError as error:
        raise OutputError(f"the results cannot be written: {error.strerror}") from None


def _write_some(file: int, data: memoryview) -> int:
    try:
        return os.write(file, data)
    except BlockingIOError:  # another program that has the file open wants it so
        poll = select.poll()
        poll.register(file, select.POLLOUT)
        poll.poll()
        return 0


def report_item_error(error: ItemError) -> None:
    """Tell on standard error why an item has no result, with the function's own traceback."""
    if error.traceback:
        tell(_harmless(error.traceback.rstrip("\n")))
    tell(_harmless(f"pando: {error}"))


def _harmless(text: str) -> str:
    """A text without what terminals obey: it may come from anybody's device."""
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def say(text: str, command: str = "pando") -> None:
    """Tell the user one sentence, on standard error."""
    tell(f"{command}: {text}")


def tell(text: str) -> None:
    """Write some lines to standard error; where nobody can be told, nothing."""
    with suppress(OSError, ValueError):  # the file is full, or closed
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
