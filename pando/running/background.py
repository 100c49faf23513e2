"""A background thread with an event loop, shared by all runs of a process that does not use Trio.

The thread starts with the first run and ends with the last one.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from ..errors import RunClosedError
from ..worker.environment import refuse_gevent

if TYPE_CHECKING:
    from concurrent.futures import Future

JOIN_SECONDS = 5.0
"""Maximum seconds that closing waits for a run to end."""

Result = TypeVar("Result")
Main = Callable[[], Awaitable[None]]


class BackgroundTask:
    """A task in the background thread. Any thread may cancel it."""

    def __init__(self, main: Main) -> None:
        self._main = main
        self._scope = trio.CancelScope()
        self._ended = threading.Event()
        self._futures: set[Future[Any]] = set()
        self._loop = _Loop.current()
        self._loop.start(self._run)
        _open.add(self)

    async def _run(self) -> None:
        try:
            with self._scope:
                await self._main()
        finally:
            self._ended.set()
            for future in list(self._futures):
                future.cancel()

    @property
    def has_ended(self) -> bool:
        """Whether the task has ended."""
        return self._ended.is_set()

    def call(self, function: Callable[[], object]) -> None:
        """Call a function in the event loop soon, if it still runs. The function must not raise."""
        self._loop.call(function)

    def call_and_wait(self, function: Callable[[], Result]) -> Result:
        """Call a function in the event loop, and return or raise what it does.

        Raises:
            RunClosedError: the task has ended.
        """
        from concurrent.futures import CancelledError, Future  # not before a map needs it

        future: Future[Result] = Future()

        def call() -> None:
            if not future.set_running_or_notify_cancel():
                return  # the task has ended in the meantime
            try:
                future.set_result(function())
            except Exception as error:  # would end the event loop of all runs
                future.set_exception(error)

        self._futures.add(future)
        self.call(call)
        if self._ended.is_set():
            future.cancel()
        try:
            return future.result()
        except CancelledError:
            raise RunClosedError("this run is closed") from None
        finally:
            self._futures.discard(future)

    def cancel(self) -> None:
        """Request the end of the task."""
        self.call(self._scope.cancel)

    def close(self) -> None:
        """Cancel the task, and wait until it has ended."""
        self.cancel()
        _open.discard(self)
        if not self._loop.is_current_thread():
            self._ended.wait(JOIN_SECONDS)
            self._loop.join_if_idle()


class _Loop:
    """The event loop and its thread; both end with the last task."""

    _lock = threading.Lock()
    _current: _Loop | None = None

    def __init__(self) -> None:
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery
        self._started = threading.Event()
        self._tasks = 0
        self._thread = threading.Thread(target=self._main, name="pando", daemon=True)

    @classmethod
    def current(cls) -> _Loop:
        """Return the running loop, or start one; count one more task for it."""
        refuse_gevent()
        while True:
            with cls._lock:
                loop = cls._current
                if loop is None:
                    loop = cls._current = cls()
                    loop._tasks = 1
                    loop._thread.start()
                    break
                if loop._tasks:
                    loop._tasks += 1
                    break
            loop._thread.join(JOIN_SECONDS)  # it is ending; the next loop takes over its port
        loop._started.wait()
        return loop

    @classmethod
    def forget(cls) -> None:
        """Drop the loop in a forked process, which has none of its parent's threads."""
        cls._lock = threading.Lock()
        cls._current = None

    def start(self, main: Main) -> None:
        """Start a task."""
        self.call(lambda: self._nursery.start_soon(self._count_down, main))

    async def _count_down(self, main: Main) -> None:
        try:
            await main()
        finally:
            with self._lock:
                self._tasks -= 1
                if not self._tasks:
                    self._nursery.cancel_scope.cancel()

    def call(self, function: Callable[[], object]) -> None:
        """Call a function in the loop soon."""
        assert self._token is not None
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(function)

    def is_current_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def join_if_idle(self) -> None:
        """Wait for the end of the thread if no task is left."""
        with self._lock:
            ending = not self._tasks
        if ending:
            self._thread.join(JOIN_SECONDS)

    def _main(self) -> None:
        try:
            trio.run(self._serve)
        finally:
            with self._lock:
                if _Loop._current is self:
                    _Loop._current = None
            self._started.set()

    async def _serve(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as self._nursery:
            self._started.set()
            await trio.sleep_forever()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Loop.forget)

_open: weakref.WeakSet[BackgroundTask] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Close runs that the program has left open, so that no worker process outlives it."""
    for task in list(_open):
        task.close()
