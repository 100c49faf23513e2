"""The pool: as many workers as were asked for, each replaced when it dies."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from ..channel import MessageChannel
from ..errors import FunctionError, WorkerError
from ..functions.serialized import SerializedFunction
from ..notifier import Notifier, to_nobody
from .environment import Environment
from .launcher import Launcher, WorkerShortageError
from .process import WorkerProcess
from .processor_time import ProcessorTime
from .starting import run_worker

logger = logging.getLogger(__name__)

MAX_IDLE_DEATHS = 5
"""Workers that may die one after the other with no item running, before the pool gives up."""
SHORTAGE_SECONDS = 1.0
"""The pause before a worker is started again that the operating system could not start."""
PAUSE_SECONDS = 0.1
"""The pause after the first of such deaths; it doubles with each."""

SLOW_LOAD_SECONDS = 10.0
"""How long loading the function may take before a word is said of it."""

Serve = Callable[[MessageChannel, str], Awaitable[object]]


class Pool(Protocol):
    """What a volunteer computes with: `WorkerPool`, or a substitute."""

    async def run(self, failed: Callable[[Exception], None]) -> None:
        """Keep workers until cancelled; `failed` is told that they cannot work at all."""


MakePool = Callable[..., Pool]
"""Takes what `make_worker_pool` takes."""


class WorkerPool:
    """Keeps a number of workers alive.

    Args:
        launcher: starts them.
        serve: given each worker's channel and name for as long as it lives.
        timeout: seconds that an item may take.
        say: told, in a sentence, what the person who runs this should know.
    """

    def __init__(
        self,
        launcher: Launcher,
        serve: Serve,
        *,
        timeout: float | None = None,
        say: Notifier = to_nobody,
    ) -> None:
        self._launcher = launcher
        self._count = launcher.count
        self._serve = serve
        self._timeout = timeout
        self._say = say
        self._has_loaded = False
        self._idle_deaths = 0
        self._said: set[str] = set()
        self._closing = False
        self._loading: set[trio.CancelScope] = set()
        self._serving: set[trio.CancelScope] = set()
        self.deaths = 0
        self.pids: set[int] = set()
        self._processor_time = ProcessorTime()

    def processor_seconds(self) -> float:
        """Return the processor time that all workers so far have used, in seconds."""
        return self._processor_time.read(self.pids)

    async def run(self, failed: Callable[[Exception], None]) -> None:
        """Run until closed or cancelled; `failed` is told that workers cannot work at all."""
        try:
            async with trio.open_nursery() as watching:
                watching.start_soon(self._mention_slow_loading)
                async with trio.open_nursery() as nursery:
                    for number in range(1, self._count + 1):
                        nursery.start_soon(self._keep_alive, f"worker {number}", failed)
                watching.cancel_scope.cancel()
        finally:
            self._launcher.close()

    async def _mention_slow_loading(self) -> None:
        await trio.sleep(SLOW_LOAD_SECONDS)
        if self._count and not self._has_loaded:
            self._say(
                f"the function's module has been loading for {SLOW_LOAD_SECONDS:g} s; "
                "nothing is computed before it has"
            )

    def close(self) -> None:
        """Let the workers end in order, which takes a moment, and `run` return.

        Those that have not loaded the function yet are ended at once.
        """
        self._closing = True
        if self._processor_time.is_used:
            self.processor_seconds()
        for scope in self._serving | self._loading:
            scope.cancel()

    async def _keep_alive(self, name: str, failed: Callable[[Exception], None]) -> None:
        async def serve(worker: WorkerProcess) -> None:
            self._loading.discard(loading)
            self._has_loaded = True
            self.pids.add(worker.pid)
            logger.debug("%s is ready: %r", name, worker)
            with trio.CancelScope() as scope:
                self._serving.add(scope)
                if self._closing:
                    scope.cancel()
                try:
                    await self._serve(worker, name)
                finally:
                    self.pids.discard(worker.pid)
                    self._serving.discard(scope)

        launcher = self._launcher
        while not self._closing:
            uses_exact = launcher.uses_exact
            worker: WorkerProcess | None = None
            loading = trio.CancelScope()
            self._loading.add(loading)
            try:
                with loading:
                    worker = await run_worker(launcher, serve, timeout=self._timeout)
            except FunctionError as error:
                if uses_exact and launcher.give_up_exact(error):
                    continue
                failed(launcher.failure or error)
                return
            except WorkerShortageError as error:
                if not self._has_loaded:
                    failed(error)
                    return
                self._say_once(f"{error}; trying again")
                await trio.sleep(SHORTAGE_SECONDS)
                continue
            except WorkerError as error:
                failed(error)
                return
            finally:
                self._loading.discard(loading)
            if self._closing or worker is None:
                return
            self.deaths += 1
            logger.info("lost %s, which is replaced: %s", name, worker.describe_end())
            if worker.item_was_running:
                self._idle_deaths = 0
                continue
            self._idle_deaths += 1
            if self._idle_deaths >= MAX_IDLE_DEATHS:
                failed(WorkerError(f"workers keep ending: {worker.describe_end()}"))
                return
            await trio.sleep(PAUSE_SECONDS * 2 ** (self._idle_deaths - 1))

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)


def make_worker_pool(
    function: SerializedFunction,
    count: int,
    serve: Serve,
    *,
    timeout: float | None = None,
    environment: Environment | None = None,
    say: Notifier = to_nobody,
) -> WorkerPool:
    """Make the pool of a volunteer; see `Launcher` and `WorkerPool`."""
    return WorkerPool(Launcher(function, count, environment), serve, timeout=timeout, say=say)
