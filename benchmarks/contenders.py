"""Who competes: each contender maps a workload, with workers that are warm or yet to be started."""

from __future__ import annotations

import gc
import importlib.util
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import trio
from workloads import WORKERS, Function, Workload

import pando

WARM_UP_SHARE = 5
"""Warm workers have computed one in so many of the items before."""
LEAST_WARM_UP = 2 * WORKERS

Apply = Callable[[Sequence[Any]], Iterable[Any]]
Open = Callable[[Function], AbstractContextManager[Apply]]


class WrongResultError(Exception):
    """A contender returned something else than the function does."""


class Contender(Protocol):
    """Somebody who can map.

    Attributes:
        name: what it is called in the table.
        noop_limit: the most no-op items it is given, because it is slow with these; else None.
        chunksize: how many items it hands out at once, where the caller chooses that.
    """

    @property
    def name(self) -> str: ...
    @property
    def noop_limit(self) -> int | None: ...
    @property
    def chunksize(self) -> int | None: ...

    def time_warm(self, work: Workload) -> float:
        """Seconds from the first item to the last result, by workers that have worked before."""

    def time_cold(self, work: Workload) -> float:
        """Seconds with starting the workers before and ending them after."""


def _warm_up(work: Workload) -> Workload:
    return work.first(max(LEAST_WARM_UP, len(work.items) // WARM_UP_SHARE))


def _check(work: Workload, results: Sequence[Any]) -> None:
    if list(results) != [work.expect(item) for item in work.items]:
        raise WrongResultError("the results are wrong")


def _check_last(work: Workload, last: Any) -> None:
    if last != work.expect(work.items[-1]):
        raise WrongResultError("the last result is wrong")


def _consume(results: Iterable[Any]) -> Any:
    """What a user's loop costs at least. Returns the last result."""
    result = None
    for result in results:  # noqa: B007
        pass
    return result


@dataclass(frozen=True)
class Peer:
    """A contender with a synchronous interface."""

    name: str
    open: Open
    noop_limit: int | None = None
    chunksize: int | None = None

    def time_warm(self, work: Workload) -> float:
        warm_up = _warm_up(work)
        gc.collect()
        with self.open(work.function) as apply:
            _check(warm_up, list(apply(warm_up.items)))
            started = time.perf_counter()
            last = _consume(apply(work.items))
            seconds = time.perf_counter() - started
        _check_last(work, last)
        return seconds

    def time_cold(self, work: Workload) -> float:
        gc.collect()
        started = time.perf_counter()
        with self.open(work.function) as apply:
            last = _consume(apply(work.items))
        seconds = time.perf_counter() - started
        _check_last(work, last)
        return seconds


# ---- pando ----


async def _drain_batches(stream: pando.ResultStream[Any]) -> Any:
    last = None
    while batch := await stream.next_batch():
        last = _consume(batch)
    return last


async def _drain_items(stream: pando.ResultStream[Any]) -> Any:
    last = None
    async for last in stream:  # noqa: B007
        pass
    return last


@dataclass(frozen=True)
class PandoRun:
    """`pando.open_run`, whose results are taken in batches or one by one."""

    name: str
    batches: bool
    noop_limit: int | None = None
    chunksize: int | None = None

    def time_warm(self, work: Workload) -> float:
        return trio.run(self._time, work, True)

    def time_cold(self, work: Workload) -> float:
        return trio.run(self._time, work, False)

    async def _time(self, work: Workload, warm: bool) -> float:
        gc.collect()
        drain = _drain_batches if self.batches else _drain_items
        started = time.perf_counter()
        async with pando.open_run(work.function, workers=WORKERS, serve=False) as run:
            if warm:
                warm_up = _warm_up(work)
                _check(warm_up, [result async for result in run.map(warm_up.items)])
                started = time.perf_counter()
            last = await drain(run.map(work.items))
            seconds = time.perf_counter() - started
        if not warm:
            seconds = time.perf_counter() - started
        _check_last(work, last)
        return seconds


@contextmanager
def _open_pando_map(function: Function) -> Iterator[Apply]:
    yield lambda items: pando.map(function, items, workers=WORKERS, serve=False)


@contextmanager
def _open_pando_map_of_generator(function: Function) -> Iterator[Apply]:
    yield lambda items: pando.map(function, (item for item in items), workers=WORKERS, serve=False)


PANDO_BATCHES = PandoRun("pando.open_run, next_batch()", batches=True)
PANDO_ITEMS = PandoRun("pando.open_run, async for", batches=False)
PANDO_MAP = Peer("pando.map", _open_pando_map)
PANDO_MAP_OF_GENERATOR = Peer("pando.map of a generator", _open_pando_map_of_generator)


# ---- the others ----


@contextmanager
def _open_sequential(function: Function) -> Iterator[Apply]:
    yield lambda items: map(function, items)


def _pool_opener(chunksize: int, method: str | None = None) -> Open:
    @contextmanager
    def open_pool(function: Function) -> Iterator[Apply]:
        with multiprocessing.get_context(method).Pool(WORKERS) as pool:
            yield lambda items: pool.imap(function, items, chunksize=chunksize)

    return open_pool


def _executor_opener(chunksize: int) -> Open:
    @contextmanager
    def open_executor(function: Function) -> Iterator[Apply]:
        with ProcessPoolExecutor(WORKERS) as executor:
            yield lambda items: executor.map(function, items, chunksize=chunksize)

    return open_executor


@contextmanager
def _open_joblib(function: Function) -> Iterator[Apply]:
    import joblib

    with joblib.Parallel(n_jobs=WORKERS) as parallel:
        yield lambda items: parallel(joblib.delayed(function)(item) for item in items)
    # Its workers outlive the block, and would make the next start-up look free.
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)


@contextmanager
def _open_mpire(function: Function) -> Iterator[Apply]:
    from mpire.pool import WorkerPool

    with WorkerPool(n_jobs=WORKERS, keep_alive=True) as pool:
        yield lambda items: pool.imap(function, items)


SEQUENTIAL = Peer("sequential", _open_sequential)
POOLS = (
    Peer("Pool.imap, chunksize 1", _pool_opener(1), noop_limit=5_000, chunksize=1),
    Peer("Pool.imap, chunksize 64", _pool_opener(64), chunksize=64),
    Peer("Pool.imap, chunksize 4096", _pool_opener(4096), chunksize=4096),
)
SPAWNING_POOL = Peer(
    "Pool.imap, chunksize 4096, spawn", _pool_opener(4096, "spawn"), chunksize=4096
)
EXECUTORS = (
    Peer("ProcessPoolExecutor.map, chunksize 1", _executor_opener(1), 5_000, 1),
    Peer("ProcessPoolExecutor.map, chunksize 64", _executor_opener(64), 100_000, 64),
    Peer("ProcessPoolExecutor.map, chunksize 4096", _executor_opener(4096), None, 4096),
)
_OPTIONAL = (
    Peer("joblib", _open_joblib, noop_limit=50_000),
    Peer("mpire", _open_mpire, noop_limit=50_000),
)
OTHERS = tuple(peer for peer in _OPTIONAL if importlib.util.find_spec(peer.name))
MISSING = tuple(peer.name for peer in _OPTIONAL if peer not in OTHERS)


# ---- the yardstick for items that take time ----


def time_independent(work: Workload) -> float:
    """Seconds that processes need that share nothing and talk to nobody, each with its part.

    From when all are ready until all are done: no start-up.
    """
    context = multiprocessing.get_context()
    together = context.Barrier(WORKERS + 1)
    gc.collect()
    processes = [
        context.Process(
            target=_compute_part, args=(work.function, work.items[part::WORKERS], together)
        )
        for part in range(WORKERS)
    ]
    for process in processes:
        process.start()
    together.wait()
    started = time.perf_counter()
    together.wait()
    seconds = time.perf_counter() - started
    for process in processes:
        process.join()
    return seconds


def _compute_part(function: Function, items: Sequence[Any], together: Any) -> None:
    together.wait()
    _consume(map(function, items))
    together.wait()
