"""The time limit of items: what counts, on a clock of the test's own."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from pando.worker.process import MAX_POLL_SECONDS, WorkerProcess

TIMEOUT = 10.0


class Ended:
    """A process that is over, so that nothing is killed."""

    pid = 0
    returncode = 0


class Running:
    """What a worker says that it runs: an item's lease and number, or nothing."""

    def __init__(self, item: tuple[int, int] | None) -> None:
        self.item = item

    def running(self) -> tuple[int, int] | None:
        return self.item


def make_worker(progress: Running) -> WorkerProcess:
    parts: list[Any] = [Ended(), None, progress, None]
    return WorkerProcess(*parts)


async def test_an_item_that_takes_too_long(autojump_clock: trio.testing.MockClock) -> None:
    await make_worker(Running((1, 0))).watch_items(TIMEOUT)
    assert TIMEOUT <= trio.current_time() <= TIMEOUT + 2 * MAX_POLL_SECONDS


@pytest.mark.parametrize("away", [1.0, 9.0, 3600.0, 1e6])
@pytest.mark.parametrize("times", [1, 3])
async def test_time_in_which_the_watcher_did_not_run_does_not_count(
    away: float, times: int, autojump_clock: trio.testing.MockClock
) -> None:
    """As when the machine sleeps, or Ctrl-Z has stopped the process."""
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(make_worker(Running((1, 0))).watch_items, TIMEOUT)
        for _ in range(times):
            await trio.sleep(2.01)
            autojump_clock.jump(away)
    taken = trio.current_time() - start - away * times
    assert TIMEOUT - MAX_POLL_SECONDS * times <= taken <= TIMEOUT + MAX_POLL_SECONDS * (times + 2)


async def test_each_item_has_its_own_time(autojump_clock: trio.testing.MockClock) -> None:
    progress = Running((1, 0))
    with trio.move_on_after(20 * TIMEOUT) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(make_worker(progress).watch_items, TIMEOUT)
            for number in range(10):
                progress.item = (1, number)
                await trio.sleep(TIMEOUT * 0.9)
            progress.item = None
            await trio.sleep(TIMEOUT * 5)
            progress.item = (2, 0)
            begun = trio.current_time()
    assert not scope.cancelled_caught
    assert TIMEOUT <= trio.current_time() - begun <= TIMEOUT + 3 * MAX_POLL_SECONDS
