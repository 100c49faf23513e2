"""`pando.run`: a run in the background for any number of maps."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Generic, Literal, TypeVar, Unpack, overload

import trio

from ..errors import ItemError, RunClosedError
from ..functions.capture import function_name
from ..functions.serialized import SerializedFunction
from .background import BackgroundTask
from .feed import StreamFeed
from .inputs import open_source
from .notices import say
from .options import RunOptions, StreamOptions
from .results import Results
from .run import Run, RunArguments, RunStatistics, make_run_options, open_packed_run, pack
from .serve_options import Serve

Item = TypeVar("Item")
Result = TypeVar("Result")


class SyncRun(Generic[Item, Result]):
    """A function and its workers, ready for several maps, one after the other or at once.

    Made by `pando.run`; used in a ``with`` statement. Threads may share it.
    """

    def __init__(self, packed: SerializedFunction, name: str, options: RunOptions) -> None:
        self.function_name = name
        self._packed = packed
        self._options = options
        self._opened: Future[Run[Item, Result]] = Future()
        self._task: BackgroundTask | None = None
        self._nursery: trio.Nursery

    def __enter__(self) -> SyncRun[Item, Result]:
        if self._task is not None:
            raise RunClosedError("a run is opened once; call pando.run again for another")
        self._task = BackgroundTask(self._main)
        try:
            self._opened.result()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()

    @overload
    def map(
        self,
        items: Iterable[Item],
        *,
        ordered: bool = True,
        return_exceptions: Literal[False] = False,
        buffersize: int | None = None,
    ) -> Results[Result]: ...

    @overload
    def map(
        self,
        items: Iterable[Item],
        *,
        ordered: bool = True,
        return_exceptions: bool,
        buffersize: int | None = None,
    ) -> Results[Result | ItemError]: ...

    def map(
        self,
        items: Iterable[Item],
        *,
        ordered: bool = True,
        return_exceptions: bool = False,
        buffersize: int | None = None,
    ) -> Results[Any]:
        """Apply the function to each item, and iterate over the results in order.

        Items are read when the first result is asked for. Several maps may go on at once: those
        that have items get equal time of the workers. An item's error ends its map alone.

        Args:
            items: any iterable. An iterator is read in a thread of its own.
            ordered: results in the order of the items; otherwise in completion order.
            return_exceptions: yield the `ItemError` of an item that failed instead of raising it.
            buffersize: maximum read-ahead, as for `pando.map`.

        Raises:
            UsageError: an option is wrong.
            RunClosedError: the run is closed, or has not been opened by ``with``.
        """
        options = StreamOptions(ordered, return_exceptions, buffersize)
        return Results(StreamFeed(self._open_task(), self._begin, open_source(items), options))

    def statistics(self) -> RunStatistics:
        """A snapshot of the figures; RunClosedError where the run is not open."""
        return self._open_task().ask(self._opened.result().statistics)

    @property
    def links(self) -> list[str]:
        """What volunteers open to join; empty where none can, or the port is not open yet."""
        self._open_task()
        return self._opened.result().links

    def close(self) -> None:
        """End the run and its workers now. May be called from any thread, and more than once."""
        if self._task is not None:
            self._task.close()

    def _open_task(self) -> BackgroundTask:
        if self._task is None:
            raise RunClosedError("this run is not open yet: use it as `with pando.run(…) as run`")
        if self._task.has_ended:
            raise RunClosedError("this run is closed")
        return self._task

    def _begin(self, feed: StreamFeed[Any]) -> None:
        run = self._opened.result()
        try:
            self._open_task().ask(lambda: self._nursery.start_soon(feed.main, run))
        except (RunClosedError, RuntimeError):  # so Trio says that the nursery is closed
            feed.handover.end(RunClosedError("this run is closed"))

    async def _main(self) -> None:
        try:
            async with (
                open_packed_run(self._packed, self.function_name, self._options, say) as run,
                trio.open_nursery() as self._nursery,
            ):
                self._opened.set_result(run)
                await trio.sleep_forever()
        except trio.Cancelled:
            raise
        except BaseException as error:
            if not self._opened.done():
                self._opened.set_exception(error)
        finally:
            self._opened.cancel()


@overload
def run(
    function: Callable[[Item], Coroutine[Any, Any, Result]], **options: Unpack[RunArguments]
) -> SyncRun[Item, Result]: ...


@overload
def run(
    function: Callable[[Item], Result], **options: Unpack[RunArguments]
) -> SyncRun[Item, Result]: ...


def run(
    function: Callable[[Any], Any],
    *,
    workers: int | None = None,
    timeout: float | None = None,
    batch_limit: int | None = None,
    requires: Iterable[str] = (),
    initializer: Callable[[], object] | None = None,
    random_seed: int | None = None,
    serve: Serve = None,
) -> SyncRun[Any, Any]:
    """Keep workers and volunteers for several maps::

        with pando.run(function) as run:
            for result in run.map(items):
                ...
            for result in run.map(other_items):
                ...

    Args:
        function: takes an item, returns its result, as for `pando.map`.
        workers: processes on this machine; one for each core by default.
        timeout: seconds that an item may take before it fails and its worker is replaced.
        batch_limit: the most items that are sent to a worker at once.
        requires: what the function needs installed, as PEP 508 requirement strings.
        initializer: called without arguments once in each worker, before its first item.
        random_seed: makes what the function draws from `random` and from NumPy's global
            generator repeatable, item by item. Generators that it refers to always are.
        serve: who may connect, as for `pando.map`. Where it is given the port opens at once, and
            `SyncRun.links` has the links.

    Raises:
        FunctionError: the function cannot be sent to workers.
        UsageError: an option is wrong, or the port cannot be opened.
    """
    options = make_run_options(workers, timeout, batch_limit, requires, serve, at_once=True)
    packed = pack(function, options.requires, initializer=initializer, random_seed=random_seed)
    return SyncRun(packed, function_name(function), options)
