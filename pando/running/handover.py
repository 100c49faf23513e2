"""The handover: batches of results on their way from a run's event loop to other threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from ..source import WouldBlock

Result = TypeVar("Result")


class Handover(Generic[Result]):
    """Batches in order, then an end. Any number of threads may take from it.

    Each batch goes to one thread, and so does the error that ends them; after that all threads
    find the end.
    """

    def __init__(self) -> None:
        self._state = threading.Condition()
        self._batches: deque[list[Result]] = deque()
        self._error: BaseException | None = None
        self._ended = False
        self._verdicts: dict[Hashable, Exception] = {}
        self._listeners: list[Callable[[], None]] = []

    # ---- the run's side ----

    def put(self, batch: list[Result]) -> None:
        """Hand a batch over."""
        with self._state:
            self._batches.append(batch)
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
            self._verdicts[taker] = error
            self._tell()

    def _tell(self) -> None:
        self._state.notify_all()
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()

    # ---- the other threads' side ----

    def take(self, taker: Hashable = None) -> list[Result] | None:
        """The next batch, waiting for it; None where there are no more.

        Args:
            taker: who takes, for `refuse`.

        Raises:
            BaseException: what has ended the batches.
        """
        with self._state:
            self._verdicts.pop(taker, None)
            while self.is_empty:
                self._state.wait()
                if self.is_empty and (error := self._verdicts.pop(taker, None)):
                    raise error
            return self._take()

    def take_nowait(
        self, listener: Callable[[], None], taker: Hashable = None
    ) -> list[Result] | None:
        """`take`, for those that must not wait.

        Raises:
            WouldBlock: there is nothing; the listener is called once, in another thread, when
                there may be.
        """
        with self._state:
            if self.is_empty:
                if error := self._verdicts.pop(taker, None):
                    raise error
                self._listeners.append(listener)
                raise WouldBlock
            return self._take()

    @property
    def is_empty(self) -> bool:
        """Whether taking would have to wait."""
        return not (self._batches or self._ended)

    def _take(self) -> list[Result] | None:
        if self._batches:
            return self._batches.popleft()
        error, self._error = self._error, None
        if error is not None:
            raise error
        return None
