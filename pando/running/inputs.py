"""The inputs of a run: any iterable, consumed lazily.

A container such as a list is read in the run's event loop, since its iteration never blocks. Every
other iterable may block: an iterator is read in a dedicated thread, an asynchronous iterable in a
task.
"""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import AsyncIterable, Callable, Hashable, Iterable, Iterator
from itertools import islice
from typing import Any

from ..source import EndOfInput, Source
from .buffered_source import BufferedSource

COALESCE_SECONDS = 0.001
"""Seconds that items from a slow iterator are collected before they are used."""
NON_BLOCKING_TYPES = (list, tuple, range, str, bytes, bytearray, dict, set, frozenset, deque)
"""Types whose iteration never blocks."""


def open_source(items: Iterable[Any] | AsyncIterable[Any]) -> Source:
    """Return a source that reads an iterable.

    Raises:
        TypeError: `items` is not iterable.
    """
    if isinstance(items, AsyncIterable):
        from .trio_input import TrioSource  # not with `map`: Trio takes long to import

        return TrioSource(items)
    if type(items) in NON_BLOCKING_TYPES:
        return _ContainerSource(items)
    return _ThreadSource(iter(items))


class _ContainerSource:
    """A source that reads a container in place."""

    def __init__(self, items: Any) -> None:
        self._iterator = iter(items)
        self._unread = len(items)

    def read_nowait(self, limit: int) -> list[Any]:
        items = list(islice(self._iterator, limit))
        if not items:
            raise EndOfInput
        self._unread -= len(items)
        return items

    def remaining(self) -> int | None:
        return max(0, self._unread)

    async def run(self, wake: Callable[[], None]) -> None:
        wake()

    def close(self) -> None:
        self._iterator = iter(())


class _ThreadSource(BufferedSource):
    """A source that reads an iterator in a dedicated thread, on demand."""

    def __init__(self, iterator: Iterator[Any]) -> None:
        super().__init__()
        self._iterator = iterator
        self._permits = threading.Condition()
        self._closed = False
        self._has_new_request = False
        self._notify: Callable[[], None] = lambda: None
        self._reader = 0

    def current_reader(self) -> Hashable:
        return self._reader if self._reader == threading.get_ident() else None

    def _allow(self, count: int) -> None:
        with self._permits:
            self._has_new_request = True
            self._allowed = max(self._allowed, count)
            self._permits.notify()

    async def run(self, wake: Callable[[], None]) -> None:
        import trio  # not with `map`: it takes long

        has_news = trio.Event()
        token = trio.lowlevel.current_trio_token()

        def announce() -> None:
            has_news.set()

        def notify() -> None:
            try:
                token.run_sync_soon(announce)
            except trio.RunFinishedError:
                self.close()

        self._notify = notify
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(self._read,), name="pando input", daemon=True
        )
        thread.start()
        try:
            ended = False
            while not ended:
                await has_news.wait()
                has_news = trio.Event()
                if self._end is None:
                    await trio.sleep(COALESCE_SECONDS)
                ended = self._end is not None
                wake()
        finally:
            self.close()

    def close(self) -> None:
        with self._permits:
            self._closed = True
            self._permits.notify()

    def _read(self) -> None:
        """Read as many items as are allowed, then wait until more are, in the thread."""
        self._reader = threading.get_ident()
        end: Exception = EndOfInput()
        read = 0
        try:
            while count := self._next_permit(read):
                if not self._append(count):
                    break
                read += count
        except BaseException as error:
            end = error if isinstance(error, Exception) else RuntimeError(f"the input: {error!r}")
        self._iterator = iter(())  # finalizes a generator here, in its own thread
        self._reader = 0
        self._end = end
        self._notify()

    def _next_permit(self, read: int) -> int:
        """Wait until more items may be read, and return how many; 0 when closed."""
        with self._permits:
            while self._allowed <= read and not self._closed:
                self._permits.wait()
            return 0 if self._closed else self._allowed - read

    def _append(self, count: int) -> bool:
        """Read up to `count` items; return False if the iterator has ended or this was closed."""
        append = self._items.append
        for item in islice(self._iterator, count):
            append(item)
            if self._has_new_request:
                self._has_new_request = False
                self._notify()
            if self._closed:
                return False
            count -= 1
        return count == 0
