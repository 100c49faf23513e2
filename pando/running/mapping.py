"""`pando.map`, and its like for asyncio: a run in the background for one stream."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Coroutine, Iterable
from typing import Any, Literal, TypeVar, Unpack, overload

from ..errors import ItemError
from ..functions.capture import function_name
from ..source import Source
from .feed import RunFeed
from .inputs import open_source
from .options import StreamOptions
from .results import AsyncResults, Results
from .run import RunArguments, make_run_options, pack
from .serve_options import Serve

Item = TypeVar("Item")
Result = TypeVar("Result")


class MapArguments(RunArguments, total=False):
    """The options of `map` and `amap`, for type checkers."""

    buffersize: int | None
    ordered: bool


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


def map(  # noqa: A001 - used as pando.map
    function: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    workers: int | None = None,
    timeout: float | None = None,
    buffersize: int | None = None,
    ordered: bool = True,
    return_exceptions: bool = False,
    batch_limit: int | None = None,
    requires: Iterable[str] = (),
    initializer: Callable[[], object] | None = None,
    random_seed: int | None = None,
    serve: Serve = None,
) -> Results[Any]:
    """Apply a function to each item, on all cores, and iterate over the results in order::

        for result in pando.map(function, items):
            ...

    Nothing starts before the first result is asked for, and items are read only as far as the
    workers need, so `items` may be infinite.

    Args:
        function: takes an item, returns its result. It may be a lambda, a closure, a
            `functools.partial`, or ``async def``, for asyncio. It runs in other processes.
        items: any iterable. An iterator is read in a thread of its own.
        workers: processes on this machine; one for each core by default.
        timeout: seconds that an item may take before it fails and its worker is replaced.
        buffersize: maximum read-ahead, in items beyond the oldest result not handed out
            (default: adaptive, bounded in items and bytes).
        ordered: results in the order of the items; otherwise in completion order.
        return_exceptions: yield the `ItemError` of an item that failed instead of raising it; an
            error that is raised ends the map.
        batch_limit: the most items that are sent to a worker at once.
        requires: what the function needs installed, as PEP 508 requirement strings.
        initializer: called without arguments once in each worker, before its first item.
        random_seed: makes what the function draws from `random` and from NumPy's global
            generator repeatable, item by item. Generators that it refers to always are.
        serve: who may connect, to watch and to help: `True` or ``"lan"`` for other devices,
            ``"local"`` for this machine alone, `False` for nobody, or `ServeOptions`. By default
            what the environment variable ``PANDO_SERVE`` says (``0``, ``local`` or ``lan``), or
            ``serve`` in config.json, or else ``"local"``. The port opens after a second of
            running, and standard error then says how to connect.

    Raises:
        FunctionError: the function cannot be sent to workers, or not be loaded there.
        ItemError: raised at its place by the iterator: an item has no result.
        UsageError: an option is wrong.
        WorkerError: workers cannot be started.
    """
    options = make_run_options(workers, timeout, batch_limit, requires, serve, at_once=False)
    stream = StreamOptions(ordered, return_exceptions, buffersize)
    packed = pack(
        function, options.requires, initializer=initializer, random_seed=random_seed, items=items
    )
    return Results(RunFeed(packed, function_name(function), options, open_source(items), stream))


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


def amap(
    function: Callable[[Any], Any],
    items: Iterable[Any] | AsyncIterable[Any],
    *,
    workers: int | None = None,
    timeout: float | None = None,
    buffersize: int | None = None,
    ordered: bool = True,
    return_exceptions: bool = False,
    batch_limit: int | None = None,
    requires: Iterable[str] = (),
    initializer: Callable[[], object] | None = None,
    random_seed: int | None = None,
    serve: Serve = None,
) -> AsyncResults[Any]:
    """`map` for asyncio, and for the cells of a notebook::

        async for result in pando.amap(function, items):
            ...

    Cancelling the loop ends the run. In a Trio program use `open_run`.

    Args:
        function: as for `map`.
        items: any iterable, read in a thread of its own, or any asynchronous iterable, read in
            the running event loop.

    The other arguments, and the errors, are those of `map`.
    """
    options = make_run_options(workers, timeout, batch_limit, requires, serve, at_once=False)
    stream = StreamOptions(ordered, return_exceptions, buffersize)
    packed = pack(
        function, options.requires, initializer=initializer, random_seed=random_seed, items=items
    )
    source = _open_asyncio_source(items)
    return AsyncResults(RunFeed(packed, function_name(function), options, source, stream))


def _open_asyncio_source(items: Iterable[Any] | AsyncIterable[Any]) -> Source:
    if isinstance(items, AsyncIterable):
        from .asyncio_input import AsyncioSource

        return AsyncioSource(items)
    return open_source(items)
