"""The background: an event loop in a thread of its own, shared by the runs of a process.

Programs that are not Trio's have their runs here. The thread is there as long as a run is, so
that nothing of Pando is left when no run is.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, TypeVar

import trio

from ..errors import RunClosedError
from ..worker.environment import refuse_gevent

JOIN_SECONDS = 5.0
"""How long closing waits for a run to end, should something hold it up."""

Answer = TypeVar("Answer")
Main = Callable[[], Awaitable[None]]


class BackgroundTask:
    """A task in the background. It is cancelled by `close`, from any thread."""

    def __init__(self, main: Main) -> None:
        self._main = main
        self._scope = trio.CancelScope()
        self._ended = threading.Event()
        self._answers: set[Future[Any]] = set()
        self._loop = _Loop.current()
        self._loop.start(self._run)
        _open.add(self)

    async def _run(self) -> None:
        try:
            with self._scope:
                await self._main()
        finally:
            self._ended.set()
            for answer in list(self._answers):
                answer.cancel()

    @property
    def has_ended(self) -> bool:
        """Whether it is over."""
        return self._ended.is_set()

    def call(self, do: Callable[[], object]) -> None:
        """Have something done in the loop, soon; nothing where it has ended. It must not raise."""
        self._loop.call(do)

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """What a function returns in the loop, or raises there.

        Raises:
            RunClosedError: the task has ended.
        """
        answer: Future[Answer] = Future()

        def reply() -> None:
            if not answer.set_running_or_notify_cancel():
                return  # the task has ended meanwhile
            try:
                answer.set_result(question())
            except Exception as error:  # what escaped here would end the loop, for all its runs
                answer.set_exception(error)

        self._answers.add(answer)
        self.call(reply)
        if self._ended.is_set():
            answer.cancel()
        try:
            return answer.result()
        except CancelledError:
            raise RunClosedError("this run is closed") from None
        finally:
            self._answers.discard(answer)

    def cancel(self) -> None:
        """Let it end soon."""
        self.call(self._scope.cancel)

    def close(self) -> None:
        """Cancel it, and wait until it has ended."""
        self.cancel()
        _open.discard(self)
        if not self._loop.is_current_thread():
            self._ended.wait(JOIN_SECONDS)
            self._loop.join_if_idle()


class _Loop:
    """The event loop and its thread, while there are tasks."""

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
        """The loop that is there; a task has been counted for it."""
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
            loop._thread.join(JOIN_SECONDS)  # it is about to end; the next one takes its port
        loop._started.wait()
        return loop

    @classmethod
    def forget(cls) -> None:
        """A forked process has none of its parent's threads."""
        cls._lock = threading.Lock()
        cls._current = None

    def start(self, main: Main) -> None:
        """Run a task."""
        self.call(lambda: self._nursery.start_soon(self._count_down, main))

    async def _count_down(self, main: Main) -> None:
        try:
            await main()
        finally:
            with self._lock:
                self._tasks -= 1
                if not self._tasks:
                    self._nursery.cancel_scope.cancel()

    def call(self, do: Callable[[], object]) -> None:
        """Have something done in the loop, soon."""
        assert self._token is not None
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(do)

    def is_current_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def join_if_idle(self) -> None:
        """Wait for the thread's end, where it has no more tasks."""
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
    """A loop that was left with its iterator in a variable must not leave processes behind."""
    for task in list(_open):
        task.close()
