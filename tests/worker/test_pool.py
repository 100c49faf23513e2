"""The pool, with workers that stand in for processes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from pando.functions.serialized import as_received
from pando.worker import pool
from pando.worker.pool import SLOW_LOAD_SECONDS, WorkerPool


class FakeWorker:
    """A worker that has loaded its function after so many seconds."""

    pid = 1
    item_was_running = True

    def __init__(self, load_seconds: float) -> None:
        self._load_seconds = load_seconds

    async def run(
        self, function: bytes, serve: Callable[[FakeWorker], Awaitable[None]], **options: Any
    ) -> FakeWorker:
        await trio.sleep(self._load_seconds)
        await serve(self)
        return self


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
    workers = WorkerPool(as_received(b""), 2, serve_for_ever, say=said.append)
    with trio.move_on_after(2 * SLOW_LOAD_SECONDS):
        await workers.run(lambda error: None)
    assert len(said) == is_mentioned


async def test_a_pool_that_is_closed_does_not_wait_to_mention_anything(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "run_worker", FakeWorker(0.5).run)
    workers = WorkerPool(as_received(b""), 2, serve_for_ever)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(workers.run, lambda error: None)
        await trio.sleep(1)
        workers.close()
    assert trio.current_time() < SLOW_LOAD_SECONDS
