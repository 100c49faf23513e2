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
from .function_file import FunctionFile
from .process import WorkerProcess
from .processor_time import ProcessorTime
from .processors import count_cores
from .starting import WorkerShortageError, run_worker

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
"""Takes what `WorkerPool` takes."""


class WorkerPool:
    """Keeps a number of workers alive.

    Args:
        function: what they compute; in its exact form as long as that can be loaded.
        count: how many workers.
        serve: given each worker's channel and name for as long as it lives.
        timeout: seconds that an item may take.
        environment: the Python that workers run in; this process's own by default.
        say: told, in a sentence, what the person who runs this should know.
    """

    def __init__(
        self,
        function: SerializedFunction,
        count: int,
        serve: Serve,
        *,
        timeout: float | None = None,
        environment: Environment | None = None,
        say: Notifier = to_nobody,
    ) -> None:
        self._function = function
        self._file: FunctionFile | None = None
        self._exact_failed: FunctionError | None = None
        self._count = count
        self._serve = serve
        self._timeout = timeout
        self._environment = environment or Environment()
        self._say = say
        self._has_loaded = False
        self._idle_deaths = 0
        self._said: set[str] = set()
        self._closing = False
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
            if self._file is not None:
                self._file.close()

    async def _mention_slow_loading(self) -> None:
        await trio.sleep(SLOW_LOAD_SECONDS)
        if self._count and not self._has_loaded:
            self._say(
                f"the function's module has been loading for {SLOW_LOAD_SECONDS:g} s; "
                "nothing is computed before it has"
            )

    def close(self) -> None:
        """Let the workers end in order, which takes a moment, and `run` return."""
        self._closing = True
        if self._processor_time.is_used:
            self.processor_seconds()
        for scope in self._serving:
            scope.cancel()

    async def _keep_alive(self, name: str, failed: Callable[[Exception], None]) -> None:
        async def serve(worker: WorkerProcess) -> None:
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

        threads = max(1, count_cores() // self._count)
        while not self._closing:
            exact = self._function.exact() if self._exact_failed is None else None
            try:
                worker = await run_worker(
                    self._share(exact or self._function.portable()),
                    serve,
                    environment=self._environment,
                    timeout=self._timeout,
                    threads=threads,
                )
            except FunctionError as error:
                if exact is not None and self._can_do_without(error):
                    continue
                failed(self._exact_failed or error)
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
            if self._closing:
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

    def _share(self, packed: bytes) -> FunctionFile:
        """Put a form of the function where workers read it: the last one is still there."""
        if self._file is None or self._file.packed != packed:
            file = FunctionFile(packed)
            if self._file is not None:
                self._file.close()
            self._file = file
        return self._file

    def _can_do_without(self, error: FunctionError) -> bool:
        """Tell whether workers can have the other form, now that the exact one cannot be loaded."""
        if self._exact_failed is None:
            self._exact_failed = error
        try:
            self._function.portable()
        except FunctionError:
            return False
        return True
