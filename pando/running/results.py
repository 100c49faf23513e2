"""The iterator over results, for loops in threads."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from types import TracebackType
from typing import Generic, TypeVar

from .feed import Feed

Result = TypeVar("Result")


class Results(Iterator[Result]):
    """The iterator that `map` returns.

    Threads may share it: each result goes to exactly one of them. Leaving a ``for`` loop early
    closes the run, unless a variable still refers to the iterator: then another loop continues
    with the next result, until `close` or a ``with`` statement closes it.
    """

    def __init__(self, feed: Feed[Result]) -> None:
        self._feed = feed
        self._batches = _Batches(feed)

    def __iter__(self) -> Iterator[Result]:
        # A chain of batches costs almost nothing per result, but is not safe to share between
        # threads: each loop gets its own chain over the same batches.
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
        """End the stream now; threads that wait for a result find the end.

        May be called at any time, from any thread, and more than once.
        """
        self._feed.close()


class _Batches(Generic[Result]):
    """An iterator over batches of results, which closes the feed when it is garbage collected."""

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
