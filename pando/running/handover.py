"""A queue of result batches from a run's event loop to other threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Generic, TypeVar

from ..errors import UsageError
from ..source import WouldBlock

Result = TypeVar("Result")


class InputWaitsError(UsageError):
    """The input waits for a result that needs more input."""

    def __init__(self) -> None:
        super().__init__(
            "deadlock: the input waits for a result of its own map, but the results of all "
            "items so far have been delivered"
        )


class NewsError(Exception):
    """There is something else than a batch for whoever waits for one."""


class Handover(Generic[Result]):
    """Batches in order, then an end. Any number of threads may take from it.

    All threads get the same iterator over a batch until it is exhausted: `next` on it is atomic,
    so that each result goes to one thread, and none is lost when a loop is left. The error that
    ends the batches goes to one thread as well; after that all threads find the end.

    Args:
        taken: called once for each batch, when it is first taken.
    """

    def __init__(self, taken: Callable[[], object] = lambda: None) -> None:
        self._taken = taken
        self._state = threading.Condition()
        self._batches: deque[Any] = deque()
        self._is_new = True
        self._error: BaseException | None = None
        self._ended = False
        self._refused: Hashable = None
        self._refusal: Exception
        self._listeners: list[Callable[[], None]] = []
        self._has_news = False

    # ---- called by the run ----

    def put(self, batch: list[Result]) -> None:
        """Append a batch; after the end it is discarded."""
        with self._state:
            if self._ended:
                return
            self._batches.append(iter(batch))
            self._notify()

    def end(self, error: BaseException | None = None) -> None:
        """End after the current batches, with an error for one thread; the first call counts."""
        with self._state:
            if not self._ended:
                self._ended = True
                self._error = error
            self._notify()

    def close(self) -> None:
        """Discard all batches, end, and wake all threads."""
        with self._state:
            self._batches.clear()
            self._ended, self._error = True, None
            self._notify()

    def tell(self) -> None:
        """Wake one that waits, for something else than a batch."""
        with self._state:
            self._has_news = True
            self._notify()

    def refuse(self, taker: Hashable, error: Exception) -> None:
        """Raise an error in the wait that this token identifies, if it is still going on."""
        with self._state:
            self._refused, self._refusal = taker, error
            self._notify()

    def _notify(self) -> None:
        self._state.notify_all()
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()

    # ---- called by other threads ----

    def take(self, taker: Hashable = None) -> Iterator[Result] | None:
        """Wait for a batch and return its iterator, or None at the end.

        Args:
            taker: a token that identifies this wait for `refuse`.

        Raises:
            NewsError: `tell` has been called; then wait again.
            BaseException: the error that has ended the batches.
        """
        with self._state:
            self._check_news()
            while self._is_empty():
                if self._refused == taker is not None:
                    raise self._refusal
                self._state.wait()
                self._check_news()
            return self._take()

    def take_nowait(
        self, listener: Callable[[], None], taker: Hashable = None
    ) -> Iterator[Result] | None:
        """Return a batch's iterator, or None at the end, without waiting.

        Args:
            listener: called once, in another thread, when a batch may be there.
            taker: a token that identifies this wait for `refuse`.

        Raises:
            WouldBlock: no batch is there; the listener is kept.
            NewsError: `tell` has been called; then ask again.
            BaseException: the error that has ended the batches.
        """
        with self._state:
            self._check_news()
            if self._is_empty():
                if self._refused == taker is not None:
                    raise self._refusal
                self._listeners.append(listener)
                raise WouldBlock
            return self._take()

    @property
    def is_empty(self) -> bool:
        """Whether `take` would have to wait."""
        with self._state:
            return self._is_empty()

    def _is_empty(self) -> bool:
        while self._batches and not self._batches[0].__length_hint__():
            self._batches.popleft()
            self._is_new = True
        return not (self._batches or self._ended)

    def _check_news(self) -> None:
        has_news, self._has_news = self._has_news, False
        if has_news:
            raise NewsError

    def _take(self) -> Iterator[Result] | None:
        if self._batches:
            if self._is_new:
                self._is_new = False
                self._taken()
            batch: Iterator[Result] = self._batches[0]
            return batch
        error, self._error = self._error, None
        if error is not None:
            raise error
        return None
