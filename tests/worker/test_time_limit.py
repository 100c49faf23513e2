"""The time limit of items: what counts, on a clock of the test's own."""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

import pando
from pando import messages, values
from pando.worker import time_limit
from pando.worker.process import MAX_POLL_SECONDS, WorkerProcess
from pando.worker.time_limit import STANDSTILL_SECONDS, HeldItems, TimeLimit, count_members

from ..processes import GENEROUS_SECONDS, all_gone, map_here

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

    def stages(self) -> tuple[tuple[int, int] | None, ...]:
        return (self.item,)


def watch(progress: Running) -> Callable[[], Awaitable[None]]:
    worker = make_worker(progress)
    return functools.partial(worker.watch_items, worker.limit_items(TIMEOUT))


def make_worker(progress: Running) -> WorkerProcess:
    parts: list[Any] = [Ended(), None, progress, None]
    return WorkerProcess(*parts)


@pytest.mark.parametrize(("lease", "is_ended"), [(1, True), (2, False)])
async def test_a_worker_whose_item_is_not_wanted_is_ended_when_it_is_needed(
    lease: int, is_ended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    parts: list[Any] = [Ended(), ours, Running((1, 0)), None]
    worker, ends = WorkerProcess(*parts), list[bool]()
    monkeypatch.setattr(worker, "kill", lambda: ends.append(True))
    await worker.send(messages.Recall(1))
    await worker.send(messages.Recall(lease, is_superseded=True))
    assert not ends
    for number in (3, 4):
        await worker.send(messages.Lend(number, msgspec.Raw(b"\x91\x01")))
        assert ends == [True] * is_ended
    await theirs.aclose()


async def test_an_item_that_takes_too_long(autojump_clock: trio.testing.MockClock) -> None:
    await watch(Running((1, 0)))()
    assert TIMEOUT <= trio.current_time() <= TIMEOUT + 2 * MAX_POLL_SECONDS


@pytest.mark.parametrize("away", [1.0, 9.0, 3600.0, 1e6])
@pytest.mark.parametrize("times", [1, 3])
async def test_time_in_which_the_watcher_did_not_run_does_not_count(
    away: float, times: int, autojump_clock: trio.testing.MockClock
) -> None:
    """As when the machine sleeps, or Ctrl-Z has stopped the process."""
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch(Running((1, 0))))
        for _ in range(times):
            await trio.sleep(2.01)
            autojump_clock.jump(away)
    taken = trio.current_time() - start - away * times
    assert TIMEOUT - MAX_POLL_SECONDS * times <= taken <= TIMEOUT + MAX_POLL_SECONDS * (times + 2)


async def test_each_item_has_its_own_time(autojump_clock: trio.testing.MockClock) -> None:
    progress = Running((1, 0))
    with trio.move_on_after(20 * TIMEOUT) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch(progress))
            for number in range(10):
                progress.item = (1, number)
                await trio.sleep(TIMEOUT * 0.9)
            progress.item = None
            await trio.sleep(TIMEOUT * 5)
            progress.item = (2, 0)
            begun = trio.current_time()
    assert not scope.cancelled_caught
    assert TIMEOUT <= trio.current_time() - begun <= TIMEOUT + 3 * MAX_POLL_SECONDS


# ---- what a worker holds ----


def raw(count: int) -> msgspec.Raw:
    return msgspec.Raw(values.encode([None] * count))


@pytest.mark.parametrize("count", [0, 1, 15, 16, 65535, 65536])
def test_members_are_counted_without_decoding_them(count: int) -> None:
    assert count_members(raw(count)) == count


@pytest.mark.parametrize("encoded", [b"", b"\x01", b"\xc0", b"\x81\x01\x02"])
def test_what_is_no_array_has_no_members(encoded: bytes) -> None:
    assert count_members(msgspec.Raw(encoded)) == 0


def test_the_first_item_held_is_the_first_that_is_not_answered() -> None:
    held = HeldItems()
    assert held.first() is None
    held.note_sent(messages.Lend(7, raw(5)))
    held.note_sent(messages.Lend(8, raw(2)))
    assert held.first() == (7, 0)
    held.note_received(messages.Results(7, 0, 0.1, raw(2)))
    assert held.first() == (7, 2)
    held.note_received(messages.ReturnItems(7, 3, 2))
    assert held.first() == (7, 2)
    held.note_received(messages.Results(7, 2, 0.1, raw(1)))
    assert held.first() == (8, 0)
    held.note_received(messages.ReturnItems(8, 0, 1))
    assert held.first() == (8, 1)
    held.note_received(messages.Results(8, 1, 0.1, raw(1)))
    held.note_received(messages.Results(99, 0, 0.1, raw(1)))
    assert held.first() is None


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_each_stage_has_its_own_time(stage: int) -> None:
    limit = TimeLimit(TIMEOUT)
    others: list[tuple[int, int] | None] = [(1, 0), (1, 0), (1, 0)]
    for second in range(100):
        stages = [item if item is None else (1, second) for item in others]
        assert limit.find_overdue(tuple(stages), float(second)) is None
    stages[stage] = (5, 5)
    assert limit.find_overdue(tuple(stages), 100.0) is None
    limit.skip(50.0)
    moving = [(2, 0)] * 3
    moving[stage] = (5, 5)
    assert limit.find_overdue(tuple(moving), 150.0 + TIMEOUT - 0.1) is None
    assert limit.find_overdue(tuple(moving), 150.0 + TIMEOUT) == (5, 5)


def test_a_worker_that_does_nothing_with_what_it_holds() -> None:
    limit = TimeLimit(TIMEOUT)
    nothing = (None, None, None)
    assert limit.find_standstill(nothing, 0, 1000.0) is None, "it holds nothing"
    limit.held.note_sent(messages.Lend(1, raw(3)))
    assert limit.find_standstill(nothing, 0, 1000.0) is None
    end = 1000.0 + TIMEOUT + STANDSTILL_SECONDS
    assert limit.find_standstill(nothing, 0, end - 1) is None
    assert limit.find_standstill(nothing, 10, end) is None, "something has come"
    assert limit.find_standstill(((1, 0), None, None), 10, end + 50) is None, "an item runs"
    assert limit.find_standstill(nothing, 10, end + 100) is None
    assert limit.find_standstill(nothing, 10, 2 * end) == (1, 0)


# ---- real workers ----


class Number:
    """A number whose way there and back can take for ever."""

    def __init__(self, value: int) -> None:
        self.value = value


def take_apart(number: Number) -> int:
    while number.value == 13:
        time.sleep(0.01)
    return number.value


def put_together(value: int) -> Number:
    while value == 17:
        time.sleep(0.01)
    return Number(value)


@pytest.fixture
def _registered() -> Any:
    pando.register_type(Number, take_apart, put_together, name="a number that may hang")


@pytest.mark.process
@pytest.mark.usefixtures("_registered")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_result_that_is_encoded_for_ever_fails_alone(workers: int) -> None:
    results = list(
        map_here(Number, range(15), workers=workers, timeout=0.5, return_exceptions=True)
    )
    assert isinstance(results[13], pando.ItemError)
    assert results[13].type == "TimeoutError"
    del results[13]
    assert [result.value for result in results] == [*range(13), 14]


@pytest.mark.process
@pytest.mark.usefixtures("_registered")
@pytest.mark.parametrize("workers", [1, 2])
def test_an_item_that_is_decoded_for_ever_fails_alone(workers: int) -> None:
    def value_of(number: Number) -> int:
        return number.value

    items = [Number(n) for n in range(20) if n != 13]
    results = list(map_here(value_of, items, workers=workers, timeout=0.5, return_exceptions=True))
    assert isinstance(results[16], pando.ItemError)
    assert results[16].type == "TimeoutError"
    del results[16]
    assert results == [n for n in range(20) if n not in (13, 17)]


@pytest.mark.process
def test_a_worker_that_is_stopped_between_two_items_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time_limit, "STANDSTILL_SECONDS", 0.5)

    def square(x: int) -> tuple[int, int]:
        return x * x, os.getpid()

    stopped = threading.Event()

    def items() -> Iterator[int]:
        yield 0
        assert stopped.wait(GENEROUS_SECONDS)
        yield from range(1, 40)

    results = iter(map_here(square, items(), workers=1, timeout=0.5))
    _, first = next(results)
    os.kill(first, signal.SIGSTOP)
    stopped.set()
    squares, pids = zip(*results, strict=True)
    assert squares == tuple(x * x for x in range(1, 40))
    assert first not in pids
    assert all_gone([first])
