"""A run: a function, its workers, and the streams that are mapped through it."""

from __future__ import annotations

import logging
import weakref
from collections.abc import AsyncIterable, Iterable
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

import msgspec
import trio

from .. import messages
from ..errors import ItemError, RunClosedError, one_line
from ..functions.generators import keys_for
from ..functions.serialized import SerializedFunction
from ..scheduler import LenderStatistics, Window
from ..source import Source
from ..tree.job import Job
from ..tree.node import Node
from ..worker.pool import WorkerPool
from .inputs import open_source
from .monitoring import RunMonitoring, Sink
from .options import StreamOptions
from .streams import ResultStream

if TYPE_CHECKING:
    from .served_run import ServedRun

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


class RunStatistics(msgspec.Struct, frozen=True):
    """The metrics of a run.

    Attributes:
        workers: workers that compute now, here and on volunteers.
        worker_deaths: workers of this machine that have crashed and were replaced.
        volunteers: nodes connected to this one.
        streams: the metrics of each open stream, oldest first.
        counters: network events by name, such as ``joined`` or ``malformed_messages``.
        reported: the sum of the function's calls of `pando.report` on this machine's workers.
    """

    workers: int
    worker_deaths: int
    volunteers: int
    streams: list[LenderStatistics]
    counters: dict[str, int]
    reported: messages.FunctionReport | None


class Run(Generic[Item, Result]):
    """A function and its workers, ready to map streams. Created by `open_run`."""

    def __init__(
        self,
        node: Node,
        pool: WorkerPool,
        nursery: trio.Nursery,
        monitoring: RunMonitoring,
        function: SerializedFunction,
    ) -> None:
        self.function_name: str = monitoring.function
        self._monitoring = monitoring
        self._function = function
        self._served: ServedRun | None = None
        self._node = node
        self._pool = pool
        self._nursery = nursery
        self._streams: weakref.WeakSet[ResultStream[Any]] = weakref.WeakSet()
        self._failure: Exception | None = None
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self._node.workers} workers"
        return f"<Run of {self.function_name}: {state}, {len(self._streams)} streams>"

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
        """Apply the function to each item; iterate over the results with ``async for``.

        Several streams may be open at once: those with items share the workers' time equally.

        Args:
            items: any iterable or asynchronous iterable, also an infinite one; consumed lazily.
            ordered: whether to yield results in the order of the items; otherwise in completion
                order.
            return_exceptions: whether to yield the `ItemError` of an item that failed instead of
                raising it.
            buffersize: maximum read-ahead, in items beyond the oldest result not delivered
                (default: adaptive, bounded in items and bytes).

        Raises:
            UsageError: an option is wrong.
            RunClosedError: the run is closed.
        """
        return self.map_source(
            open_source(items), StreamOptions(ordered, return_exceptions, buffersize)
        )

    def map_source(self, source: Source, options: StreamOptions) -> ResultStream[Any]:
        """Map any `pando.source.Source`; see `map`."""
        if self._closed:
            raise RunClosedError("this run is closed")
        lender = self._node.lending.new_lender(ordered=options.ordered)
        job = Job(source, lender, Window(options.buffersize))
        job.add_keys = keys_for(self._function.draw_key())
        stream: ResultStream[Any] = ResultStream(
            self._node, job, options, lambda: self._failure, self._monitoring.note_failures
        )
        self._monitoring.watch(job)
        self._streams.add(stream)
        self._node.open_job(job)
        self._nursery.start_soon(stream.read_input)
        return stream

    def statistics(self) -> RunStatistics:
        """Return a snapshot of the metrics."""
        served = self._served
        return RunStatistics(
            self._node.workers,
            self._pool.deaths,
            len(served.membership.children) if served else 0,
            self._node.statistics(),
            dict(served.all_counters()) if served else {},
            self._node.lending.figures_reported(),
        )

    def monitoring(self) -> dict[str, Any]:
        """Return what monitoring shows of the run, as made once a reporting interval.

        See docs/monitoring.md for its keys.
        """
        return self._monitoring.read().to_builtins()

    def add_sink(self, sink: Sink) -> None:
        """Have a function called with what monitoring shows, once a reporting interval."""
        self._monitoring.sinks.append(sink)

    def add_display(self, display: Sink) -> None:
        """Have a function called with the run's newest figures, more often than that."""
        self._monitoring.add_display(display)

    @property
    def links(self) -> list[str]:
        """The links by which volunteers join, one for each of this machine's addresses.

        Empty if the run does not serve, or has not opened its port yet.
        """
        return self._served.links if self._served else []

    @property
    def link_outlook(self) -> str:
        """How long the links are good, in words to append to one; empty if for this run only."""
        return self._served.server.outlook if self._served else ""

    @property
    def management_link(self) -> str:
        """The monitoring link for those who may send devices away as well; empty if none."""
        return self._served.server.management_link if self._served else ""

    @property
    def monitoring_link(self) -> str:
        """The link by which the run can be watched; empty if the run does not serve."""
        return self._served.server.monitoring_link if self._served else ""

    def attach_server(self, served: ServedRun) -> None:
        """Note that volunteers can join."""
        self._served = served

    def fail(self, error: Exception) -> None:
        """End all streams with this error, since nothing can be computed any more."""
        logger.info("%r failed: %s", self, one_line(str(error)))
        self._failure = self._failure or error
        for stream in list(self._streams):
            stream.wake()

    def close(self) -> None:
        """Close all open streams, and refuse new ones."""
        self._closed = True
        for stream in list(self._streams):
            stream.close()
