"""A source that reads an asynchronous iterable in the asyncio loop of another thread."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, Callable, Hashable
from contextlib import suppress
from typing import Any

import trio

from ..source import EndOfInput
from .buffered_source import BufferedSource


class AsyncioSource(BufferedSource):
    """Read in a task of the event loop that runs where this object is created."""

    def __init__(self, items: AsyncIterable[Any]) -> None:
        super().__init__()
        self._iterable = items
        self._loop = asyncio.get_running_loop()
        self._has_request = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._notify: Callable[[], None] = lambda: None
        self._closed = False

    def current_reader(self) -> Hashable:
        try:
            return self._task if self._task is asyncio.current_task() else None
        except RuntimeError:  # not called in an event loop
            return None

    def _allow(self, count: int) -> None:
        self._allowed = max(self._allowed, count)
        self._in_loop(self._has_request.set)

    async def run(self, wake: Callable[[], None]) -> None:
        token = trio.lowlevel.current_trio_token()
        has_news = trio.Event()

        def announce() -> None:
            has_news.set()

        def notify() -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(announce)

        self._notify = notify
        self._in_loop(self._start)
        try:
            ended = False
            while not ended:
                await has_news.wait()
                has_news = trio.Event()
                ended = self._end is not None
                wake()  # not in a callback, whose errors would end the whole loop
        finally:
            self.close()

    def close(self) -> None:
        self._closed = True
        self._in_loop(self._stop)

    def _in_loop(self, do: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop is closed, since the program ends
            self._loop.call_soon_threadsafe(do)

    # ---- called in the asyncio loop ----

    def _start(self) -> None:
        if not self._closed:
            self._task = self._loop.create_task(self._read())

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _read(self) -> None:
        end: Exception = EndOfInput()
        try:
            await self._read_all()
        except Exception as error:
            end = error
        finally:
            self._end = end
            self._notify()

    async def _read_all(self) -> None:
        iterator = aiter(self._iterable)
        read = 0
        try:
            while True:
                await self._has_request.wait()
                self._has_request.clear()
                while read < self._allowed:
                    try:
                        item = await anext(iterator)
                    except StopAsyncIteration:
                        return
                    self._items.append(item)
                    read += 1
                    self._notify()
        finally:
            if inspect.isasyncgen(iterator):
                await iterator.aclose()
