"""Starting workers: the first one ahead of its pool, and the end of each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from pando.errors import WorkerError
from pando.functions.serialized import serialize
from pando.worker.environment import Environment
from pando.worker.launcher import LaunchedWorker, Launcher
from pando.worker.process_exit import ProcessExit

from ..processes import GENEROUS_SECONDS, all_gone

pytestmark = pytest.mark.process


def count_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def make_launcher(count: int = 1) -> Launcher:
    return Launcher(serialize(abs), count)


def test_the_worker_that_was_started_ahead_is_the_first() -> None:
    launcher = make_launcher()
    launcher.launch_ahead()
    launcher.launch_ahead()
    ahead = launcher._ahead
    first, second = launcher.launch(), launcher.launch()
    assert first is ahead
    assert second.process.pid != first.process.pid
    for worker in (first, second):
        worker.discard()
    launcher.close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc")
def test_a_worker_that_nobody_has_used_is_ended_with_its_files() -> None:
    make_launcher().close()  # whatever is opened once and for all
    before = count_files()
    launcher = make_launcher()
    launcher.launch_ahead()
    assert launcher._ahead is not None
    pid = launcher._ahead.process.pid
    launcher.close()
    launcher.close()
    assert all_gone([pid])
    assert count_files() == before


def test_none_is_started_ahead_where_there_are_to_be_none() -> None:
    launcher = make_launcher(0)
    launcher.launch_ahead()
    assert launcher._ahead is None
    launcher.close()


def test_what_prevents_a_start_is_said_when_a_worker_is_wanted() -> None:
    launcher = Launcher(serialize(abs), 1, Environment(python="/nowhere/python"))
    launcher.launch_ahead()
    with pytest.raises(WorkerError, match="No such file"):
        launcher.launch()
    launcher.close()


async def wait_in_two_tasks(worker: LaunchedWorker) -> None:
    ending = ProcessExit(worker.process)
    with trio.fail_after(GENEROUS_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ending.wait)
            nursery.start_soon(ending.wait)
            with trio.move_on_after(0.05) as scope:
                await ending.wait()
            assert scope.cancelled_caught
            worker.process.kill()
    assert worker.process.returncode == -9
    await ending.wait()


@pytest.mark.parametrize("has_pidfd", [True, False])
async def test_the_end_of_a_process_is_noticed(
    has_pidfd: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_pidfd:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    launcher = make_launcher()
    worker = launcher.launch()
    try:
        await wait_in_two_tasks(worker)
    finally:
        worker.discard()
        launcher.close()
