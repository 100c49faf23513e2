"""The inputs of a run: any iterable, consumed lazily.

A container such as a list is read in the run's event loop, since its iteration never blocks. Every
other iterable may block: an iterator is read in a dedicated thread, an asynchronous iterable in a
task.
"""

from __future__ import annotations

import contextvars
import inspect
import threading
from collections import deque
from collections.abc import AsyncIterable, Callable, Hashable, Iterable, Iterator
from itertools import islice
from typing import Any

import trio

from ..source import EndOfInput, Source, WouldBlock

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
        return _AsyncSource(items)
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


class BufferedSource:
    """A source with a reader, which fills a buffer up to an allowed number of items.

    That number counts from the first item, so that a repeated request for the same items does not
    allow more of them.
    """

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._end: Exception | None = None
        self._taken = 0
        self._allowed = 0

    def remaining(self) -> int | None:
        return None

    def read_nowait(self, limit: int) -> list[Any]:
        # A reading thread may append at any time, but does nothing else to the list.
        if not self._items:
            end = self._end
            if end is not None and not self._items:
                raise end
            self._allow(self._taken + limit)
            if not self._items:
                raise WouldBlock
        items = self._items[:limit]
        del self._items[: len(items)]
        self._taken += len(items)
        if len(items) < limit:
            self._allow(self._taken + limit - len(items))
        return items

    @property
    def has_buffered(self) -> bool:
        """Whether `read_nowait` has items or the end to return."""
        return bool(self._items) or self._end is not None

    def current_reader(self) -> Hashable:
        """Return the thread or task that reads the input if it is the caller, else None."""
        raise NotImplementedError

    def _allow(self, count: int) -> None:
        """Let the reader go on until it has read `count` items since the start."""
        raise NotImplementedError


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


class _AsyncSource(BufferedSource):
    """A source that reads an asynchronous iterable in a task, on demand."""

    def __init__(self, items: AsyncIterable[Any]) -> None:
        super().__init__()
        self._iterable = items
        self._has_request = trio.Event()
        self._scope = trio.CancelScope()
        self._reader: trio.lowlevel.Task | None = None

    def current_reader(self) -> Hashable:
        if not trio.lowlevel.in_trio_task():
            return None
        return self._reader if self._reader is trio.lowlevel.current_task() else None

    def _allow(self, count: int) -> None:
        self._allowed = max(self._allowed, count)
        self._has_request.set()

    async def run(self, wake: Callable[[], None]) -> None:
        self._reader = trio.lowlevel.current_task()
        with self._scope:
            try:
                await self._read(wake)
            except StopAsyncIteration:
                self._end = EndOfInput()
            except Exception as error:
                self._end = error
        wake()

    async def _read(self, wake: Callable[[], None]) -> None:
        iterator = aiter(self._iterable)
        read = 0
        try:
            while True:
                await self._has_request.wait()
                self._has_request = trio.Event()
                while read < self._allowed:
                    self._items.append(await anext(iterator))
                    read += 1
                    wake()
        finally:
            if inspect.isasyncgen(iterator):
                await iterator.aclose()

    def close(self) -> None:
        self._scope.cancel()
