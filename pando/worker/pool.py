"""The pool: as many workers as were asked for, each replaced when it dies."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from ..channel import Channel
from ..errors import FunctionError, WorkerError
from ..functions.serialized import SerializedFunction
from .environment import Environment
from .process import WorkerProcess, run_worker

MAX_IDLE_DEATHS = 5
"""Workers that may die one after the other with no item running, before the pool gives up."""
PAUSE_SECONDS = 0.1
"""The pause after the first of such deaths; it doubles with each."""

SLOW_LOAD_SECONDS = 10.0
"""How long loading the function may take before a word is said of it."""

Serve = Callable[[Channel, str], Awaitable[object]]


def count_cores() -> int:
    """How many processes can compute at once here."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Pool(Protocol):
    """What a volunteer computes with: `WorkerPool`, or what stands in for it."""

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
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._function = function
        self._exact_failed: FunctionError | None = None
        self._count = count
        self._serve = serve
        self._timeout = timeout
        self._environment = environment or Environment()
        self._say = say
        self._has_loaded = False
        self._idle_deaths = 0
        self._closing = False
        self._serving: set[trio.CancelScope] = set()
        self.deaths = 0
        self.pids: set[int] = set()

    async def run(self, failed: Callable[[Exception], None]) -> None:
        """Run until closed or cancelled; `failed` is told that workers cannot work at all."""
        async with trio.open_nursery() as watching:
            watching.start_soon(self._mention_slow_loading)
            async with trio.open_nursery() as nursery:
                for number in range(1, self._count + 1):
                    nursery.start_soon(self._keep_alive, f"worker {number}", failed)
            watching.cancel_scope.cancel()

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
        for scope in self._serving:
            scope.cancel()

    async def _keep_alive(self, name: str, failed: Callable[[Exception], None]) -> None:
        async def serve(worker: WorkerProcess) -> None:
            self._has_loaded = True
            self.pids.add(worker.pid)
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
                    exact or self._function.portable(),
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
            except WorkerError as error:
                failed(error)
                return
            if self._closing:
                return
            self.deaths += 1
            if worker.item_was_running:
                self._idle_deaths = 0
                continue
            self._idle_deaths += 1
            if self._idle_deaths >= MAX_IDLE_DEATHS:
                failed(WorkerError(f"workers keep ending: {worker.describe_end()}"))
                return
            await trio.sleep(PAUSE_SECONDS * 2 ** (self._idle_deaths - 1))

    def _can_do_without(self, error: FunctionError) -> bool:
        """Whether workers can have the other form, now that the exact one cannot be loaded."""
        if self._exact_failed is None:
            self._exact_failed = error
        try:
            self._function.portable()
        except FunctionError:
            return False
        return True
