"""The iterator over results, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from types import TracebackType
from typing import TypeVar

from ..source import WouldBlock
from .feed import Feed
from .handover import NewsError

Result = TypeVar("Result")


class AsyncResults(AsyncIterator[Result]):
    """The asynchronous iterator that `amap` returns, for asyncio.

    Leaving an ``async for`` loop early, also by cancellation, closes the run, unless a variable
    still refers to the iterator: then `await aclose()`, or use an ``async with`` statement.
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
                notification = _Notification()
                try:
                    batch = feed.handover.take_nowait(notification.notify, taker)
                except NewsError:
                    feed.deliver_report()
                    continue
                except WouldBlock:
                    if taker is not None:
                        feed.set_waiting_reader(taker)
                    await notification.wait()
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
                feed.set_waiting_reader(None)

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


class _Notification:
    """An event that another thread sets, and a task of this asyncio loop awaits."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def notify(self) -> None:
        with suppress(RuntimeError):  # the loop is closed, and nothing waits
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self) -> None:
        await self._event.wait()
