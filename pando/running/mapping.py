"""`pando.map` and `pando.amap`: a run in the background thread for one stream."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

from ..deprecation import accept_former_arguments
from ..errors import ItemError
from ..functions import exact  # noqa: F401 - here, since each map needs it and it takes long
from ..functions.serialized import serialize
from ..source import Source
from .feed import RunFeed
from .inputs import open_source
from .options import RunArguments, StreamOptions, make_run_options
from .results import Results
from .serve_options import Serve
from .watcher import OnReport, make_watcher

if TYPE_CHECKING:
    from .async_results import AsyncResults

Item = TypeVar("Item")
Result = TypeVar("Result")


class MapArguments(RunArguments, total=False):
    """The options of `map` and `amap`, for type checkers."""

    buffersize: int | None
    ordered: bool
    on_report: OnReport | None
    progress: bool


@overload
def map(  # noqa: A001
    function: Callable[[Item], Coroutine[Any, Any, Result]],
    items: Iterable[Item],
    *,
    return_exceptions: Literal[False] = False,
    **options: Unpack[MapArguments],
) -> Results[Result]: ...


@overload
def map(  # noqa: A001
    function: Callable[[Item], Coroutine[Any, Any, Result]],
    items: Iterable[Item],
    *,
    return_exceptions: bool,
    **options: Unpack[MapArguments],
) -> Results[Result | ItemError]: ...


@overload
def map(  # noqa: A001
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    return_exceptions: Literal[False] = False,
    **options: Unpack[MapArguments],
) -> Results[Result]: ...


@overload
def map(  # noqa: A001
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    return_exceptions: bool,
    **options: Unpack[MapArguments],
) -> Results[Result | ItemError]: ...


@accept_former_arguments
def map(  # noqa: A001 - used as pando.map
    function: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    workers: int | None = None,
    timeout: float | None = None,
    buffersize: int | None = None,
    ordered: bool = True,
    return_exceptions: bool = False,
    batch_size: int | None = None,
    requires: Iterable[str] = (),
    speculate: bool = True,
    initializer: Callable[[], object] | None = None,
    random_seed: int | None = None,
    serve: Serve = None,
    on_report: OnReport | None = None,
    progress: bool = False,
) -> Results[Any]:
    """Apply a function to each item, on all cores, and iterate over the results in order.

    Nothing starts before the first result is requested. Items are consumed lazily, so `items` may
    be infinite.

    Args:
        function: takes an item and returns its result. It may be a lambda, a closure, a
            `functools.partial`, or ``async def``, for asyncio. It runs in other processes.
        items: any iterable. An iterator is read in a background thread.
        workers: worker processes on this machine (default: one per core).
        timeout: seconds that an item may take before it fails and its worker is replaced.
        buffersize: maximum read-ahead, in items beyond the oldest result not delivered
            (default: adaptive, bounded in items and bytes).
        ordered: whether to yield results in the order of the items; otherwise in completion
            order.
        return_exceptions: whether to yield the `ItemError` of an item that failed instead of
            raising it. An error that is raised ends the map.
        batch_size: maximum items per batch (default: adaptive).
        requires: what the function needs installed, as PEP 508 requirement strings.
        speculate: whether an item that takes a device far longer than others is computed a second
            time elsewhere, where somebody has nothing to do; the first result counts.
        initializer: called without arguments once in each worker, before its first item.
        random_seed: seed `random` and NumPy's global generator for each item, repeatably.
            Generators that the function refers to are always repeatable.
        serve: who may connect, to watch the run and to join it: `True` or ``"lan"`` for all
            devices, ``"local"`` for this machine only, `False` for none, or `ServeOptions`.
            Defaults to the environment variable ``PANDO_SERVE`` (``0``, ``local`` or ``lan``),
            then to ``serve`` in config.json, then to ``"local"``. The port opens after the first
            second; a message on standard error tells how to connect.
        on_report: called in this thread, between results and while one is waited for, with what
            monitoring shows of the run, once a reporting interval; see docs/monitoring.md. An
            exception that it raises ends the map.
        progress: whether to show the progress: one live line on a terminal, HTML in a notebook,
            nothing elsewhere.

    Raises:
        FunctionError: the function cannot be sent to workers or loaded there.
        ItemError: an item failed; the iterator raises it in the item's place.
        UsageError: an option is invalid.
        WorkerError: workers cannot be started.

    Example:
        >>> list(pando.map(lambda x: x * x, range(5)))
        [0, 1, 4, 9, 16]
    """
    options = make_run_options(
        workers, timeout, batch_size, requires, serve, speculate=speculate, serve_at_once=False
    )
    stream = StreamOptions(ordered, return_exceptions, buffersize)
    serialized = serialize(
        function, options.requires, initializer=initializer, random_seed=random_seed, items=items
    )
    source, watcher = open_source(items), make_watcher(on_report, progress)
    return Results(RunFeed(serialized, options, source, stream, watcher))


@overload
def amap(
    function: Callable[[Item], Coroutine[Any, Any, Result]],
    items: Iterable[Item] | AsyncIterable[Item],
    *,
    return_exceptions: Literal[False] = False,
    **options: Unpack[MapArguments],
) -> AsyncResults[Result]: ...


@overload
def amap(
    function: Callable[[Item], Coroutine[Any, Any, Result]],
    items: Iterable[Item] | AsyncIterable[Item],
    *,
    return_exceptions: bool,
    **options: Unpack[MapArguments],
) -> AsyncResults[Result | ItemError]: ...


@overload
def amap(
    function: Callable[[Item], Result],
    items: Iterable[Item] | AsyncIterable[Item],
    *,
    return_exceptions: Literal[False] = False,
    **options: Unpack[MapArguments],
) -> AsyncResults[Result]: ...


@overload
def amap(
    function: Callable[[Item], Result],
    items: Iterable[Item] | AsyncIterable[Item],
    *,
    return_exceptions: bool,
    **options: Unpack[MapArguments],
) -> AsyncResults[Result | ItemError]: ...


@accept_former_arguments
def amap(
    function: Callable[[Any], Any],
    items: Iterable[Any] | AsyncIterable[Any],
    *,
    workers: int | None = None,
    timeout: float | None = None,
    buffersize: int | None = None,
    ordered: bool = True,
    return_exceptions: bool = False,
    batch_size: int | None = None,
    requires: Iterable[str] = (),
    speculate: bool = True,
    initializer: Callable[[], object] | None = None,
    random_seed: int | None = None,
    serve: Serve = None,
    on_report: OnReport | None = None,
    progress: bool = False,
) -> AsyncResults[Any]:
    """Apply a function to each item as `map` does, in an asyncio program or a notebook cell.

    Iterate over what is returned with ``async for``. Cancelling the loop ends the run. In a Trio
    program use `open_run`.

    Args:
        function: as for `map`.
        items: any iterable, read in a background thread, or any asynchronous iterable, read in
            the running event loop.
        workers: as for `map`, like all that follow.
        timeout: see `map`.
        buffersize: see `map`.
        ordered: see `map`.
        return_exceptions: see `map`.
        batch_size: see `map`.
        requires: see `map`.
        speculate: see `map`.
        initializer: see `map`.
        random_seed: see `map`.
        serve: see `map`.
        on_report: see `map`.
        progress: see `map`.

    The errors are those of `map`.

    Example:
        >>> async def main():
        ...     return [result async for result in pando.amap(abs, [-1, 2, -3])]
        >>> import asyncio
        >>> asyncio.run(main())
        [1, 2, 3]
    """
    options = make_run_options(
        workers, timeout, batch_size, requires, serve, speculate=speculate, serve_at_once=False
    )
    stream = StreamOptions(ordered, return_exceptions, buffersize)
    serialized = serialize(
        function, options.requires, initializer=initializer, random_seed=random_seed, items=items
    )
    from .async_results import AsyncResults  # not with `map`: asyncio takes long to import

    source, watcher = _open_asyncio_source(items), make_watcher(on_report, progress)
    return AsyncResults(RunFeed(serialized, options, source, stream, watcher))


def _open_asyncio_source(items: Iterable[Any] | AsyncIterable[Any]) -> Source:
    if isinstance(items, AsyncIterable):
        from .asyncio_input import AsyncioSource

        return AsyncioSource(items)
    return open_source(items)
