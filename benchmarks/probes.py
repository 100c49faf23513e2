"""Measurements that need a process of their own: ``python probes.py NAME [ARGUMENT ...]``.

Each prints one JSON object of figures; times in seconds, memory in bytes.
"""

from __future__ import annotations

import inspect
import json
import multiprocessing
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from itertools import islice
from statistics import mean
from typing import Any

import psutil
from functions import square
from table import explain
from workloads import WORKERS, count_up

Figures = dict[str, float]

SETTLING_ITEMS = 100_000
"""Memory growth is counted from here on."""
STEP_ITEMS = 10_000
"""Between two looks at the root's memory; a slow consumer rests here."""
STEPS_PER_TOTAL = 10
"""Looks at the root's memory per look at that of all processes, which takes longer."""
REST_SECONDS = 0.01
FIRST_ITEMS = 1_000


# ---- time to the first result ----


def first_result_of_pando(state: str) -> Figures:
    """`pando.map` in a process that has used that name before, or not."""
    import pando

    if state == "imported":
        _ = pando.map
    started = time.perf_counter()
    with pando.map(square, range(FIRST_ITEMS), workers=WORKERS) as results:
        next(results)
        seconds = time.perf_counter() - started
    return {"seconds": seconds}


def first_result_of_pool(method: str) -> Figures:
    """`Pool.imap`, from making the pool on."""
    started = time.perf_counter()
    with multiprocessing.get_context(method).Pool(WORKERS) as pool:
        next(pool.imap(square, range(FIRST_ITEMS)))
        seconds = time.perf_counter() - started
    return {"seconds": seconds}


def first_result_of_executor() -> Figures:
    """`ProcessPoolExecutor.map`, from making the executor on."""
    started = time.perf_counter()
    with ProcessPoolExecutor(WORKERS) as executor:
        next(executor.map(square, range(FIRST_ITEMS)))
        seconds = time.perf_counter() - started
    return {"seconds": seconds}


# ---- one worker process ----


def worker_of_pando() -> Figures:
    """How long a worker needs until its function is loaded, and its memory after some work."""
    import trio

    import pando
    from pando.functions.serialized import serialize
    from pando.worker.launcher import Launcher
    from pando.worker.process import WorkerProcess
    from pando.worker.starting import run_worker

    async def measure_start() -> float:
        seconds = 0.0

        async def serve(worker: WorkerProcess) -> None:
            nonlocal seconds
            seconds = time.perf_counter() - started

        launcher = Launcher(serialize(square), 1)
        started = time.perf_counter()
        await run_worker(launcher, serve)
        return seconds

    async def measure_memory() -> Figures:
        async with pando.open_run(square, workers=WORKERS) as run:
            async for _ in run.map(range(SETTLING_ITEMS)):
                pass
            return _memory_of_children()

    return {"seconds": trio.run(measure_start), **trio.run(measure_memory)}


def worker_of_pool(method: str) -> Figures:
    """The same of a worker of `multiprocessing.Pool`."""
    started = time.perf_counter()
    context = multiprocessing.get_context(method)
    with context.Pool(1) as pool:
        pool.apply(square, (2,))
        seconds = time.perf_counter() - started
    with context.Pool(WORKERS) as pool:
        deque(pool.imap(square, range(SETTLING_ITEMS), chunksize=1024), maxlen=0)
        names = [process.pid for process in multiprocessing.active_children()]
        return {"seconds": seconds, **_memory([psutil.Process(pid) for pid in names])}


def worker_of_python() -> Figures:
    """A bare interpreter, the least that a process can be."""
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        seconds = time.perf_counter() - started
        memory = _memory([psutil.Process(process.pid)])
        process.kill()
    return {"seconds": seconds, **memory}


def _memory_of_children() -> Figures:
    return _memory(psutil.Process().children(recursive=True))


def _memory(processes: list[psutil.Process]) -> Figures:
    """The mean of resident memory, and of the proportional share where the system tells it."""
    figures = {"rss": mean(process.memory_info().rss for process in processes)}
    with suppress(AttributeError, psutil.Error, OSError):
        figures["pss"] = mean(process.memory_full_info().pss for process in processes)
    return figures


# ---- memory over a long run ----


def growth_of_pando(pace: str, count: str) -> Figures:
    """An infinite generator through `pando.map`."""
    import pando

    with pando.map(square, count_up(), workers=WORKERS) as results:
        return _measure_growth(results, pace, int(count))


def growth_of_pool(pace: str, count: str) -> Figures:
    """The same through `Pool.imap`, which reads without end, so its generator has to end."""
    with multiprocessing.Pool(WORKERS) as pool:
        results = pool.imap(square, islice(count_up(), int(count)), chunksize=4096)
        return _measure_growth(results, pace, int(count))


def _measure_growth(results: Iterable[Any], pace: str, count: int) -> Figures:
    """The most memory that was used at any look, less that after the first items."""
    iterator = iter(results)
    _take(iterator, SETTLING_ITEMS)
    root_before, total_before = _root_memory(), _total_memory()
    root, total = root_before, total_before
    taken = SETTLING_ITEMS
    step = 0
    while taken < count:
        if pace == "slow":
            time.sleep(REST_SECONDS)
        taken += _take(iterator, min(STEP_ITEMS, count - taken))
        root = max(root, _root_memory())
        step += 1
        if step % STEPS_PER_TOTAL == 0:
            total = max(total, _total_memory())
    return {"root": root - root_before, "total": total - total_before, "peak": total}


def _take(results: Iterator[Any], count: int) -> int:
    deque(islice(results, count), maxlen=0)
    return count


_THIS_PROCESS = psutil.Process()


def _root_memory() -> int:
    rss: int = _THIS_PROCESS.memory_info().rss
    return rss


def _total_memory() -> int:
    """Resident memory of this process and all below it; pages shared by several count often."""
    total = _root_memory()
    for child in _THIS_PROCESS.children(recursive=True):
        try:
            total += child.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


# ---- being called ----


class ProbeError(Exception):
    """A probe's process failed."""


def run_probe(probe: Callable[..., Figures], *arguments: str) -> Figures:
    """Run a probe in a process of its own and return its figures."""
    done = subprocess.run(
        [sys.executable, inspect.getfile(probe), probe.__name__, *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        raise ProbeError((done.stderr.strip().splitlines() or ["no word about why"])[-1])
    figures: Figures = json.loads(done.stdout)
    return figures


def run_as_probe(*probes: Callable[..., Figures]) -> None:
    """Run the one of these that the command line names, and print its figures."""
    known = {probe.__name__: probe for probe in probes}
    try:
        print(json.dumps(known[sys.argv[1]](*sys.argv[2:])))
    except Exception as error:
        sys.exit(explain(error))


if __name__ == "__main__":
    run_as_probe(
        first_result_of_pando,
        first_result_of_pool,
        first_result_of_executor,
        worker_of_pando,
        worker_of_pool,
        worker_of_python,
        growth_of_pando,
        growth_of_pool,
    )
