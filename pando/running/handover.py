"""The handover: batches of results on their way from a run's event loop to other threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Generic, TypeVar

from ..source import WouldBlock

Result = TypeVar("Result")


class Handover(Generic[Result]):
    """Batches in order, then an end. Any number of threads may take from it.

    A batch is given as an iterator that they share, until it is exhausted: taking from it is
    atomic, so that each result goes to one thread, and none is lost when a loop is left. So does
    the error that ends them; after that all threads find the end.

    Args:
        taken: called for each batch when it is given for the first time.
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

    # ---- the run's side ----

    def put(self, batch: list[Result]) -> None:
        """Hand a batch over."""
        with self._state:
            self._batches.append(iter(batch))
            self._tell()

    def end(self, error: BaseException | None = None) -> None:
        """There are no more; one thread gets the error after the batches. The first end counts."""
        with self._state:
            if not self._ended:
                self._ended = True
                self._error = error
            self._tell()

    def close(self) -> None:
        """Drop what is there, and wake everybody: there are no more."""
        with self._state:
            self._batches.clear()
            self._ended, self._error = True, None
            self._tell()

    def refuse(self, taker: Hashable, error: Exception) -> None:
        """Raise this error where this taker waits, if it does."""
        with self._state:
            self._refused, self._refusal = taker, error
            self._tell()

    def _tell(self) -> None:
        self._state.notify_all()
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()

    # ---- the other threads' side ----

    def take(self, taker: Hashable = None) -> Iterator[Result] | None:
        """Results, waiting for them; None where there are no more.

        Args:
            taker: who takes, for `refuse`.

        Raises:
            BaseException: what has ended the batches.
        """
        with self._state:
            while self._is_empty():
                self._state.wait()
                if self._is_empty() and self._refused == taker is not None:
                    raise self._refusal
            return self._take()

    def take_nowait(
        self, listener: Callable[[], None], taker: Hashable = None
    ) -> Iterator[Result] | None:
        """`take`, for those that must not wait.

        Raises:
            WouldBlock: there is nothing; the listener is called once, in another thread, when
                there may be.
        """
        with self._state:
            if self._is_empty():
                if self._refused == taker is not None:
                    raise self._refusal
                self._listeners.append(listener)
                raise WouldBlock
            return self._take()

    @property
    def is_empty(self) -> bool:
        """Whether taking would have to wait."""
        with self._state:
            return self._is_empty()

    def _is_empty(self) -> bool:
        while self._batches and not self._batches[0].__length_hint__():
            self._batches.popleft()
            self._is_new = True
        return not (self._batches or self._ended)

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
