"""The output of the command: results on standard output, errors on standard error."""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from ..errors import ItemError, PandoError, UsageError, printable, printable_block

Format = Callable[[Any], str]


class ClosedOutputError(Exception):
    """The reader of the results has closed the pipe."""


class OutputError(PandoError):
    """Results cannot be written."""


def choose_format(*, as_json: bool) -> Format:
    """Return the function that formats a result."""
    if as_json:
        return lambda result: json.dumps(result, ensure_ascii=False, allow_nan=False)
    return str


def format_lines(results: Sequence[Any], format_result: Format) -> tuple[list[str], dict[int, str]]:
    """Return the line of each result, and the error of each that cannot be printed, by position."""
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
class Output:
    """The output for a batch of results: lines, then errors.

    Attributes:
        data: the encoded lines.
        errors: the errors of items that failed.
        is_last: whether to stop after this output.
    """

    data: bytes
    errors: list[ItemError] = field(default_factory=list)
    is_last: bool = False


def encode_lines(lines: list[str], end: bytes = b"\n") -> bytes:
    """Encode and terminate lines; lone surrogates become the bytes that they were read from."""
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
def redirect_stdout() -> Iterator[int]:
    """Redirect standard output to standard error, and yield a file descriptor for results.

    So nothing that the module, its function or their child processes print is mixed with results.
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
    """Write all data, and block until that is done.

    Raises:
        ClosedOutputError: the reader has closed the pipe.
        OutputError: writing fails.
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
    except BlockingIOError:  # another program has made the open file non-blocking
        poll = select.poll()
        poll.register(file, select.POLLOUT)
        poll.poll()
        return 0


def report_item_error(error: ItemError) -> None:
    """Print the function's traceback and the error of an item that failed."""
    if error.traceback:
        print_error(printable_block(error.traceback))
    print_error(f"pando: {error}")


def say(text: str, command: str = "pando") -> None:
    """Print one sentence on standard error, after the name of the command."""
    print_error(f"{command}: {printable(text)}")


def print_error(text: str) -> None:
    """Print lines on standard error; do nothing if that is not possible."""
    with suppress(OSError, ValueError):  # the disk is full, or the file closed
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
