"""Inputs of all kinds are consumed lazily."""

from __future__ import annotations

import gc
import itertools
import threading
import time
import tracemalloc

import pytest
import trio
import trio.testing

from pando.running.inputs import open_source
from pando.source import EndOfInput, Source, WouldBlock


class Reader:
    """Reads a source as a node does, waiting for `wake` where it would block."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._news = trio.Event()

    def wake(self) -> None:
        self._news.set()

    async def read(self, limit: int) -> list:
        while True:
            try:
                return self.source.read_nowait(limit)
            except WouldBlock:
                await self._news.wait()
                self._news = trio.Event()

    async def read_all(self, limit: int = 100) -> list:
        items = []
        while True:
            try:
                batch = await self.read(limit)
            except EndOfInput:
                return items
            assert 1 <= len(batch) <= limit
            items += batch


@pytest.fixture
def open_reader(nursery):
    def open_(items) -> Reader:
        reader = Reader(open_source(items))
        nursery.start_soon(reader.source.run, reader.wake)
        return reader

    return open_


async def count_asynchronously(read: list[int], end: int | None = None):
    for number in itertools.count() if end is None else range(end):
        read.append(number)
        yield number


def count_noting(read: list[int], end: int | None = None):
    for number in itertools.count() if end is None else range(end):
        read.append(number)
        yield number


async def settle() -> None:
    """Give a reading thread the time to do what it should not."""
    await trio.to_thread.run_sync(time.sleep, 0.02)
    await trio.testing.wait_all_tasks_blocked()


CONTAINERS = [[1, 2, 3], (1, 2, 3), range(1, 4), {1: 0, 2: 0, 3: 0}, b"\x01\x02\x03"]


@pytest.mark.parametrize("items", CONTAINERS, ids=lambda items: type(items).__name__)
def test_a_container_is_read_in_place_and_knows_its_size(items):
    source = open_source(items)
    assert source.remaining() == 3
    assert source.read_nowait(2) == [1, 2]
    assert source.remaining() == 1
    assert source.read_nowait(2) == [3]
    with pytest.raises(EndOfInput):
        source.read_nowait(1)
    assert source.remaining() == 0


def test_a_closed_container_gives_no_more():
    source = open_source([1, 2, 3])
    source.close()
    with pytest.raises(EndOfInput):
        source.read_nowait(1)


def test_what_is_not_iterable_is_refused_at_once():
    with pytest.raises(TypeError, match="not iterable"):
        open_source(5)


def test_a_container_that_changes_while_it_is_read_fails_as_in_a_loop():
    items = {1: 0, 2: 0}
    source = open_source(items)
    assert source.read_nowait(1) == [1]
    items[3] = 0
    with pytest.raises(RuntimeError, match="changed size"):
        source.read_nowait(1)


@pytest.mark.parametrize("count", [count_noting, count_asynchronously])
async def test_all_items_come_in_order(open_reader, count):
    assert await open_reader(count([], 1000)).read_all(limit=7) == list(range(1000))


@pytest.mark.parametrize("count", [count_noting, count_asynchronously])
async def test_nothing_is_read_before_it_is_wanted(open_reader, count):
    read: list[int] = []
    open_reader(count(read))
    await settle()
    assert read == []


@pytest.mark.parametrize("count", [count_noting, count_asynchronously])
@pytest.mark.parametrize("limit", [1, 2, 10])
async def test_reading_never_runs_further_ahead_than_asked(open_reader, count, limit):
    read: list[int] = []
    reader = open_reader(count(read))
    taken = 0
    for _ in range(8):
        taken += len(await reader.read(limit))
        await settle()
        assert len(read) <= taken + limit


@pytest.mark.parametrize("count", [count_noting, count_asynchronously])
async def test_repeated_wishes_are_not_fulfilled_twice(open_reader, count):
    """A node asks again whenever a worker is hungry, also while items are on their way."""
    read: list[int] = []
    reader = open_reader(count(read))
    for _ in range(10):
        with pytest.raises(WouldBlock):
            reader.source.read_nowait(5)
    await settle()
    assert read == list(range(5))


async def test_a_slow_trickle_is_not_held_back(open_reader):
    """The first item arrives although a thousand were asked for."""
    gate = threading.Semaphore(0)

    def trickle():
        for number in itertools.count():
            gate.acquire()
            yield number

    reader = open_reader(trickle())
    with trio.fail_after(10):
        for number in range(5):
            gate.release()
            assert await reader.read(1000) == [number]
    reader.source.close()
    gate.release()


async def test_an_asynchronous_trickle_is_not_held_back(open_reader, autojump_clock):
    async def trickle():
        for number in range(3):
            await trio.sleep(60)
            yield number

    reader = open_reader(trickle())
    start = trio.current_time()
    for number in range(3):
        assert await reader.read(1000) == [number]
        assert trio.current_time() - start == pytest.approx(60 * (number + 1))
    with pytest.raises(EndOfInput):
        await reader.read(1)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_failing_input_gives_its_earlier_items_first(open_reader, asynchronous):
    def fail():
        yield from range(3)
        raise KeyError("broken")

    async def fail_asynchronously():
        for number in fail():
            yield number

    reader = open_reader(fail_asynchronously() if asynchronous else fail())
    items: list[int] = []
    with pytest.raises(KeyError, match="broken"):
        while True:
            items += await reader.read(10)
    assert items == [0, 1, 2]
    with pytest.raises(KeyError):  # and it stays so
        await reader.read(10)


async def test_an_input_that_exits_does_not_end_the_program(open_reader):
    def leave():
        yield 1
        raise SystemExit(3)

    reader = open_reader(leave())
    assert await reader.read(1) == [1]
    with pytest.raises(RuntimeError, match="SystemExit"):
        await reader.read(1)


async def test_closing_ends_a_thread_in_the_middle_of_what_it_may_read(open_reader):
    read: list[int] = []
    arrived = threading.Event()
    gate = threading.Semaphore(0)

    def slow():
        for number in itertools.count():
            read.append(number)
            arrived.set()
            gate.acquire()
            yield number

    reader = open_reader(slow())
    with pytest.raises(WouldBlock):
        reader.source.read_nowait(1000)
    await trio.to_thread.run_sync(arrived.wait)
    reader.source.close()
    gate.release(1000)
    await settle()
    assert read == [0]


async def test_closing_finalizes_a_generator_without_other_references(open_reader):
    finalized = threading.Event()

    def generate():
        try:
            yield from itertools.count()
        finally:
            finalized.set()

    reader = open_reader(generate())
    assert await reader.read(1) == [0]
    reader.source.close()
    assert await trio.to_thread.run_sync(finalized.wait, 10)


async def test_closing_leaves_an_iterator_with_other_references_alone(open_reader):
    numbers = (number for number in itertools.count())
    reader = open_reader(numbers)
    first = await reader.read(1)
    reader.source.close()
    await settle()
    assert next(numbers) > first[-1]


async def test_an_asynchronous_generator_is_closed_in_its_task(open_reader):
    finalized = trio.Event()

    async def generate():
        try:
            for number in itertools.count():
                yield number
                await trio.sleep_forever()
        finally:
            finalized.set()

    reader = open_reader(generate())
    assert await reader.read(1) == [0]
    reader.source.close()
    with trio.fail_after(10):
        await finalized.wait()


async def test_the_user_s_own_channel_is_not_closed(open_reader):
    send, receive = trio.open_memory_channel(10)
    reader = open_reader(receive)
    await send.send(1)
    assert await reader.read(1) == [1]
    reader.source.close()
    await settle()
    await send.send(2)
    assert await receive.receive() == 2
    send.close()
    receive.close()


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_serving_a_source_ends_when_it_is_closed(asynchronous):
    source = open_source(count_asynchronously([]) if asynchronous else count_noting([]))
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(source.run, lambda: None)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(WouldBlock):
                source.read_nowait(3)
            await settle()
            source.close()


async def test_an_infinite_input_takes_no_memory(open_reader):
    reader = open_reader(count_noting_nothing())
    await reader.read(100)
    gc.collect()
    tracemalloc.start()
    try:
        seen = 0
        while seen < 50_000:
            seen += len(await reader.read(1000))
        current, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert current < 1_000_000


def count_noting_nothing():
    for number in itertools.count():
        yield str(number)


async def test_threads_of_several_sources_do_not_mix(open_reader):
    readers = [open_reader(iter(range(start, start + 500))) for start in (0, 1000, 2000)]
    results: dict[int, list[int]] = {}

    async def drain(number: int) -> None:
        results[number] = await readers[number].read_all(limit=13)

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(drain, number)
    assert results == {n: list(range(1000 * n, 1000 * n + 500)) for n in range(3)}
