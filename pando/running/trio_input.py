"""Inputs of Trio programs: asynchronous iterables, which the run's own event loop reads."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Callable, Hashable
from typing import Any

import trio

from ..source import EndOfInput
from .buffered_source import BufferedSource


class TrioSource(BufferedSource):
    """A source that reads an asynchronous iterable in a task of the run's event loop, on demand."""

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
