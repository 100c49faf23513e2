"""The feed: the results of one stream of a run in the background, as other threads have them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import trio

from ..errors import ItemError, RunClosedError
from ..functions.serialized import SerializedFunction
from ..source import Source
from .background import BackgroundTask
from .handover import Handover
from .inputs import BufferedSource
from .notices import say
from .options import RunOptions, StreamOptions
from .run import Run, open_packed_run
from .streams import InputWaitsError, ReaderStuckError, ResultStream

BATCHES_AHEAD = 2
"""Batches of results that may wait for the loop's body."""

Result = TypeVar("Result")


class Feed(Generic[Result]):
    """Starts a stream when results are first asked for, and hands them to any number of threads.

    Args:
        source: the items.
        options: how the results come out.
    """

    def __init__(self, source: Source, options: StreamOptions) -> None:
        self.handover: Handover[Result] = Handover(self._make_room)
        self._source = source
        self._options = options
        self._lock = threading.Lock()
        self._started = False
        self._room = trio.Semaphore(BATCHES_AHEAD)
        self._stream: ResultStream[Result] | None = None
        self._waiting_reader: Hashable = None

    # ---- other threads ----

    def take(self) -> Iterator[Result] | None:
        """The next results, waiting for them; None where there are no more.

        Raises:
            ItemError: an item failed, and the map ends with it.
            UsageError: it is the input that asks, for a result that needs more input.
            Exception: what has ended the run, or what the input raised.
        """
        self.start()
        taker = self.reading_taker()
        if taker is not None and self.handover.is_empty:
            self.tell_reader_waits(taker)
        try:
            batch = self.handover.take(taker)
        except BaseException as error:
            if not isinstance(error, KeyboardInterrupt | InputWaitsError):
                self.close()
            raise
        finally:
            if taker is not None:
                self.tell_reader_waits(None)
        if batch is None:
            self.close()
        return batch

    def _make_room(self) -> None:
        """A batch has been taken: there is room for another."""
        self.call(self._room.release)

    def start(self) -> None:
        """Start, unless it has been started."""
        with self._lock:
            if not self._started:
                self._started = True
                self._start()

    def close(self) -> None:
        """End the stream, and wake whoever waits for its results. At any time, from any thread."""
        self.handover.close()
        with self._lock:
            was_started, self._started = self._started, True
        if was_started:
            self._end()

    def reading_taker(self) -> Hashable:
        """What stands for one wait of the input for a result; None where it is not the input.

        It is another one each time, so that the answer to one wait cannot be taken for that to
        the next.
        """
        source = self._source
        is_reader = isinstance(source, BufferedSource) and source.current_reader() is not None
        return object() if is_reader else None

    def tell_reader_waits(self, reader: Hashable) -> None:
        """The one who reads the input waits for a result; with None, no more."""

        def tell() -> None:
            self._waiting_reader = reader
            if self._stream is not None:
                self._stream.reader_waits(reader is not None)

        self.call(tell)

    # ---- the event loop ----

    async def hand_over(self, run: Run[Any, Any]) -> None:
        """Map the source through a run, and hand its results over until they end."""
        self._stream = run.map_source(self._source, self._options)
        try:
            self._stream.reader_waits(self._waiting_reader is not None)
            while True:
                try:
                    batch = await self._stream.next_batch()
                except ReaderStuckError:
                    self.handover.refuse(self._waiting_reader, InputWaitsError())
                    continue
                if not batch:
                    return
                await self._room.acquire()
                self.handover.put(batch)
        finally:
            self._stream.close()

    @contextmanager
    def _ending(self, cancelled: Exception | None = None) -> Iterator[None]:
        """End the handover with the block; an error of the block is handed over, and no further.

        Args:
            cancelled: the error to hand over where the block is cancelled.
        """
        error: BaseException | None = cancelled
        try:
            yield
            error = None
        except trio.Cancelled:
            raise
        except BaseException as problem:
            # Where this package was when it heard of an item's error helps nobody.
            is_items = isinstance(problem, ItemError)
            error = problem.with_traceback(None) if is_items else problem
        finally:
            self.handover.end(error)

    # ---- what the kinds of feeds do differently ----

    def _start(self) -> None:
        raise NotImplementedError

    def _end(self) -> None:
        raise NotImplementedError

    def cancel(self) -> None:
        """Let the stream end soon, without waiting for that."""
        raise NotImplementedError

    def call(self, do: Callable[[], object]) -> None:
        """Have something done in the event loop; nothing where it has not begun, or has ended."""
        raise NotImplementedError


class RunFeed(Feed[Result]):
    """A feed with a run of its own, which begins and ends with it."""

    def __init__(
        self,
        packed: SerializedFunction,
        name: str,
        options: RunOptions,
        source: Source,
        stream_options: StreamOptions,
    ) -> None:
        super().__init__(source, stream_options)
        self._packed = packed
        self._name = name
        self._run_options = options
        self._task: BackgroundTask | None = None

    async def _main(self) -> None:
        with self._ending():
            async with open_packed_run(self._packed, self._name, self._run_options, say) as run:
                await self.hand_over(run)

    def _start(self) -> None:
        self._task = BackgroundTask(self._main)

    def _end(self) -> None:
        if self._task is not None:
            self._task.close()

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def call(self, do: Callable[[], object]) -> None:
        if self._task is not None:
            self._task.call(do)


class StreamFeed(Feed[Result]):
    """A feed of a run that others share, and that goes on without it.

    Args:
        task: the run's.
        begin: starts `main` beside the run, in its event loop, or ends the handover.
    """

    def __init__(
        self,
        task: BackgroundTask,
        begin: Callable[[StreamFeed[Any]], None],
        source: Source,
        options: StreamOptions,
    ) -> None:
        super().__init__(source, options)
        self._task = task
        self._begin = begin
        self._scope = trio.CancelScope()

    async def main(self, run: Run[Any, Any]) -> None:
        """Hand the results over; the error of a stream is no other's."""
        with self._ending(RunClosedError("this run is closed")), self._scope:
            await self.hand_over(run)

    def _start(self) -> None:
        self._begin(self)

    def _end(self) -> None:
        self.cancel()

    def cancel(self) -> None:
        self._task.call(self._scope.cancel)

    def call(self, do: Callable[[], object]) -> None:
        self._task.call(do)
