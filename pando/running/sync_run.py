"""`pando.run`: a run in the background thread for any number of maps."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Generic, Literal, TypeVar, Unpack, overload

import trio

from ..deprecation import accept_former_arguments
from ..errors import ItemError, RunClosedError
from ..functions import exact  # noqa: F401 - here, since each map needs it and it takes long
from ..functions.naming import function_name
from ..functions.serialized import SerializedFunction, serialize
from ..notifier import to_standard_error
from .background import BackgroundTask
from .delivery import StreamDelivery
from .feed import StreamFeed
from .inputs import open_source
from .opening import open_serialized_run
from .options import RunArguments, RunOptions, StreamOptions, make_run_options
from .results import Results
from .run import Run, RunStatistics
from .serve_options import Serve

Item = TypeVar("Item")
Result = TypeVar("Result")


class SyncRun(Generic[Item, Result]):
    """A function and its workers, ready for several maps, consecutive or concurrent.

    Created by `pando.run`, for use in a ``with`` statement. Threads may share it.
    """

    def __init__(self, function: SerializedFunction, name: str, options: RunOptions) -> None:
        self.function_name = name
        self._function = function
        self._options = options
        self._opened: Future[Run[Item, Result]] = Future()
        self._task: BackgroundTask | None = None
        self._nursery: trio.Nursery

    def __repr__(self) -> str:
        if self._task is None:
            state = "not open yet"
        else:
            state = "closed" if self._task.has_ended else "open"
        return f"<SyncRun of {self.function_name}: {state}>"

    def __enter__(self) -> SyncRun[Item, Result]:
        if self._task is not None:
            raise RunClosedError("a run cannot be opened twice; call pando.run again")
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

        Reading starts when the first result is requested. Several maps may be open at once: those
        with items share the workers' time equally. The error of an item ends its map only.

        Args:
            items: any iterable. An iterator is read in a background thread.
            ordered: whether to yield results in the order of the items; otherwise in completion
                order.
            return_exceptions: whether to yield the `ItemError` of an item that failed instead of
                raising it.
            buffersize: maximum read-ahead, as for `pando.map`.

        Raises:
            UsageError: an option is invalid.
            RunClosedError: the run is closed, or has not been opened by ``with``.
        """
        options = StreamOptions(ordered, return_exceptions, buffersize)
        return Results(StreamFeed(self._open_task(), self._begin, open_source(items), options))

    def statistics(self) -> RunStatistics:
        """Return a snapshot of the metrics; RunClosedError if the run is not open."""
        return self._open_task().call_and_wait(self._opened.result().statistics)

    def monitoring(self) -> dict[str, Any]:
        """Return what monitoring shows of the run; see docs/monitoring.md for its keys."""
        return self._open_task().call_and_wait(self._opened.result().monitoring)

    @property
    def links(self) -> list[str]:
        """The links by which volunteers join; empty if none can, or the port is not open yet."""
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

    def _begin(self, delivery: StreamDelivery[Any]) -> None:
        run = self._opened.result()
        try:
            self._open_task().call_and_wait(lambda: self._nursery.start_soon(delivery.main, run))
        except (RunClosedError, RuntimeError):  # Trio raises this if the nursery is closed
            delivery.refuse(RunClosedError("this run is closed"))

    async def _main(self) -> None:
        try:
            async with (
                open_serialized_run(
                    self._function, self.function_name, self._options, to_standard_error
                ) as run,
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


@accept_former_arguments
def run(
    function: Callable[[Any], Any],
    *,
    workers: int | None = None,
    timeout: float | None = None,
    batch_size: int | None = None,
    requires: Iterable[str] = (),
    speculate: bool = True,
    initializer: Callable[[], object] | None = None,
    random_seed: int | None = None,
    serve: Serve = None,
) -> SyncRun[Any, Any]:
    """Keep workers and volunteers for several maps, in a ``with`` block.

    Args:
        function: takes an item and returns its result, as for `pando.map`.
        workers: worker processes on this machine (default: one per core).
        timeout: seconds that an item may take before it fails and its worker is replaced.
        batch_size: maximum items per batch (default: adaptive).
        requires: what the function needs installed, as PEP 508 requirement strings.
        speculate: whether an item that takes a device far longer than others is computed a second
            time elsewhere, where somebody has nothing to do; the first result counts.
        initializer: called without arguments once in each worker, before its first item.
        random_seed: seed `random` and NumPy's global generator for each item, repeatably.
            Generators that the function refers to are always repeatable.
        serve: who may connect, as for `pando.map`. If it is given, the port opens at once, and
            the links are in `SyncRun.links`.

    Raises:
        FunctionError: the function cannot be sent to workers.
        UsageError: an option is invalid, or the port cannot be opened.

    Example:
        >>> with pando.run(lambda x: 2 * x) as run:
        ...     list(run.map([1, 2, 3])), list(run.map("ab"))
        ([2, 4, 6], ['aa', 'bb'])
    """
    options = make_run_options(
        workers, timeout, batch_size, requires, serve, speculate=speculate, serve_at_once=True
    )
    serialized = serialize(
        function, options.requires, initializer=initializer, random_seed=random_seed
    )
    return SyncRun(serialized, function_name(function), options)
