"""The results of one stream, for Trio programs, and the detection of inputs that wait for them.

An input may depend on results of its own map, for example to propose the next parameters from
the results so far. That works as long as something is being computed. If nothing is, the input
waits for a result that only another item can bring, and the program would hang. Every call that
waits for results therefore checks for this state. It is reached if the reader of the input waits
for a result while no item is in flight, none has been read ahead, and no result is ready. Cases:

- The reader of the input does not wait (the usual case): wait, since the input may take its time.
- The input is an asynchronous iterable, and the task that reads it waits here (`_is_read_here`):
  raise InputWaitsError in that task.
- The input is an iterator, and its thread waits in a `pando.running.feed.Feed`, which says so by
  `reader_waits`: raise ReaderStuckError in the task that collects results for the feed, which
  passes an InputWaitsError on to the thread and goes on.
- Items have been read ahead (`has_buffered`): wait, since they are about to be computed.
- The input has ended: the end is delivered, not an error.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import TypeVar

import trio

from .. import messages
from ..errors import ItemError, RunClosedError
from ..scheduler import AttemptsExhausted, ResultBatch
from ..source import EndOfInput
from ..tree.job import Job
from ..tree.node import Node
from .buffered_source import BufferedSource
from .causes import rebuild_exception
from .handover import InputWaitsError
from .options import StreamOptions

Result = TypeVar("Result")


class ReaderStuckError(Exception):
    """The input waits in the same way, but in another thread, which has to be notified."""


class ResultStream(AsyncIterator[Result]):
    """The asynchronous iterator that `Run.map` returns.

    Leaving an ``async for`` loop early closes the stream, unless a variable still refers to it:
    then `close` it, or use it with `contextlib.aclosing`.

    An item that failed raises its `ItemError` in its place, unless ``return_exceptions`` was
    chosen; iteration may continue after it. An exception of the input is raised unchanged, after
    the results of all items before it.
    """

    def __init__(
        self,
        node: Node,
        job: Job,
        options: StreamOptions,
        find_failure: Callable[[], Exception | None],
        on_failures: Callable[[ResultBatch], None],
    ) -> None:
        self._node = node
        self._job = job
        self._options = options
        self._find_failure = find_failure
        self._on_failures = on_failures
        self._token = trio.lowlevel.current_trio_token()
        self._reading = trio.CancelScope()
        self._due: Iterator[Result] = iter(())
        self._tail: ResultBatch | None = None
        self._closed = False
        self._own_reader_waits = self._other_reader_waits = False
        self._notification = _Notification()
        job.notify = self._notification.notify

    def __repr__(self) -> str:
        if self._closed:
            return "<ResultStream: closed>"
        status = self._job.lender.statistics()
        return f"<ResultStream: {status.read} items read, {status.delivered} results delivered>"

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
        """Wait for the input's items until it ends or the stream is closed."""
        node, job = self._node, self._job  # a task must not keep the stream alive
        with self._reading as scope:
            del self
            await job.source.run(lambda: node.input_ready(job))
        del scope

    async def next_batch(self) -> list[Result]:
        """Wait for the next results, and return all that are ready; faster than one by one.

        Returns:
            One or more results; an empty list at the end.

        Raises:
            ItemError: the next item failed. The following results come with the next call.
        """
        try:
            batch = await self.next_result_batch()
        except EndOfInput:
            return []
        if not batch.failures:
            return list(batch.values)
        if self._options.return_exceptions:
            results = list(batch.values)
            for place in batch.failures:
                results[place] = item_error(batch, place)
            return results
        first = min(batch.failures)
        if first > 0:
            self._tail = _without_first(batch, first)
            return list(batch.values[:first])
        self._tail = _without_first(batch, 1) if len(batch.values) > 1 else None
        raise item_error(batch, 0)

    async def next_result_batch(self) -> ResultBatch:
        """Wait for the next results, and return them with their items and failures.

        Raises:
            EndOfInput: there are no more.
            RunClosedError: the stream is closed.
            Exception: raised by the input, or the reason that the run failed.
        """
        if self._tail is not None:
            batch, self._tail = self._tail, None
            return batch
        await trio.lowlevel.checkpoint_if_cancelled()
        is_read_here = self._is_read_here()
        self._own_reader_waits |= is_read_here
        try:
            while (ready := self._next_result_batch_nowait(is_read_here)) is None:
                self._job.tell_when_dry = self._own_reader_waits or self._other_reader_waits
                await self._notification.wait()
        except EndOfInput:
            self.close()
            raise
        finally:
            self._own_reader_waits &= not is_read_here
        if ready.failures:
            self._on_failures(ready)
        return ready

    def _next_result_batch_nowait(self, is_read_here: bool) -> ResultBatch | None:
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
        """Note whether the thread that reads the input waits for a result of this stream."""
        self._other_reader_waits = waiting
        self._job.notify()

    def _is_read_here(self) -> bool:
        source = self._job.source
        return isinstance(source, BufferedSource) and source.current_reader() is not None

    def _nothing_can_come(self) -> bool:
        source = self._job.source
        has_items = isinstance(source, BufferedSource) and source.has_buffered
        return self._job.awaits_input and not has_items

    def wake(self) -> None:
        """Let all that wait for results check again."""
        self._job.notify()

    def close(self) -> None:
        """Stop reading, computing and delivering. May be called more than once."""
        self._closed = True
        self._due, self._tail = iter(()), None
        _end(self._node, self._job, self._reading)

    async def aclose(self) -> None:
        """Do the same as `close`, for `contextlib.aclosing`."""
        self.close()
        await trio.lowlevel.checkpoint()


class _Notification:
    """Wakes all tasks that wait. The job refers to it, and so does not keep the stream alive."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def notify(self) -> None:
        self._event.set()
        self._event = trio.Event()

    async def wait(self) -> None:
        await self._event.wait()


def _end(node: Node, job: Job, reading: trio.CancelScope) -> None:
    reading.cancel()
    node.close_job(job)


def item_error(batch: ResultBatch, place: int) -> ItemError:
    """Return the error of an item that failed, by its position in a batch."""
    failure = batch.failures[place]
    item, index = batch.items[place], batch.start + place
    if isinstance(failure, ItemError):
        return failure
    if isinstance(failure, AttemptsExhausted):
        reason = (
            f"gave up after {failure.losses} workers crashed on this item (last: {failure.reason})"
        )
        return ItemError(item, index, "WorkerLost", reason)
    assert isinstance(failure, messages.Failure)
    error = ItemError(item, index, failure.type, failure.reason, failure.traceback, failure.device)
    error.__cause__ = rebuild_exception(failure.type, failure.arguments)
    return error


def _without_first(batch: ResultBatch, count: int) -> ResultBatch:
    failures = {place - count: why for place, why in batch.failures.items() if place >= count}
    return ResultBatch(batch.start + count, batch.items[count:], batch.values[count:], failures)
