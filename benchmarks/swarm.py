"""Roots with many volunteers: probes that `volunteers.py` runs in processes of their own.

The process of a probe is the root of the run. Times are in seconds, memory in bytes.
"""

from __future__ import annotations

import functools
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import trio
from functions import square
from light import raise_file_limit
from probes import Figures, run_as_probe

import pando
from pando.running.serve_options import ServeOptions

Probe = Callable[..., Figures]

LIGHT = str(Path(__file__).resolve().parent / "light.py")
READY_SECONDS = 30.0
JOIN_SECONDS = 60.0
"""Whoever does not compute after so long is counted as missing."""
SETTLE_SECONDS = 3.0
"""Between the last one's first item and the steady state."""
END_SECONDS = 15.0
WARM_UP_SECONDS = 2.0
LOOK_SECONDS = 0.05


class ProbeFailedError(Exception):
    """What was to be measured did not come about."""


# ---- light volunteers ----


class _CrowdProcess:
    """A process of light volunteers, and what it has said last."""

    def __init__(self, process: trio.Process) -> None:
        self.report: dict[str, Any] = {"computing": 0, "last_begun": 0.0, "turned_away": 0}
        self.ready = trio.Event()
        self._process = process

    async def listen(self) -> None:
        """Take in what it says."""
        assert self._process.stdout is not None
        rest = b""
        async for data in self._process.stdout:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if line == b"ready":
                    self.ready.set()
                else:
                    self.report = json.loads(line)

    async def start_joining(self) -> None:
        """Give the word."""
        await self._say()

    async def leave(self) -> None:
        """Have all leave in order; only where they are watched."""
        await self._say()

    async def _say(self) -> None:
        assert self._process.stdin is not None
        await self._process.stdin.send_all(b"\n")

    def send_signal(self, number: int) -> None:
        """Send the process a signal."""
        self._process.send_signal(number)

    async def wait(self) -> None:
        """Until it has ended."""
        await self._process.wait()


def join_light(volunteers: str, processes: str, degree: str, seconds: str) -> Figures:
    """Light volunteers join all at once and compute items of one second each.

    Args:
        volunteers: how many in all.
        processes: among how many processes they are divided.
        degree: children that a node has before it delegates.
        seconds: how long the steady state is measured.
    """
    raise_file_limit()
    return trio.run(_join_light, int(volunteers), int(processes), int(degree), float(seconds))


async def _join_light(volunteers: int, processes: int, degree: int, seconds: float) -> Figures:
    options = ServeOptions(port=0, listen="127.0.0.1", open=True, degree=degree)
    async with trio.open_nursery() as nursery:
        async with pando.open_run(square, workers=0, serve=options) as run:
            link = run.links[0]
            sizes = [len(range(n, volunteers, processes)) for n in range(processes)]
            crowd = [await _start_crowd(nursery, link, size) for size in sizes]
            figures = await _measure_crowd(run, crowd, volunteers, seconds)
            left = time.monotonic()
        with trio.move_on_after(END_SECONDS):
            for process in crowd:
                await process.wait()
        figures["end"] = time.monotonic() - left
        nursery.cancel_scope.cancel()
    return figures


async def _start_crowd(
    nursery: trio.Nursery, link: str, size: int, *, watches: bool = False
) -> _CrowdProcess:
    start = functools.partial(
        trio.run_process, stdin=subprocess.PIPE, stdout=subprocess.PIPE, check=False
    )
    command = [sys.executable, LIGHT, link, str(size), *(["--watch"] if watches else [])]
    crowd = _CrowdProcess(await nursery.start(start, command))
    nursery.start_soon(crowd.listen)
    with trio.fail_after(READY_SECONDS):
        await crowd.ready.wait()
    return crowd


async def _measure_crowd(
    run: pando.Run[int, int], crowd: list[_CrowdProcess], volunteers: int, seconds: float
) -> Figures:
    """The figures from the word to join until the end of the steady state."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_drain, run.map(range(sys.maxsize)))
        await trio.sleep(LOOK_SECONDS)
        memory, cpu = _memory(), time.process_time()
        begun = time.monotonic()
        for process in crowd:
            await process.start_joining()
        computing = await _all_compute(crowd, volunteers)
        if not computing:
            raise ProbeFailedError(f"nobody computes after {JOIN_SECONDS:g} s")
        await trio.sleep(SETTLE_SECONDS)
        join_cpu = time.process_time() - cpu
        figures = await _measure_steady_state(run, crowd, seconds)
        figures["rate_share"] = figures["rate"] / volunteers
        figures["computing"] = computing
        figures["join_cpu"] = join_cpu / volunteers
        figures["memory"] = (_memory() - memory) / computing
        figures["children"] = run.statistics().volunteers
        figures["turned_away"] = sum(process.report["turned_away"] for process in crowd)
        figures["refused"] = run.statistics().counters.get("joins_over_limit", 0)
        if computing == volunteers:
            last = max(process.report["last_begun"] for process in crowd)
            figures["seconds"] = last - begun
        nursery.cancel_scope.cancel()
    return figures


async def _all_compute(crowd: list[_CrowdProcess], volunteers: int) -> int:
    """Wait until all compute, or for so long as they may take; how many do."""

    def count() -> int:
        return sum(process.report["computing"] for process in crowd)

    with trio.move_on_after(JOIN_SECONDS):
        await _wait_until(lambda: count() == volunteers)
    return count()


async def _wait_until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - nobody here could set an event
        await trio.sleep(LOOK_SECONDS)


async def _measure_steady_state(
    run: pando.Run[int, int], crowd: list[_CrowdProcess], seconds: float
) -> Figures:
    results, cpu, began = _count_results(run), time.process_time(), time.monotonic()
    light_cpu = sum(process.report["cpu"] for process in crowd)
    await trio.sleep(seconds)
    results = _count_results(run) - results
    cpu, lasted = time.process_time() - cpu, time.monotonic() - began
    light_cpu = sum(process.report["cpu"] for process in crowd) - light_cpu
    return {
        "rate": results / lasted,
        "cpu": cpu / lasted,
        "result_cpu": cpu / max(results, 1),
        "light_cpu": light_cpu / lasted,
    }


def _count_results(run: pando.Run[int, int]) -> int:
    """Results that have come, those whose turn has not come among them."""
    return sum(stream.finished + stream.delivered for stream in run.statistics().streams)


async def _drain(stream: pando.ResultStream[int]) -> None:
    while True:
        await stream.next_batch()


def _memory() -> int:
    gc.collect()
    rss: int = psutil.Process().memory_info().rss
    return rss


# ---- volunteers as they are ----


def square_with_native(volunteers: str, seconds: str) -> Figures:
    """No-op items with `pando-volunteer` processes of one worker each; the root has none.

    Args:
        volunteers: how many.
        seconds: how long it is measured.
    """
    return trio.run(_square_with_native, int(volunteers), float(seconds))


async def _square_with_native(volunteers: int, seconds: float) -> Figures:
    options = ServeOptions(port=0, listen="127.0.0.1", open=True)
    async with trio.open_nursery() as nursery:
        async with pando.open_run(square, workers=0, serve=options) as run:
            for _ in range(volunteers):
                nursery.start_soon(_run_native, run.links[0])
            with trio.fail_after(READY_SECONDS):
                await _wait_until(lambda: run.statistics().volunteers == volunteers)
            figures = await _measure_items(run, seconds)
        with trio.move_on_after(END_SECONDS) as waiting:
            await _wait_until(lambda: not nursery.child_tasks)
        if waiting.cancelled_caught:
            raise ProbeFailedError("volunteers do not end with the run")
    return figures


async def _run_native(link: str) -> None:
    arguments = [link, "--workers", "1", "--once", "--quiet"]
    command = [sys.executable, "-m", "pando.cli.volunteer", *arguments]
    await trio.run_process(command, stderr=subprocess.DEVNULL, check=False)


async def _measure_items(run: pando.Run[int, int], seconds: float) -> Figures:
    stream = run.map(range(sys.maxsize))
    taken = await _take_for(WARM_UP_SECONDS, stream)
    cpu, began = time.process_time(), time.perf_counter()
    count = await _take_for(seconds, stream)
    cpu, lasted = time.process_time() - cpu, time.perf_counter() - began
    if (await stream.next_batch())[0] != square(taken + count):
        raise ProbeFailedError("the results are wrong")
    return {"rate": count / lasted, "item_cpu": cpu / count}


async def _take_for(seconds: float, stream: pando.ResultStream[int]) -> int:
    """Take results for so long; how many they were."""
    count = 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        count += len(await stream.next_batch())
    return count


# ---- others ----


def square_with_dask(workers: str, count: str) -> Figures:
    """The same with `dask.distributed`, a task for each item, on a local cluster.

    Args:
        workers: processes of one thread each.
        count: how many items.
    """
    from distributed import Client, LocalCluster

    options: dict[str, Any] = {"n_workers": int(workers), "threads_per_worker": 1}
    with (
        LocalCluster(dashboard_address=None, **options) as cluster,
        Client(cluster) as client,
    ):
        _time_dask(client, 1000)
        return {"rate": int(count) / _time_dask(client, int(count))}


def _time_dask(client: Any, count: int) -> float:
    began = time.perf_counter()
    results = client.gather(client.map(square, range(count), pure=False))
    lasted = time.perf_counter() - began
    if results != [square(number) for number in range(count)]:
        raise ProbeFailedError("the results are wrong")
    return lasted


if __name__ == "__main__":
    run_as_probe(join_light, square_with_native, square_with_dask)
