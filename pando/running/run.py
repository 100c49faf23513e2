"""One run: a function, the workers that have it, and the streams mapped through it."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
import trio

from .. import messages, values
from ..errors import ItemError, RunClosedError, UsageError
from ..functions.capture import function_name
from ..functions.generators import keys_for
from ..functions.serialized import SerializedFunction, serialize
from ..scheduler import LenderStatistics, ResultRun, StruckOut, Window
from ..source import EndOfInput, Source
from ..tree.lending import Stream
from ..tree.node import Node
from ..worker.pool import WorkerPool, count_cores
from .inputs import open_source
from .serve_options import ServeOptions

if TYPE_CHECKING:
    from .server import Server

CLOSE_SECONDS = 1.0
"""How long the workers may take to end in order when a run is closed."""

Say = Callable[[str], None]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class RunOptions:
    """How a run computes.

    Attributes:
        workers: processes on this machine; None is one for each core.
        timeout: seconds that an item may take before it fails.
        batch_limit: the most items that are sent to a worker at once.
        requires: what the function needs installed, in the words of PEP 508.
        serve: how volunteers are let in; None where they are not.
    """

    workers: int | None = None
    timeout: float | None = None
    batch_limit: int | None = None
    requires: tuple[str, ...] = ()
    serve: ServeOptions | None = None

    def __post_init__(self) -> None:
        _check_count("workers", self.workers, least=0)
        _check_count("batch_limit", self.batch_limit, least=1)
        if self.workers == 0 and self.serve is None:
            raise UsageError("nobody would compute: no workers here, and volunteers cannot join")
        if self.timeout is not None and not self.timeout > 0:
            raise UsageError(f"timeout must be a positive number of seconds, not {self.timeout!r}")


@dataclass(frozen=True)
class StreamOptions:
    """How the results of one stream come out; see `pando.map`."""

    ordered: bool = True
    return_exceptions: bool = False
    buffersize: int | None = None

    def __post_init__(self) -> None:
        _check_count("buffersize", self.buffersize, least=1)


def _check_count(name: str, value: object, least: int) -> None:
    if value is not None and (type(value) is not int or value < least):
        raise UsageError(f"{name} must be a whole number of at least {least}, not {value!r}")


@dataclass(frozen=True)
class RunStatistics:
    """A run's figures.

    Attributes:
        workers: workers that compute now, here and on volunteers.
        worker_deaths: workers that have died and were replaced.
        volunteers: other nodes connected to this one.
        stream: the figures of the stream that is open, if one is.
        counters: what was refused, cut off or ignored of what came from the network, by kind.
        reported: what the function has told with `pando.report` on this machine's workers.
    """

    workers: int
    worker_deaths: int
    volunteers: int
    stream: LenderStatistics | None
    counters: dict[str, int]
    reported: messages.Reported | None


class ValueCodec:
    """The root's codec: its items and results are Python values."""

    encode = staticmethod(values.encode)
    find_unsupported = staticmethod(values.find_unsupported)

    @staticmethod
    def decode(encoded: msgspec.Raw) -> list[Any]:
        results = values.decode(memoryview(encoded))
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
        self._server: Server | None = None
        self._node = node
        self._pool = pool
        self._nursery = nursery
        self._stream: ResultStream[Result] | None = None
        self._failure: Exception | None = None
        self._closed = False

    def map(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        *,
        ordered: bool = True,
        return_exceptions: bool = False,
        buffersize: int | None = None,
    ) -> ResultStream[Result]:
        """Apply the function to each item; iterate over what is returned with ``async for``.

        A run maps one stream at a time: one that is still open is closed.

        Args:
            items: any iterable or asynchronous iterable, infinite ones too. It is read only as
                far as the workers need.
            ordered: results in the order of the items; else as they come.
            return_exceptions: an item without result gives its `ItemError` in the result's place;
                else the error is raised there.
            buffersize: how many items may be read beyond the oldest result not handed out; by
                default tens of thousands, or what fits into some megabytes.

        Raises:
            UsageError: an option is wrong.
            RunClosedError: the run is closed.
        """
        return self.map_source(
            open_source(items), StreamOptions(ordered, return_exceptions, buffersize)
        )

    def map_source(self, source: Source, options: StreamOptions) -> ResultStream[Result]:
        """`map` for a source of one's own; see `pando.running.inputs`."""
        if self._closed:
            raise RunClosedError("this run is closed")
        if self._stream is not None:
            self._stream.close()
        lender = self._node.new_lender(ordered=options.ordered)
        stream = Stream(source, lender, Window(options.buffersize))
        stream.add_keys = keys_for(self._function.draw_key())
        self._stream = ResultStream(self, self._node, stream, options)
        self._node.open_stream(stream)
        self._nursery.start_soon(self._feed, stream)
        return self._stream

    def statistics(self) -> RunStatistics:
        """A snapshot of the figures."""
        server = self._server
        return RunStatistics(
            self._node.workers,
            self._pool.deaths,
            len(server.membership.children) if server else 0,
            self._node.statistics(),
            dict(server.all_counters()) if server else {},
            self._node.figures_reported(),
        )

    @property
    def links(self) -> list[str]:
        """What volunteers open to join, one link for each of this machine's addresses."""
        return self._server.links if self._server else []

    async def _feed(self, stream: Stream) -> None:
        await stream.source.run(lambda: self._node.input_has_news(stream))

    def served_by(self, server: Server | None) -> None:
        """Volunteers join at this server."""
        self._server = server

    async def dismiss_volunteers(self) -> None:
        """Tell the volunteers that the run is over, whatever has ended it."""
        if self._server is not None:
            with trio.CancelScope(shield=True):
                await self._server.end()

    def fail(self, error: Exception) -> None:
        """Nothing can be computed any more: whoever waits for results gets this error."""
        self._failure = self._failure or error
        if self._stream is not None:
            self._stream.wake()

    @property
    def failure(self) -> Exception | None:
        """Why nothing can be computed any more."""
        return self._failure

    def close(self) -> None:
        """End the open stream and take no other."""
        self._closed = True
        if self._stream is not None:
            self._stream.close()


class ResultStream(AsyncIterator[Result]):
    """The results of one `Run.map`, as they become due.

    Error handling: an item without result raises its `ItemError` in its place, unless
    ``return_exceptions`` was chosen; iteration may go on behind it. An exception of the input is
    raised as it is, after the results of all items before it.
    """

    def __init__(
        self, run: Run[Any, Result], node: Node, stream: Stream, options: StreamOptions
    ) -> None:
        self._run = run
        self._node = node
        self._stream = stream
        self._options = options
        self._due: Iterator[Result] = iter(())
        self._error: ItemError | None = None
        self._rest: ResultRun | None = None
        self._closed = False

    def __aiter__(self) -> AsyncIterator[Result]:
        return self

    async def __anext__(self) -> Result:
        for result in self._due:
            return result
        batch = await self.next_batch()
        if not batch:
            raise StopAsyncIteration
        self._due = iter(batch)
        return next(self._due)

    async def next_batch(self) -> list[Result]:
        """The next results, one or many, as soon as there are some; for speed.

        An empty list says that there are no more.

        Raises:
            ItemError: the next item has no result. The ones behind it come next.
        """
        try:
            run = await self.next_run()
        except EndOfInput:
            return []
        if not run.failures:
            return list(run.values)
        if self._options.return_exceptions:
            results = list(run.values)
            for place in run.failures:
                results[place] = item_error(run, place)
            return results
        first = min(run.failures)
        if first > 0:
            self._rest = _behind(run, first)
            return list(run.values[:first])
        self._rest = _behind(run, 1) if len(run.values) > 1 else None
        raise item_error(run, 0)

    async def next_run(self) -> ResultRun:
        """The next results together with their items and failures, as the scheduler has them."""
        if self._rest is not None:
            run, self._rest = self._rest, None
            return run
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            if self._closed:
                raise RunClosedError("this stream is closed")
            if self._run.failure is not None:
                raise self._run.failure
            try:
                return await self._node.next_results(self._stream)
            except trio.ClosedResourceError:
                continue
            except EndOfInput:
                self._node.close_stream(self._stream)
                raise

    def wake(self) -> None:
        """Let whoever waits for results look again."""
        self._node.close_stream(self._stream)

    def close(self) -> None:
        """Read, lend and hand out no more of this stream."""
        self._closed = True
        self._due, self._rest = iter(()), None
        self._node.close_stream(self._stream)

    async def aclose(self) -> None:
        """`close`, for `contextlib.aclosing`."""
        self.close()
        await trio.lowlevel.checkpoint()


def item_error(run: ResultRun, place: int) -> ItemError:
    """The error of an item of a run that has failed."""
    failure = run.failures[place]
    item, index = run.items[place], run.start + place
    if isinstance(failure, ItemError):
        return failure
    if isinstance(failure, StruckOut):
        reason = (
            f"the item was given up after {failure.strikes} workers were lost while they "
            f"ran it; the last time, {failure.reason}"
        )
        return ItemError(item, index, "WorkerLost", reason)
    assert isinstance(failure, messages.Failure)
    return ItemError(item, index, failure.type, failure.reason, failure.traceback, failure.device)


def _behind(run: ResultRun, count: int) -> ResultRun:
    """A run without its first results."""
    failures = {place - count: why for place, why in run.failures.items() if place >= count}
    return ResultRun(run.start + count, run.items[count:], run.values[count:], failures)


def pack(
    function: Callable[..., Any],
    requires: Iterable[str] = (),
    *,
    initializer: Callable[[], object] | None = None,
    random_seed: int | None = None,
) -> SerializedFunction:
    """A function as workers are sent it; FunctionError where it cannot be sent."""
    return serialize(function, requires, initializer=initializer, random_seed=random_seed)


@asynccontextmanager
async def open_run(
    function: Callable[[Item], Any],
    *,
    workers: int | None = None,
    timeout: float | None = None,
    batch_limit: int | None = None,
    requires: Iterable[str] = (),
    initializer: Callable[[], object] | None = None,
    random_seed: int | None = None,
    serve: bool | ServeOptions = True,
) -> AsyncIterator[Run[Item, Any]]:
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
        requires: what the function needs installed, in the words of PEP 508.
        initializer: called without arguments once in each worker, before its first item.
        random_seed: makes what the function draws from `random` and from NumPy's global
            generator repeatable, item by item. Generators that it refers to always are.
        serve: whether volunteers may join, and how; their links are `Run.links`.

    Raises:
        FunctionError: the function cannot be sent to workers, or not be loaded there.
        UsageError: an option is wrong.
        WorkerError: workers cannot be started.
    """
    options = RunOptions(workers, timeout, batch_limit, tuple(requires), as_serve_options(serve))
    packed = pack(function, options.requires, initializer=initializer, random_seed=random_seed)
    async with open_packed_run(packed, function_name(function), options) as run:
        yield run


def as_serve_options(serve: bool | ServeOptions) -> ServeOptions | None:
    """How to serve, or None where nothing is to be served."""
    if isinstance(serve, ServeOptions):
        return serve
    return ServeOptions() if serve else None


@asynccontextmanager
async def open_packed_run(
    packed: SerializedFunction, name: str, options: RunOptions, say: Say = lambda text: None
) -> AsyncIterator[Run[Any, Any]]:
    """`open_run` for a function that has been packed already; `say` is told of what happens."""
    node = Node(ValueCodec(), batch_limit=options.batch_limit)
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
                packed.prepare_portable()
            server = await _open_server(node, packed, name, options, say, nursery)
            run.served_by(server)
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
            await run.dismiss_volunteers()
        nursery.cancel_scope.cancel()
    if body_error is not None:
        raise body_error


async def _open_server(
    node: Node,
    packed: SerializedFunction,
    name: str,
    options: RunOptions,
    say: Say,
    nursery: trio.Nursery,
) -> Server | None:
    if options.serve is None:
        return None
    # While the workers start, there is time to import this.
    await trio.lowlevel.checkpoint()
    from .server import Server

    server = Server(
        node,
        packed,
        name,
        options.serve,
        say,
        timeout=options.timeout,
        batch_limit=options.batch_limit,
        requirements=options.requires,
    )
    await server.open()
    nursery.start_soon(server.run)
    return server
