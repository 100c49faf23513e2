"""Feeds: deliver the results of a run in the background thread to the program's threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import trio

from ..errors import ItemError, RunClosedError
from ..functions.serialized import SerializedFunction
from ..notifier import to_standard_error
from ..source import Source
from .background import BackgroundTask
from .handover import Handover, NewsError
from .inputs import BufferedSource
from .opening import open_serialized_run
from .options import RunOptions, StreamOptions
from .run import Run
from .streams import InputWaitsError, ReaderStuckError, ResultStream
from .watcher import Watcher

if TYPE_CHECKING:
    from ..reporting.shown import Information

BATCHES_AHEAD = 2
"""Maximum batches of results that wait for the program's loop."""

Result = TypeVar("Result")


class Feed(Generic[Result]):
    """Start a stream when its first result is requested, and deliver results to any thread.

    Args:
        source: the items.
        options: see `StreamOptions`.
    """

    def __init__(
        self,
        source: Source,
        options: StreamOptions,
        watcher: Watcher | None = None,
    ) -> None:
        self._watcher = watcher
        self._links: list[str] = []
        self._report: Information | None = None
        self._glance: Information | None = None
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
        """Wait for the next results; return None at the end.

        Raises:
            ItemError: an item failed, which ends the map.
            UsageError: the input itself waits for a result that needs more input.
            Exception: the reason that the run failed, or raised by the input.
        """
        self.start()
        taker = self.reading_taker()
        if taker is not None and self.handover.is_empty:
            self.set_waiting_reader(taker)
        try:
            batch = self._take(taker)
        except BaseException as error:
            if not isinstance(error, KeyboardInterrupt | InputWaitsError):
                self.close()
            raise
        finally:
            if taker is not None:
                self.set_waiting_reader(None)
        if batch is None:
            self.close()
        return batch

    def _take(self, taker: Hashable) -> Iterator[Result] | None:
        while True:
            try:
                return self.handover.take(taker)
            except NewsError:
                self.deliver_report()

    def deliver_report(self) -> None:
        """Show the newest report to who watches, if there is one."""
        report, self._report = self._report, None
        glance, self._glance = self._glance, None
        if self._watcher is None:
            return
        if report is not None:
            self._watcher.show(report, self._links)
        elif glance is not None:
            self._watcher.glance(glance, self._links)

    def _watch(self, run: Run[Any, Any]) -> None:
        """Keep reports until another thread asks for a result. Called in the event loop."""

        def take_report(report: Information) -> None:
            self._links = run.links
            self._report = report
            self.handover.tell()

        def take_glance(glance: Information) -> None:
            self._links = run.links
            self._glance = glance
            self.handover.tell()

        run.add_sink(take_report)
        if self._watcher is not None and self._watcher.has_display:
            run.add_display(take_glance)

    def _make_room(self) -> None:
        """Allow another batch, since one has been taken."""
        self.call(self._room.release)

    def start(self) -> None:
        """Start the stream, unless it has been started already."""
        with self._lock:
            if not self._started:
                self._started = True
                self._start()

    def close(self) -> None:
        """End the stream, and wake all threads that wait for its results. Thread-safe."""
        self.handover.close()
        with self._lock:
            was_started, self._started = self._started, True
        if was_started:
            self._end()
        if self._watcher is not None:
            self._watcher.close()

    def reading_taker(self) -> Hashable:
        """Return a new token if the caller is the reader of the input, else None.

        Each wait has its own token, so that the answer to one is not taken for another's.
        """
        source = self._source
        is_reader = isinstance(source, BufferedSource) and source.current_reader() is not None
        return object() if is_reader else None

    def set_waiting_reader(self, reader: Hashable) -> None:
        """Note which wait of the input's reader is going on; None for no wait."""

        def set_it() -> None:
            self._waiting_reader = reader
            if self._stream is not None:
                self._stream.reader_waits(reader is not None)

        self.call(set_it)

    # ---- the event loop ----

    async def deliver(self, run: Run[Any, Any]) -> None:
        """Map the source through a run, and deliver its results until they end."""
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
        """End the handover with the block, and deliver the block's error instead of raising it.

        Args:
            cancelled: the error to deliver if the block is cancelled.
        """
        error: BaseException | None = cancelled
        try:
            yield
            error = None
        except trio.Cancelled:
            raise
        except BaseException as problem:
            # The traceback of an ItemError would show frames of this package alone.
            is_of_item = isinstance(problem, ItemError)
            error = problem.with_traceback(None) if is_of_item else problem
        finally:
            self.handover.end(error)

    # ---- to be implemented by subclasses ----

    def _start(self) -> None:
        raise NotImplementedError

    def _end(self) -> None:
        raise NotImplementedError

    def cancel(self) -> None:
        """Request the end of the stream, without waiting for it."""
        raise NotImplementedError

    def call(self, do: Callable[[], object]) -> None:
        """Call a function in the event loop, if it is running."""
        raise NotImplementedError


class RunFeed(Feed[Result]):
    """The feed of a run for one stream, which begins and ends with it."""

    def __init__(
        self,
        function: SerializedFunction,
        name: str,
        options: RunOptions,
        source: Source,
        stream_options: StreamOptions,
        watcher: Watcher | None = None,
    ) -> None:
        super().__init__(source, stream_options, watcher)
        self._function = function
        self._name = name
        self._run_options = options
        self._task: BackgroundTask | None = None

    async def _main(self) -> None:
        with self._ending():
            async with open_serialized_run(
                self._function, self._name, self._run_options, to_standard_error
            ) as run:
                if self._watcher is not None:
                    self._watch(run)
                await self.deliver(run)

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
    """The feed of one stream of a run that has several, and outlives them.

    Args:
        task: the task of the run.
        begin: starts `main` in the event loop of the run, or ends the handover.
        source: the items.
        options: see `StreamOptions`.
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
        """Deliver the results; an error ends this stream only."""
        with self._ending(RunClosedError("this run is closed")), self._scope:
            await self.deliver(run)

    def _start(self) -> None:
        self._begin(self)

    def _end(self) -> None:
        self.cancel()

    def cancel(self) -> None:
        self._task.call(self._scope.cancel)

    def call(self, do: Callable[[], object]) -> None:
        self._task.call(do)
