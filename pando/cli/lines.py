"""Read items from a file descriptor, separated by newlines or NUL."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import trio

from ..errors import UsageError
from ..source import EndOfInput, WouldBlock
from .items import Parse

CHUNK_SIZE = 64 * 1024
"""Maximum bytes per read."""
NEWLINE, NUL = b"\n", b"\0"
"""Terminators of items and results."""


class LineSplitter:
    """Split chunks of bytes into lines. The last line may lack its terminator.

    Bytes that are not UTF-8 become lone surrogates, as in file names, so that they can be printed
    unchanged.

    Args:
        end: the terminator of a line. A carriage return before a newline belongs to it.
    """

    def __init__(self, end: bytes = NEWLINE) -> None:
        self._end = end
        self._parts: list[bytes] = []
        self._is_first = True

    def feed(self, chunk: bytes) -> list[str]:
        """Return the lines that a chunk completes."""
        head, end, tail = chunk.rpartition(self._end)
        if not end:
            self._parts.append(chunk)
            return []
        text = b"".join([*self._parts, head]).decode("utf-8", "surrogateescape")
        self._parts = [tail]
        if self._is_first:
            self._is_first = False
            text = text.removeprefix("\ufeff")  # a byte order mark
        lines = text.split(self._end.decode())
        if self._end == NEWLINE and "\r" in text:
            lines = [line.removesuffix("\r") for line in lines]
        return lines

    def finish(self) -> list[str]:
        """Return the last line, if it has no terminator."""
        return self.feed(self._end) if any(self._parts) else []


def read_some(file: int) -> bytes:
    """Block until bytes are available, and return them; empty at the end.

    Raises:
        UsageError: reading fails.
    """
    try:
        while True:
            try:
                return os.read(file, CHUNK_SIZE)
            except BlockingIOError:  # another program has made the open file non-blocking
                poll = select.poll()
                poll.register(file, select.POLLIN)
                poll.poll()
    except OSError as error:
        raise UsageError(f"standard input cannot be read: {error.strerror}") from None


def read_batches(file: int, parse: Parse, end: bytes = NEWLINE) -> Iterator[list[Any]]:
    """Yield the items from a file descriptor in batches, as soon as they can be read."""
    splitter = LineSplitter(end)
    while chunk := read_some(file):
        yield parse(splitter.feed(chunk))
    yield parse(splitter.finish())


class LineSource:
    """A `pando.source.Source` of items from a file descriptor, read in a thread on demand.

    Args:
        file: the file descriptor.
        parse: converts lines to items.
        end: the terminator of a line.
        before: items before those of the file.
        after: items after those of the file.
    """

    def __init__(
        self,
        file: int,
        parse: Parse,
        end: bytes = NEWLINE,
        before: Sequence[Any] = (),
        after: Sequence[Any] = (),
    ) -> None:
        self._file = file
        self._parse = parse
        self._splitter = LineSplitter(end)
        self._items: list[Any] = list(before)
        self._after = after
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

    def remaining(self) -> int | None:
        return None if self._end is None else len(self._items)

    async def run(self, wake: Callable[[], None]) -> None:
        while self._end is None:
            await self._wanted.wait()
            self._wanted = trio.Event()
            try:
                chunk = await trio.to_thread.run_sync(read_some, self._file, abandon_on_cancel=True)
            except UsageError as error:
                self._end = error
            else:
                lines = self._splitter.feed(chunk) if chunk else self._splitter.finish()
                self._items.extend(self._parse(lines))
                if not chunk:
                    self._items.extend(self._after)
                    self._end = EndOfInput()
            wake()

    def close(self) -> None:
        self._wanted = trio.Event()
