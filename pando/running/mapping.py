"""`pando.map`: the synchronous cover over a run, which lives in a Trio thread of its own."""

from __future__ import annotations

import atexit
import itertools
import queue
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

import trio

from ..errors import ItemError
from ..functions.capture import function_name
from ..functions.serialized import SerializedFunction
from ..source import EndOfInput, Source
from .inputs import open_source
from .run import RunOptions, StreamOptions, as_serve_options, open_packed_run, pack
from .serve_options import ServeOptions

BATCHES_AHEAD = 2
"""Batches of results that may wait for the loop's body."""
JOIN_SECONDS = 5.0
"""How long closing waits for the thread, should something hold it up."""

Item = TypeVar("Item")


class Results(itertools.chain[Any]):
    """The iterator that `map` returns.

    Leaving a ``for`` loop early closes the run, unless a variable still holds the iterator: then
    `close` it, or use it in a ``with`` statement.
    """

    # Being a chain of batches, it costs next to nothing for each result.
    _thread: _RunThread

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the run and its workers now. May be called at any time, and more than once."""
        self._thread.close()


def map(  # noqa: A001 - used as pando.map
    function: Callable[[Item], Any],
    items: Iterable[Item],
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
    serve: bool | ServeOptions = True,
) -> Results:
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
        buffersize: how many items may be read beyond the oldest result not handed out; by
            default tens of thousands, or what fits into some megabytes.
        ordered: results in the order of the items; else as they come.
        return_exceptions: an item without result gives its `ItemError` in the result's place;
            else the error is raised there and ends the run.
        batch_limit: the most items that are sent to a worker at once.
        requires: what the function needs installed, in the words of PEP 508.
        initializer: called without arguments once in each worker, before its first item.
        random_seed: makes what the function draws from `random` and from NumPy's global
            generator repeatable, item by item. Generators that it refers to always are.
        serve: whether volunteers may join, and how; standard error shows the link.

    Raises:
        FunctionError: the function cannot be sent to workers, or not be loaded there.
        ItemError: raised at its place by the iterator: an item has no result.
        UsageError: an option is wrong.
        WorkerError: workers cannot be started.
    """
    thread = _RunThread(
        pack(function, requires, initializer=initializer, random_seed=random_seed),
        function_name(function),
        open_source(items),
        RunOptions(workers, timeout, batch_limit, tuple(requires), as_serve_options(serve)),
        StreamOptions(ordered, return_exceptions, buffersize),
    )
    results: Results = Results.from_iterable(thread.batches())  # type: ignore[assignment]
    results._thread = thread
    return results


class _RunThread:
    """A thread with a run in it, which hands batches of results to another thread."""

    def __init__(
        self,
        packed: SerializedFunction,
        name: str,
        source: Source,
        options: RunOptions,
        stream: StreamOptions,
    ) -> None:
        self._packed = packed
        self._name = name
        self._source = source
        self._options = options
        self._stream_options = stream
        self._handover: queue.SimpleQueue[list[Any] | BaseException] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()
        self._closed = False
        self._room = trio.Semaphore(BATCHES_AHEAD)
        self._thread: threading.Thread | None = None

    def batches(self) -> Iterator[list[Any]]:
        """Start the run, and give its results until they end or this generator is closed."""
        with self._lock:
            if self._closed:
                return
            self._thread = threading.Thread(target=self._main, name="pando run", daemon=True)
            self._thread.start()
        _open_threads.add(self)
        try:
            while not isinstance(batch := self._handover.get(), BaseException):
                self._in_trio(self._room.release)
                yield batch
                if self._closed:
                    return
            if not isinstance(batch, EndOfInput):
                raise batch
        finally:
            self.close()

    def close(self) -> None:
        """End the run, and wait until its workers have ended."""
        with self._lock:
            thread = self._thread
            self._closed = True
        self._in_trio(self._scope.cancel)
        if thread is not None and thread is not threading.current_thread():
            thread.join(JOIN_SECONDS)
        _open_threads.discard(self)

    def _in_trio(self, do: Callable[[], object]) -> None:
        if self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(do)

    def _main(self) -> None:
        try:
            trio.run(self._run)
        except ItemError as error:
            # Where this module was when it heard of it helps nobody.
            self._handover.put(error.with_traceback(None))
        except BaseException as error:
            self._handover.put(error)
        else:
            self._handover.put(EndOfInput())

    async def _run(self) -> None:
        with self._lock:
            self._token = trio.lowlevel.current_trio_token()
            if self._closed:
                return
        with self._scope:
            async with open_packed_run(self._packed, self._name, self._options, _say) as run:
                for link in run.links:
                    _say(f"volunteers join at {link}")
                stream = run.map_source(self._source, self._stream_options)
                while batch := await stream.next_batch():
                    await self._room.acquire()
                    self._handover.put(batch)


def _say(text: str) -> None:
    sys.stderr.write(f"pando: {text}\n")
    sys.stderr.flush()


_open_threads: weakref.WeakSet[_RunThread] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """A loop that was left with its iterator in a variable must not leave processes behind."""
    for thread in list(_open_threads):
        thread.close()
