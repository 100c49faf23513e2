"""The pool, with workers that stand in for processes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from pando.functions.serialized import as_received
from pando.worker import pool
from pando.worker.launcher import Launcher, WorkerShortageError
from pando.worker.pool import SLOW_LOAD_SECONDS, WorkerPool


class FakeWorker:
    """A worker that has loaded its function after so many seconds."""

    pid = 1
    item_was_running = True

    def __init__(self, load_seconds: float) -> None:
        self._load_seconds = load_seconds

    async def run(
        self, launcher: Launcher, serve: Callable[[FakeWorker], Awaitable[None]], **options: Any
    ) -> FakeWorker:
        await trio.sleep(self._load_seconds)
        await serve(self)
        return self

    def describe_end(self) -> str:
        return "it has ended"


async def serve_for_ever(channel: Any, name: str) -> None:
    await trio.sleep_forever()


@pytest.mark.parametrize(
    ("load_seconds", "is_mentioned"), [(0.5, False), (3 * SLOW_LOAD_SECONDS, True)]
)
async def test_slow_loading_is_mentioned_once(
    load_seconds: float,
    is_mentioned: bool,
    autojump_clock: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "run_worker", FakeWorker(load_seconds).run)
    said: list[str] = []
    workers = WorkerPool(Launcher(as_received(b""), 2), serve_for_ever, say=said.append)
    with trio.move_on_after(2 * SLOW_LOAD_SECONDS):
        await workers.run(lambda error: None)
    assert len(said) == is_mentioned


async def test_a_pool_that_is_closed_does_not_wait_to_mention_anything(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "run_worker", FakeWorker(0.5).run)
    workers = WorkerPool(Launcher(as_received(b""), 2), serve_for_ever)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(workers.run, lambda error: None)
        await trio.sleep(1)
        workers.close()
    assert trio.current_time() < SLOW_LOAD_SECONDS


class Shortage:
    """A system that is short of file descriptors for the first so many starts after one."""

    def __init__(self, worker: FakeWorker, *, first: int, failures: int) -> None:
        self._worker = worker
        self._failures = range(first, first + failures)
        self.starts = 0

    async def run(self, *arguments: Any, **options: Any) -> FakeWorker:
        self.starts += 1
        if self.starts - 1 in self._failures:
            raise WorkerShortageError("workers cannot be started: Too many open files")
        return await self._worker.run(*arguments, **options)


async def serve_briefly(channel: Any, name: str) -> None:
    await trio.sleep(0.1)


async def test_a_worker_that_cannot_be_replaced_now_is_tried_again(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shortage = Shortage(FakeWorker(0.1), first=1, failures=5)
    monkeypatch.setattr(pool, "run_worker", shortage.run)
    said: list[str] = []
    failures: list[Exception] = []
    workers = WorkerPool(Launcher(as_received(b""), 1), serve_briefly, say=said.append)
    with trio.move_on_after(20):
        await workers.run(failures.append)
    assert not failures
    assert said == ["workers cannot be started: Too many open files; trying again"]
    assert shortage.starts > 20


async def test_workers_that_cannot_be_started_at_all_end_the_run(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "run_worker", Shortage(FakeWorker(0.1), first=0, failures=9).run)
    failures: list[Exception] = []
    await WorkerPool(Launcher(as_received(b""), 1), serve_briefly).run(failures.append)
    assert [str(error) for error in failures] == ["workers cannot be started: Too many open files"]


async def test_workers_that_have_not_loaded_are_ended_when_the_pool_is_closed(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "run_worker", FakeWorker(3600).run)
    workers = WorkerPool(Launcher(as_received(b""), 2), serve_for_ever)
    failures: list[Exception] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(workers.run, failures.append)
        await trio.sleep(1)
        workers.close()
    assert trio.current_time() == pytest.approx(1)
    assert not failures
