"""Delivery: the event loop's part of a feed, which puts results where the program takes them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import trio

from ..errors import ItemError, RunClosedError
from ..functions.serialized import SerializedFunction
from ..notifier import to_standard_error
from ..source import Source
from ..worker.launcher import Launcher
from .handover import Handover, InputWaitsError
from .opening import open_serialized_run
from .options import RunOptions, StreamOptions
from .run import Run
from .streams import ReaderStuckError, ResultStream
from .watcher import Watcher

BATCHES_AHEAD = 2
"""Maximum batches of results that wait for the program's loop."""

Result = TypeVar("Result")


class Delivery(Generic[Result]):
    """Maps a source through a run, and puts the results into a handover.

    Args:
        source: the items.
        options: see `StreamOptions`.
        handover: takes the results.
    """

    def __init__(self, source: Source, options: StreamOptions, handover: Handover[Result]) -> None:
        self._source = source
        self._options = options
        self._handover = handover
        self._room = trio.Semaphore(BATCHES_AHEAD)
        self._stream: ResultStream[Result] | None = None
        self._waiting_reader: Hashable = None

    def make_room(self) -> None:
        """Allow another batch, since one has been taken."""
        self._room.release()

    def set_waiting_reader(self, reader: Hashable) -> None:
        """Note which wait of the input's reader is going on; None for no wait."""
        self._waiting_reader = reader
        if self._stream is not None:
            self._stream.reader_waits(reader is not None)

    async def deliver(self, run: Run[Any, Any]) -> None:
        """Map the source through a run, and deliver its results until they end."""
        self._stream = run.map_source(self._source, self._options)
        try:
            self._stream.reader_waits(self._waiting_reader is not None)
            while True:
                try:
                    batch = await self._stream.next_batch()
                except ReaderStuckError:
                    self._handover.refuse(self._waiting_reader, InputWaitsError())
                    continue
                if not batch:
                    return
                await self._room.acquire()
                self._handover.put(batch)
        finally:
            self._stream.close()

    @contextmanager
    def ending(self, cancelled: Exception | None = None) -> Iterator[None]:
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
            self._handover.end(error)


class RunDelivery(Delivery[Result]):
    """The delivery of a run for one stream, which begins and ends with it."""

    async def main(
        self,
        function: SerializedFunction,
        options: RunOptions,
        launcher: Launcher,
        watcher: Watcher | None,
    ) -> None:
        """Open the run, deliver its results, and close it."""
        with self.ending():
            async with open_serialized_run(
                function, function.name, options, to_standard_error, launcher=launcher
            ) as run:
                if watcher is not None:
                    self._watch(run, watcher)
                await self.deliver(run)

    def _watch(self, run: Run[Any, Any], watcher: Watcher) -> None:
        """Keep figures for the watcher until another thread asks for a result."""

        def keep_report(report: Any) -> None:
            watcher.keep_report(report, run.links)
            self._handover.tell()

        def keep_glance(glance: Any) -> None:
            watcher.keep_glance(glance, run.links)
            self._handover.tell()

        run.add_sink(keep_report)
        if watcher.has_display:
            run.add_display(keep_glance)


class StreamDelivery(Delivery[Result]):
    """The delivery of one stream of a run that has several, and outlives them."""

    def __init__(self, source: Source, options: StreamOptions, handover: Handover[Result]) -> None:
        super().__init__(source, options, handover)
        self._scope = trio.CancelScope()

    async def main(self, run: Run[Any, Any]) -> None:
        """Deliver the results; an error ends this stream only."""
        with self.ending(RunClosedError("this run is closed")), self._scope:
            await self.deliver(run)

    def refuse(self, error: Exception) -> None:
        """End the handover, since `main` will not be called."""
        self._handover.end(error)

    def cancel(self) -> None:
        """End the stream."""
        self._scope.cancel()
