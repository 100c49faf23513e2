"""Feeds: deliver the results of a run in the background thread to the program's threads."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..functions.serialized import SerializedFunction
from ..importing import import_quickly, looking_first_in
from ..source import Source
from ..worker.environment import refuse_gevent
from ..worker.launcher import Launcher
from .buffered_source import BufferedSource
from .handover import Handover, InputWaitsError, NewsError
from .options import RunOptions, StreamOptions
from .watcher import Watcher

if TYPE_CHECKING:
    from .background import BackgroundTask
    from .delivery import Delivery, StreamDelivery

PATH = [entry for entry in sys.path if isinstance(entry, str)]
"""Where Pando and what it needs have been found; a program may change `sys.path` afterwards."""

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
        self.handover: Handover[Result] = Handover(self._make_room)
        self._source = source
        self._options = options
        self._watcher = watcher
        self._lock = threading.Lock()
        self._started = False
        self._delivery: Delivery[Result] | None = None

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
        """Show the newest figures to who watches, if there are any."""
        if self._watcher is not None:
            self._watcher.show()

    def _make_room(self) -> None:
        """Allow another batch, since one has been taken."""
        if self._delivery is not None:
            self.call(self._delivery.make_room)

    def start(self) -> None:
        """Start the stream, unless it has been started already."""
        with self._lock:
            if not self._started:
                self._start()  # once more after Ctrl-C
                self._started = True

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
        if self._delivery is not None:
            self.call(functools.partial(self._delivery.set_waiting_reader, reader))

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
    """The feed of a run for one stream, which begins and ends with it.

    Its first worker starts before the event loop and all that needs one are imported: each takes
    longer than everything else that comes before a first result.
    """

    def __init__(
        self,
        function: SerializedFunction,
        options: RunOptions,
        source: Source,
        stream_options: StreamOptions,
        watcher: Watcher | None = None,
    ) -> None:
        super().__init__(source, stream_options, watcher)
        self._function = function
        self._run_options = options
        self._launcher: Launcher | None = None
        self._task: BackgroundTask | None = None

    def _start(self) -> None:
        refuse_gevent()
        launcher = Launcher(self._function, self._run_options.count_workers())
        launcher.launch_ahead()
        try:
            with looking_first_in(PATH):
                delivery = import_quickly("pando.running.delivery")
                background = import_quickly("pando.running.background")
            made = delivery.RunDelivery(self._source, self._options, self.handover)
            main = functools.partial(
                made.main, self._function, self._run_options, launcher, self._watcher
            )
            self._delivery, self._launcher = made, launcher
            self._task = background.BackgroundTask(main)
        except BaseException:
            launcher.close()
            raise

    def _end(self) -> None:
        if self._task is not None:
            self._task.close()
            if self._launcher is not None and self._task.has_ended:
                self._launcher.close()  # it may have ended before it began

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
        begin: starts a delivery in the event loop of the run, or ends the handover.
        source: the items.
        options: see `StreamOptions`.
    """

    def __init__(
        self,
        task: BackgroundTask,
        begin: Callable[[StreamDelivery[Any]], None],
        source: Source,
        options: StreamOptions,
    ) -> None:
        super().__init__(source, options)
        self._task = task
        self._begin = begin
        self._own: StreamDelivery[Result] | None = None

    def _start(self) -> None:
        from .delivery import StreamDelivery

        self._delivery = self._own = StreamDelivery(self._source, self._options, self.handover)
        self._begin(self._own)

    def _end(self) -> None:
        self.cancel()

    def cancel(self) -> None:
        if self._own is not None:
            self._task.call(self._own.cancel)

    def call(self, do: Callable[[], object]) -> None:
        self._task.call(do)
