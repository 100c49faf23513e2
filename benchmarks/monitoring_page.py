"""What the monitoring page costs the browser: ``python monitoring_page.py``.

The reports of many devices are replayed each interval to one page in Chromium, with nothing
attached to it. What counts is the processor time of the page's process, as a share of one core; the
page of a run without devices is measured as well.
"""

from __future__ import annotations

import argparse
import threading
from queue import Queue

import psutil
import trio
from chromium import Chromium, describe_version, open_chromium
from replayed_run import ReplayedRun, replaying

HISTORY = 60
"""Intervals that have passed when the page is opened."""
LOADING_SECONDS = 5.0


class Replay:
    """A replayed run, served in a thread of its own, until the block ends."""

    def __init__(self, devices: int, interval: float) -> None:
        self._run = ReplayedRun(devices, interval)
        self._interval = interval
        self._addresses: Queue[str] = Queue()
        self._scope = trio.CancelScope()
        self._token: trio.lowlevel.TrioToken | None = None
        self._thread = threading.Thread(target=trio.run, args=[self._serve])

    async def _serve(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        for _ in range(HISTORY):
            self._run.step()
        async with replaying(self._run) as address:
            self._addresses.put(address)
            with self._scope:
                await self._run.run()

    def __enter__(self) -> str:
        self._thread.start()
        return self._addresses.get()

    def __exit__(self, *error: object) -> None:
        assert self._token is not None
        self._token.run_sync_soon(self._scope.cancel)
        self._thread.join()


def measure(chromium: Chromium, devices: int, interval: float, intervals: int) -> dict[str, float]:
    """Return the shares of a core: of the page's process, and of all of the browser's."""
    with Replay(devices, interval) as address:
        chromium.open_tab(address)
        trio.run(trio.sleep, LOADING_SECONDS + interval)
        before = chromium.processor_seconds()
        trio.run(trio.sleep, interval * intervals)
        after = chromium.processor_seconds()
        chromium.close_tabs()
    passed = interval * intervals
    return {kind: (after[kind] - before[kind]) / passed for kind in after}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, nargs="*", default=[0, 100, 1000])
    parser.add_argument("--interval", type=float, default=3.0)
    parser.add_argument("--intervals", type=int, default=20)
    arguments = parser.parse_args()
    print(f"{describe_version()}, {psutil.cpu_count()} cores, load {psutil.getloadavg()[0]:.1f}")
    with open_chromium() as chromium:
        for devices in arguments.devices:
            shares = measure(chromium, devices, arguments.interval, arguments.intervals)
            print(
                f"{devices:,} devices each {arguments.interval:g} s: "
                f"page {100 * shares['page']:.1f} % of a core, "
                f"whole browser {100 * shares['browser']:.1f} %",
                flush=True,
            )


if __name__ == "__main__":
    main()
