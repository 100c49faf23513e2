"""The iterators over results, for loops in threads and for asyncio."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Generic, TypeVar

from ..source import WouldBlock
from .feed import Feed

Result = TypeVar("Result")


class Results(Iterator[Result]):
    """The iterator that `map` returns.

    It may be shared by threads: each result goes to exactly one of them. Leaving a ``for`` loop
    early closes the run, unless a variable still holds the iterator: then another loop goes on
    with the next result, until it is closed by `close`, or by a ``with`` statement.
    """

    def __init__(self, feed: Feed[Result]) -> None:
        self._feed = feed
        self._batches = _Batches(feed)

    def __iter__(self) -> Iterator[Result]:
        # A chain of batches costs next to nothing for each result, but two threads must not share
        # one: each loop has its own, over the same batches.
        return itertools.chain.from_iterable(self._batches)

    def __next__(self) -> Result:
        while True:
            for result in next(self._batches):
                return result

    def __enter__(self) -> Results[Result]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the stream now: whoever waits for a result finds the end.

        May be called at any time, from any thread, and more than once.
        """
        self._feed.close()


class _Batches(Generic[Result]):
    """Iterators over batches of results. When nobody holds this any more, the feed is closed."""

    def __init__(self, feed: Feed[Result]) -> None:
        self._feed = feed

    def __iter__(self) -> _Batches[Result]:
        return self

    def __next__(self) -> Iterator[Result]:
        batch = self._feed.take()
        if batch is None:
            raise StopIteration
        return batch

    def __del__(self) -> None:
        self._feed.close()


class AsyncResults(AsyncIterator[Result]):
    """The asynchronous iterator that `amap` returns, for asyncio.

    Leaving an ``async for`` loop early, also by cancellation, closes the run, unless a variable
    still holds the iterator: then `await aclose()`, or use it in an ``async with`` statement.
    """

    def __init__(self, feed: Feed[Result]) -> None:
        self._feed = feed
        self._batch: Iterator[Result] = iter(())

    def __aiter__(self) -> AsyncIterator[Result]:
        return self

    async def __anext__(self) -> Result:
        while True:
            for result in self._batch:
                return result
            batch = await self._take()
            if batch is None:
                raise StopAsyncIteration
            self._batch = batch

    async def _take(self) -> Iterator[Result] | None:
        feed = self._feed
        await asyncio.to_thread(feed.start)
        taker = feed.reading_taker()
        try:
            while True:
                news = _News()
                try:
                    batch = feed.handover.take_nowait(news.tell, taker)
                except WouldBlock:
                    if taker is not None:
                        feed.tell_reader_waits(taker)
                    await news.wait()
                    continue
                if batch is None:
                    await self.aclose()
                return batch
        except Exception:
            if taker is None:
                await self.aclose()
            raise
        finally:
            if taker is not None:
                feed.tell_reader_waits(None)

    async def __aenter__(self) -> AsyncResults[Result]:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the run and its workers now. May be called at any time, and more than once."""
        self._batch = iter(())
        await asyncio.to_thread(self._feed.close)

    def __del__(self) -> None:
        self._feed.handover.close()
        self._feed.cancel()


class _News:
    """An event that is set in one thread and awaited in another's asyncio loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def tell(self) -> None:
        with suppress(RuntimeError):  # the loop is closed, and nobody waits
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self) -> None:
        await self._event.wait()
