"""The results of one stream in a Trio program, as they become due."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import TypeVar

import trio

from .. import messages
from ..errors import ItemError, RunClosedError, UsageError
from ..scheduler import ResultRun, StruckOut
from ..source import EndOfInput
from ..tree.lending import Job
from ..tree.node import Node
from .causes import rebuild_exception
from .inputs import BufferedSource
from .options import StreamOptions

Result = TypeVar("Result")


class InputWaitsError(UsageError):
    """The input waits for a result that needs more input."""

    def __init__(self) -> None:
        super().__init__(
            "the input waits for a result of this very map, but all items so far have been "
            "computed and handed out: it would wait for ever"
        )


class ReaderStuckError(Exception):
    """The same, where the input is read in another thread, which has to be told."""


class ResultStream(AsyncIterator[Result]):
    """The results of one `Run.map`, as they become due.

    Leaving an ``async for`` loop early closes the stream, unless a variable still holds it: then
    `close` it, or use it with `contextlib.aclosing`.

    Error handling: an item that failed raises its `ItemError` in its place, unless
    ``return_exceptions`` was chosen; iteration may go on after it. An exception of the input is
    raised as it is, after the results of all items before it.
    """

    def __init__(
        self,
        node: Node,
        job: Job,
        options: StreamOptions,
        find_failure: Callable[[], Exception | None],
    ) -> None:
        self._node = node
        self._job = job
        self._options = options
        self._find_failure = find_failure
        self._token = trio.lowlevel.current_trio_token()
        self._reading = trio.CancelScope()
        self._due: Iterator[Result] = iter(())
        self._rest: ResultRun | None = None
        self._closed = False
        self._own_reader_waits = self._other_reader_waits = False
        self._news = _News()
        job.notify = self._news.tell

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

    def __del__(self) -> None:
        if not self._closed:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(_end, self._node, self._job, self._reading)

    async def read_input(self) -> None:
        """Do the input's waiting, until it ends or the stream is closed."""
        node, job = self._node, self._job  # a task must not keep the stream alive
        with self._reading as scope:
            del self
            await job.source.run(lambda: node.input_has_news(job))
        del scope

    async def next_batch(self) -> list[Result]:
        """The next results, one or many, as soon as there are some; for speed.

        An empty list says that there are no more.

        Raises:
            ItemError: the next item has no result. Those after it come next.
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
            self._rest = _without_first(run, first)
            return list(run.values[:first])
        self._rest = _without_first(run, 1) if len(run.values) > 1 else None
        raise item_error(run, 0)

    async def next_run(self) -> ResultRun:
        """The next results together with their items and failures, as the scheduler has them."""
        if self._rest is not None:
            run, self._rest = self._rest, None
            return run
        await trio.lowlevel.checkpoint_if_cancelled()
        is_read_here = self._is_read_here()
        self._own_reader_waits |= is_read_here
        try:
            while (ready := self._next_run_nowait(is_read_here)) is None:
                self._job.tell_when_dry = self._own_reader_waits or self._other_reader_waits
                await self._news.wait()
        except EndOfInput:
            self.close()
            raise
        finally:
            self._own_reader_waits &= not is_read_here
        return ready

    def _next_run_nowait(self, is_read_here: bool) -> ResultRun | None:
        if self._closed:
            raise RunClosedError("this stream is closed")
        if (failure := self._find_failure()) is not None:
            raise failure
        ready = self._node.next_results_nowait(self._job)
        if ready is None and self._nothing_can_come():
            if is_read_here:
                raise InputWaitsError
            if self._other_reader_waits:
                self._other_reader_waits = False
                raise ReaderStuckError
        return ready

    def reader_waits(self, waiting: bool) -> None:
        """Whether another thread, which reads the input, waits for a result of this stream."""
        self._other_reader_waits = waiting
        self._job.notify()

    def _is_read_here(self) -> bool:
        source = self._job.source
        return isinstance(source, BufferedSource) and source.current_reader() is not None

    def _nothing_can_come(self) -> bool:
        source = self._job.source
        gathered = isinstance(source, BufferedSource) and source.has_gathered
        return self._job.awaits_input and not gathered

    def wake(self) -> None:
        """Let whoever waits for results look again."""
        self._job.notify()

    def close(self) -> None:
        """Read, lend and hand out no more of this stream."""
        self._closed = True
        self._due, self._rest = iter(()), None
        _end(self._node, self._job, self._reading)

    async def aclose(self) -> None:
        """`close`, for `contextlib.aclosing`."""
        self.close()
        await trio.lowlevel.checkpoint()


class _News:
    """Wakes all who wait for results. A job knows it, but not the stream, which would live on."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def tell(self) -> None:
        self._event.set()
        self._event = trio.Event()

    async def wait(self) -> None:
        await self._event.wait()


def _end(node: Node, job: Job, reading: trio.CancelScope) -> None:
    reading.cancel()
    node.close_job(job)


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
    error = ItemError(item, index, failure.type, failure.reason, failure.traceback, failure.device)
    error.__cause__ = rebuild_exception(failure.type, failure.arguments)
    return error


def _without_first(run: ResultRun, count: int) -> ResultRun:
    failures = {place - count: why for place, why in run.failures.items() if place >= count}
    return ResultRun(run.start + count, run.items[count:], run.values[count:], failures)
