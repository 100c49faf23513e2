"""Trees over WebRTC: probes that `webrtc.py` runs in processes of their own.

The process of a probe is the root of the run, which has no workers. Times are in seconds.
"""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from functions import square
from light import load_webrtc, raise_file_limit
from probes import Figures, run_as_probe
from swarm import (
    ProbeFailedError,
    _CrowdProcess,
    _drain,
    _start_crowd,
    _wait_until,
)

import pando
from pando.running.serve_options import ServeOptions

JOIN_SECONDS = 60.0
"""Whoever is not there after so long is counted as missing."""
REPORTING_SECONDS = 0.25
"""How soon the root hears what carries a volunteer's link."""
SETTLE_SECONDS = 2.0
"""From the last one's first item until parents end."""
ORPHANS_SECONDS = 60.0
END_SECONDS = 15.0
SILENCE_SECONDS = 10.0
ENDS = {"killed": signal.SIGKILL, "frozen": signal.SIGSTOP}


def serve(protocol: str, **options: Any) -> ServeOptions:
    """Those of a run with a link of its own, by which its root can prove itself."""
    return ServeOptions(port=0, listen="127.0.0.1", link_for="", protocol=protocol, **options)


@asynccontextmanager
async def opened(options: ServeOptions) -> AsyncIterator[tuple[pando.Run[int, int], trio.Nursery]]:
    """A run that has items without end, and a nursery for its volunteers' processes."""
    async with trio.open_nursery() as nursery:
        async with (
            pando.open_run(square, workers=0, serve=options) as run,
            trio.open_nursery() as draining,
        ):
            draining.start_soon(_drain, run.map(range(sys.maxsize)))
            yield run, nursery
            draining.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


# ---- light volunteers ----


def join(protocol: str, volunteers: str, processes: str, degree: str) -> Figures:
    """Light volunteers join all at once, each over a link of its own kind.

    Args:
        protocol: what carries the links.
        volunteers: how many in all.
        processes: among how many processes they are divided.
        degree: children that a node has before it delegates.
    """
    raise_file_limit()
    load_webrtc()
    return trio.run(_join, protocol, int(volunteers), int(processes), int(degree))


async def _join(protocol: str, volunteers: int, processes: int, degree: int) -> Figures:
    async with opened(serve(protocol, degree=degree)) as (run, nursery):
        crowd = [
            await _start_crowd(nursery, run.links[0], size, watches=True)
            for size in (len(range(n, volunteers, processes)) for n in range(processes))
        ]
        begun = time.monotonic()
        for process in crowd:
            await process.start_joining()
        counted, last = _counted(protocol)
        with trio.move_on_after(JOIN_SECONDS):
            await _wait_until(lambda: _sum(crowd, counted) == volunteers)
        _check(_sum(crowd, counted), volunteers)
        seconds = max(process.report[last] for process in crowd) - begun
        return {"seconds": seconds, "children": run.statistics().volunteers}


def _check(reached: int, volunteers: int) -> None:
    if reached < volunteers:
        raise ProbeFailedError(f"{reached} of {volunteers} after {JOIN_SECONDS:g} s")


def _counted(protocol: str) -> tuple[str, str]:
    """Which parts of a crowd's report say how many are there, and since when."""
    return ("direct", "last_direct") if protocol == "webrtc" else ("computing", "last_begun")


def _sum(crowd: list[_CrowdProcess], key: str) -> int:
    return sum(process.report.get(key, 0) for process in crowd)


# ---- volunteers as they are ----


def join_native(protocol: str, volunteers: str) -> Figures:
    """`pando-volunteer` processes of one worker each, from their start on."""
    return trio.run(_join_native, protocol, int(volunteers))


async def _join_native(protocol: str, volunteers: int) -> Figures:
    options = serve(protocol, reporting_interval=REPORTING_SECONDS)
    async with opened(options) as (run, nursery):
        begun = time.monotonic()
        for number in range(volunteers):
            nursery.start_soon(_run_native, run.links[0], f"native {number}")
        computing = Computing(run, protocol)
        with trio.move_on_after(JOIN_SECONDS):
            await _wait_until(lambda: computing.count() == volunteers)
        seconds = time.monotonic() - begun
        _check(computing.count(), volunteers)
        return {"seconds": seconds}


class Computing:
    """The volunteers that have computed over a link of some kind, as monitoring tells.

    It is to be looked at more often than a report comes, since that tells of its interval alone.

    Args:
        run: whose volunteers.
        kind: what carries their links.
    """

    def __init__(self, run: pando.Run[Any, Any], kind: str) -> None:
        self._run = run
        self._kind = kind
        self._seen: set[str] = set()

    def count(self) -> int:
        """How many it is by now."""
        for key, each in self._run.monitoring().get("volunteers", {}).items():
            if each["link"] == self._kind and each["nbItems"] > 0:
                self._seen.add(key)
        return len(self._seen)


async def _run_native(link: str, name: str) -> None:
    arguments = [link, "--workers", "1", "--once", "--quiet", "--name", name]
    command = [sys.executable, "-m", "pando.cli.volunteer", *arguments]
    await trio.run_process(command, stderr=subprocess.DEVNULL, check=False)


# ---- orphans ----


def orphan(how: str, parents: str, orphans: str, processes: str) -> Figures:
    """A process of light volunteers ends, whose children are light volunteers elsewhere.

    Args:
        how: ``closed`` in order, ``killed`` or ``frozen``.
        parents: how many volunteers are in it; as many children has the root.
        orphans: how many volunteers are below them.
        processes: among how many processes these are divided.
    """
    raise_file_limit()
    return trio.run(_orphan, how, int(parents), int(orphans), int(processes))


async def _orphan(how: str, parents: int, orphans: int, processes: int) -> Figures:
    options = serve("webrtc", degree=parents, heartbeat_timeout=SILENCE_SECONDS)
    async with opened(options) as (run, nursery):
        above = await _start_crowd(nursery, run.links[0], parents, watches=True)
        await _join_all([above], parents)
        sizes = [len(range(n, orphans, processes)) for n in range(processes)]
        below = [await _start_crowd(nursery, run.links[0], size, watches=True) for size in sizes]
        await _join_all(below, orphans)
        await trio.sleep(SETTLE_SECONDS)
        began = time.monotonic()
        if how in ENDS:
            above.send_signal(ENDS[how])
        else:
            await above.leave()
        again = await _wait_for_orphans(below, began, from_loss=how not in ENDS)
        above.send_signal(signal.SIGKILL)
    return {
        "seconds": again[math.ceil(0.99 * len(again)) - 1],
        "median": again[len(again) // 2],
        "orphans": len(again),
    }


async def _join_all(crowd: list[_CrowdProcess], volunteers: int) -> None:
    for process in crowd:
        await process.start_joining()
    with trio.move_on_after(JOIN_SECONDS):
        await _wait_until(lambda: _sum(crowd, "direct") == volunteers)
    _check(_sum(crowd, "direct"), volunteers)


async def _wait_for_orphans(
    crowd: list[_CrowdProcess], began: float, *, from_loss: bool
) -> list[float]:
    """Wait until nobody is without a parent; how long each was who had lost its own, sorted.

    That is from when its parent began to end, or from when it has seen that itself.
    """

    def all_again() -> list[float]:
        seconds = []
        for each in (each for process in crowd for each in process.report["again"]):
            later = [(lost, again) for lost, again in each if again > began]
            if later:  # the first time; after it some change over to another link
                lost, again = later[0]
                seconds.append(again - (lost if from_loss else began))
        return sorted(seconds)

    def is_over() -> bool:
        return bool(all_again()) and not _sum(crowd, "orphaned")

    with trio.move_on_after(ORPHANS_SECONDS):
        await _wait_until(is_over)
        await trio.sleep(SETTLE_SECONDS)  # some may notice late
        await _wait_until(is_over)
        return all_again()
    raise ProbeFailedError(f"{_sum(crowd, 'orphaned')} without a parent, {len(all_again())} with")


if __name__ == "__main__":
    run_as_probe(join, join_native, orphan)
