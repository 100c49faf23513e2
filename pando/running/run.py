"""One run: a function, the workers that have it, and the streams mapped through it."""

from __future__ import annotations

import functools
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypedDict, TypeVar, Unpack, overload

import msgspec
import trio

from .. import messages, values
from ..errors import ItemError, RunClosedError, UsageError
from ..functions.capture import function_name
from ..functions.generators import keys_for
from ..functions.serialized import SerializedFunction, serialize
from ..scheduler import LenderStatistics, Window
from ..source import Source
from ..tree.lending import Job
from ..tree.node import Node
from ..worker.pool import WorkerPool, count_cores
from .inputs import open_source
from .notices import say
from .options import RunOptions, StreamOptions
from .serve_options import Serve, ServeOptions, choose_serve_options
from .streams import ResultStream

if TYPE_CHECKING:
    from .served_run import ServedRun

CLOSE_SECONDS = 1.0
"""How long the workers may take to end in order when a run is closed."""
SERVE_AFTER_SECONDS = 1.0
"""When the port of a run opens in a program: one that is over sooner needs none."""

Say = Callable[[str], None]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class RunStatistics:
    """A run's figures.

    Attributes:
        workers: workers that compute now, here and on volunteers.
        worker_deaths: workers that have died and were replaced.
        volunteers: other nodes connected to this one.
        streams: the figures of each stream that is open, oldest first.
        counters: what was refused, cut off or ignored of what came from the network, by kind.
        reported: what the function has told with `pando.report` on this machine's workers.
    """

    workers: int
    worker_deaths: int
    volunteers: int
    streams: list[LenderStatistics]
    counters: dict[str, int]
    reported: messages.Reported | None


class ValueCodec:
    """The root's codec: its items and results are Python values.

    Args:
        registry: the classes that they may be instances of.
    """

    def __init__(self, registry: values.Registry = values.REGISTERED) -> None:
        self._codec = values.Codec(registry)
        self.encode = self._codec.encode
        self.find_unsupported = self._codec.find_unsupported

    def decode(self, encoded: msgspec.Raw) -> list[Any]:
        results = self._codec.decode(memoryview(encoded))
        return results if isinstance(results, list) else []


class Run(Generic[Item, Result]):
    """A function and its workers, ready to map streams. Made by `open_run`."""

    def __init__(
        self,
        node: Node,
        pool: WorkerPool,
        nursery: trio.Nursery,
        name: str,
        function: SerializedFunction,
    ) -> None:
        self.function_name = name
        self._function = function
        self._served: ServedRun | None = None
        self._node = node
        self._pool = pool
        self._nursery = nursery
        self._streams: weakref.WeakSet[ResultStream[Any]] = weakref.WeakSet()
        self._failure: Exception | None = None
        self._closed = False

    @overload
    def map(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        *,
        ordered: bool = True,
        return_exceptions: Literal[False] = False,
        buffersize: int | None = None,
    ) -> ResultStream[Result]: ...

    @overload
    def map(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        *,
        ordered: bool = True,
        return_exceptions: bool,
        buffersize: int | None = None,
    ) -> ResultStream[Result | ItemError]: ...

    def map(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        *,
        ordered: bool = True,
        return_exceptions: bool = False,
        buffersize: int | None = None,
    ) -> ResultStream[Any]:
        """Apply the function to each item; iterate over what is returned with ``async for``.

        Several streams may be open at once: those that have items get equal time of the workers.

        Args:
            items: any iterable or asynchronous iterable, infinite ones too. It is read only as
                far as the workers need.
            ordered: results in the order of the items; otherwise in completion order.
            return_exceptions: yield the `ItemError` of an item that failed instead of raising it.
            buffersize: maximum read-ahead, in items beyond the oldest result not handed out
                (default: adaptive, bounded in items and bytes).

        Raises:
            UsageError: an option is wrong.
            RunClosedError: the run is closed.
        """
        return self.map_source(
            open_source(items), StreamOptions(ordered, return_exceptions, buffersize)
        )

    def map_source(self, source: Source, options: StreamOptions) -> ResultStream[Any]:
        """`map` for a source of one's own; see `pando.source`."""
        if self._closed:
            raise RunClosedError("this run is closed")
        lender = self._node.new_lender(ordered=options.ordered)
        job = Job(source, lender, Window(options.buffersize))
        job.add_keys = keys_for(self._function.draw_key())
        stream: ResultStream[Any] = ResultStream(self._node, job, options, lambda: self._failure)
        self._streams.add(stream)
        self._node.open_job(job)
        self._nursery.start_soon(stream.read_input)
        return stream

    def statistics(self) -> RunStatistics:
        """A snapshot of the figures."""
        served = self._served
        return RunStatistics(
            self._node.workers,
            self._pool.deaths,
            len(served.membership.children) if served else 0,
            self._node.statistics(),
            dict(served.all_counters()) if served else {},
            self._node.figures_reported(),
        )

    @property
    def links(self) -> list[str]:
        """What volunteers open to join, one link for each of this machine's addresses.

        Empty where the run does not serve, or its port has not been opened yet.
        """
        return self._served.links if self._served else []

    def served_by(self, served: ServedRun | None) -> None:
        """Volunteers join here."""
        self._served = served

    def fail(self, error: Exception) -> None:
        """Nothing can be computed any more: whoever waits for results gets this error."""
        self._failure = self._failure or error
        for stream in list(self._streams):
            stream.wake()

    @property
    def failure(self) -> Exception | None:
        """Why nothing can be computed any more."""
        return self._failure

    def close(self) -> None:
        """End the open streams and take no other."""
        self._closed = True
        for stream in list(self._streams):
            stream.close()


def pack(
    function: Callable[..., Any],
    requires: Iterable[str] = (),
    *,
    initializer: Callable[[], object] | None = None,
    random_seed: int | None = None,
    items: Any = None,
) -> SerializedFunction:
    """A function as workers are sent it; FunctionError where it cannot be sent."""
    return serialize(
        function, requires, initializer=initializer, random_seed=random_seed, items=items
    )


class RunArguments(TypedDict, total=False):
    """The options of `open_run` and its like, for type checkers."""

    workers: int | None
    timeout: float | None
    batch_limit: int | None
    requires: Iterable[str]
    initializer: Callable[[], object] | None
    random_seed: int | None
    serve: Serve


@overload
def open_run(
    function: Callable[[Item], Coroutine[Any, Any, Result]], **options: Unpack[RunArguments]
) -> AbstractAsyncContextManager[Run[Item, Result]]: ...


@overload
def open_run(
    function: Callable[[Item], Result], **options: Unpack[RunArguments]
) -> AbstractAsyncContextManager[Run[Item, Result]]: ...


def open_run(
    function: Callable[[Any], Any],
    *,
    workers: int | None = None,
    timeout: float | None = None,
    batch_limit: int | None = None,
    requires: Iterable[str] = (),
    initializer: Callable[[], object] | None = None,
    random_seed: int | None = None,
    serve: Serve = None,
) -> AbstractAsyncContextManager[Run[Any, Any]]:
    """Open a run in a Trio program::

        async with pando.open_run(fn) as run:
            async for result in run.map(items):
                ...

    The workers stay for as long as the block runs, so that mapping again costs no start-up.

    Args:
        function: takes an item, returns its result; may be ``async def``, for asyncio.
        workers: processes on this machine; one for each core by default.
        timeout: seconds that an item may take before it fails and its worker is replaced.
        batch_limit: the most items that are sent to a worker at once.
        requires: what the function needs installed, as PEP 508 requirement strings.
        initializer: called without arguments once in each worker, before its first item.
        random_seed: makes what the function draws from `random` and from NumPy's global
            generator repeatable, item by item. Generators that it refers to always are.
        serve: whether volunteers may join, and how, as for `pando.map`; their links are
            `Run.links`. Where it is given the port opens at once.

    Raises:
        FunctionError: the function cannot be sent to workers, or not be loaded there.
        UsageError: an option is wrong, or the event loop is not Trio's.
        WorkerError: workers cannot be started.
    """
    options = make_run_options(workers, timeout, batch_limit, requires, serve, at_once=True)
    return _open_run(function, options, initializer, random_seed)


@asynccontextmanager
async def _open_run(
    function: Callable[[Any], Any],
    options: RunOptions,
    initializer: Callable[[], object] | None,
    random_seed: int | None,
) -> AsyncIterator[Run[Any, Any]]:
    if not trio.lowlevel.in_trio_run():
        raise UsageError(
            "open_run needs Trio: under asyncio and in notebooks write "
            "`async for result in pando.amap(function, items)`, or use `pando.run` or `pando.map`"
        )
    packed = pack(function, options.requires, initializer=initializer, random_seed=random_seed)
    async with open_packed_run(packed, function_name(function), options, say) as run:
        yield run


def make_run_options(
    workers: int | None,
    timeout: float | None,
    batch_limit: int | None,
    requires: Iterable[str],
    serve: Serve,
    *,
    at_once: bool,
) -> RunOptions:
    """The options of a run in a program.

    Args:
        at_once: whether the port opens at once, where `serve` was asked for.

    Raises:
        UsageError: one of them is wrong.
    """
    asked = serve is not None
    at_once = (asked and at_once) or workers == 0
    return RunOptions(
        workers=workers,
        timeout=timeout,
        batch_limit=batch_limit,
        requires=tuple(requires),
        serve=choose_serve_options(serve),
        serve_after=0.0 if at_once else SERVE_AFTER_SECONDS,
        must_serve=asked,
        announce=True,
    )


@asynccontextmanager
async def open_packed_run(
    packed: SerializedFunction, name: str, options: RunOptions, say: Say = lambda text: None
) -> AsyncIterator[Run[Any, Any]]:
    """`open_run` for a function that has been packed already; `say` is told of what happens."""
    codec = ValueCodec(packed.classes.registry)
    node = Node(codec, batch_limit=options.batch_limit, names_workers=True)
    count = count_cores() if options.workers is None else options.workers
    pool = WorkerPool(packed, count, node.serve, timeout=options.timeout, say=say)
    body_error: BaseException | None = None
    async with trio.open_nursery() as nursery:
        pool_ended = trio.Event()

        async def keep_workers() -> None:
            await pool.run(run.fail)
            pool_ended.set()

        run: Run[Any, Any] = Run(node, pool, nursery, name, packed)
        nursery.start_soon(keep_workers)
        nursery.start_soon(node.balance_forever)
        try:
            if options.serve is not None:
                serve = functools.partial(_serve, run, node, packed, options, options.serve, say)
                if options.serve_after:
                    nursery.start_soon(serve)
                else:
                    await nursery.start(serve)
            yield run
            run.close()
            pool.close()
            with trio.move_on_after(CLOSE_SECONDS):
                await pool_ended.wait()
        except trio.Cancelled:
            raise
        except BaseException as error:
            # Raised again below, so that the nursery does not wrap it into a group.
            body_error = error
        finally:
            run.close()
        nursery.cancel_scope.cancel()
    if body_error is not None:
        raise body_error


async def _serve(
    run: Run[Any, Any],
    node: Node,
    packed: SerializedFunction,
    options: RunOptions,
    serve: ServeOptions,
    say: Say,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Let volunteers join a run until it is cancelled, and tell them then that it is over."""
    await trio.sleep(options.serve_after)
    packed.prepare_portable()
    # While the workers start, or compute, there is time to import this.
    from .served_run import ServedRun
    from .server import shared_server

    try:
        async with shared_server(serve, say) as server:
            served = ServedRun(server, node, packed, run.function_name, options, serve, say)
            server.add(served)
            run.served_by(served)
            if options.announce:
                server.announce(say)
            task_status.started()
            try:
                await served.run()
            finally:
                with trio.CancelScope(shield=True):
                    await served.end()
                server.remove(served)
    except UsageError as error:
        if not options.serve_after:
            raise
        if options.must_serve:
            run.fail(error)
        else:
            say(f"this run cannot be watched: {error}")
