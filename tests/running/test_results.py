"""`Results`: shared by threads, resumed, closed, and requested by their own input."""

from __future__ import annotations

import gc
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import trio

import pando
from pando.running.handover import Handover
from pando.source import WouldBlock

from ..processes import GENEROUS_SECONDS, all_gone, map_here, open_run_here, wait_until


def square(x):
    return x * x


def pid(x):
    import os

    return os.getpid()


# ---- the handover, without processes ----


def test_each_batch_goes_to_one_thread_and_all_see_the_end():
    released = []
    handover = Handover(lambda: released.append(1))

    def take_all():
        return [result for batch in iter(handover.take, None) for result in batch]

    with ThreadPoolExecutor(4) as threads:
        taken = [threads.submit(take_all) for _ in range(4)]
        for number in range(1000):
            handover.put([number, number + 0.5])
        handover.end()
        results = [each.result(GENEROUS_SECONDS) for each in taken]
    assert all(mine == sorted(mine) for mine in results)
    assert sorted(itertools.chain(*results)) == [n / 2 for n in range(2000)]
    assert len(released) == 1000
    assert handover.take() is None


def test_a_wait_that_is_refused_before_it_begins_raises():
    handover = Handover()
    taker = object()
    handover.refuse(taker, KeyError("x"))
    with ThreadPoolExecutor(1) as threads:
        taken = threads.submit(handover.take, taker)
        try:
            with pytest.raises(KeyError):
                taken.result(GENEROUS_SECONDS)
        finally:
            handover.end()


def test_a_batch_that_comes_after_closing_is_discarded():
    handover = Handover()
    handover.put([1])
    handover.close()
    handover.put([2])
    assert handover.take() is None


def test_an_error_reaches_one_thread_after_the_batches():
    handover = Handover()
    handover.put([1])
    handover.end(KeyError("x"))
    handover.end(ValueError("the first end counts"))
    assert list(handover.take()) == [1]
    with pytest.raises(KeyError):
        handover.take()
    assert handover.take() is None


def test_closing_wakes_all_that_wait():
    handover = Handover()
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(handover.take) for _ in range(3)]
        time.sleep(0.05)
        assert not any(each.done() for each in waiting)
        handover.close()
        assert [each.result(GENEROUS_SECONDS) for each in waiting] == [None] * 3


def test_what_cannot_wait_is_told_once_of_news():
    handover = Handover()
    told = []
    with pytest.raises(WouldBlock):
        handover.take_nowait(lambda: told.append(1))
    handover.put([1])
    handover.put([2])
    assert told == [1]
    assert list(handover.take_nowait(lambda: None)) == [1]


# ---- threads ----


@pytest.mark.process
@pytest.mark.parametrize("by_next", [False, True])
def test_threads_share_the_results(by_next):
    results = map_here(square, range(100_000), workers=2)
    taken = [[] for _ in range(4)]

    def take(mine):
        if by_next:
            mine.extend(iter(lambda: next(results, None), None))
        else:
            mine.extend(results)

    threads = [threading.Thread(target=take, args=(mine,)) for mine in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GENEROUS_SECONDS)
        assert not thread.is_alive()
    assert sorted(itertools.chain(*taken)) == [n * n for n in range(100_000)]
    assert all(mine == sorted(mine) for mine in taken)
    assert next(results, "the end") == "the end"


@pytest.mark.process
def test_one_iterator_over_them_may_be_shared_too():
    iterator = iter(map_here(square, range(100_000), workers=2))
    with ThreadPoolExecutor(3) as threads:
        taken = list(threads.map(lambda _: list(iterator), range(3)))
    assert sorted(itertools.chain(*taken)) == [n * n for n in range(100_000)]


@pytest.mark.process
def test_leaving_a_loop_loses_nothing():
    with map_here(square, range(10_000), workers=2) as results:
        taken = []
        for count in itertools.count(1):
            for result in itertools.islice(results, count):
                taken.append(result)
            if len(taken) >= 5000:
                break
        taken.append(next(results))
        taken += list(results)
    assert taken == [n * n for n in range(10_000)]


@pytest.mark.process
def test_closing_from_another_thread_ends_the_loop():
    results = map_here(time.sleep, [0, 600], workers=1)
    assert next(results) is None
    threading.Timer(0.2, results.close).start()
    assert list(results) == []
    results.close()


@pytest.mark.process
def test_leaving_a_loop_ends_the_workers_of_an_unreferenced_iterator():
    for worker in map_here(pid, itertools.count(), workers=1):
        break
    gc.collect()
    assert all_gone([worker])
    assert wait_until(lambda: not any(t.name == "pando" for t in threading.enumerate()))


# ---- an input that asks for results ----


@pytest.mark.process
def test_the_input_may_go_on_with_the_results():
    def items():
        yield 2
        for result in results:
            if result > 1000:
                ended.set()
                return
            taken.append(result)
            yield result

    taken, ended = [], threading.Event()
    results = map_here(square, items(), workers=2)
    threading.Thread(target=next, args=(iter(map_here(square, [1], workers=1)),)).start()
    results._feed.start()
    assert ended.wait(GENEROUS_SECONDS), "the last result must not be taken here instead"
    assert taken == [4, 16, 256]
    assert list(results) == []


@pytest.mark.process
def test_an_input_that_waits_for_what_needs_more_input_is_told():
    def items():
        yield 3
        while True:  # a first result may come, unless the loop below is faster
            next(results)

    results = map_here(square, items(), workers=1)
    with pytest.raises(pando.UsageError, match="the input waits for a result of its own map"):
        for result in results:
            assert result == 9


@pytest.mark.process
def test_an_input_that_is_told_may_go_on():
    def items():
        yield 3
        try:
            while True:
                next(results)
        except pando.UsageError:
            yield 4

    results = map_here(square, items(), workers=1)
    assert set(results) - {9} == {16}


@pytest.mark.process
async def test_an_asynchronous_input_is_told_as_well():
    async def items():
        yield 3
        await anext(stream)
        await anext(stream)

    async with open_run_here(square, workers=1) as run:
        stream = run.map(items())
        with pytest.raises(pando.UsageError, match="the input waits"):
            with trio.fail_after(GENEROUS_SECONDS):
                async for _ in stream:
                    pass


# ---- causes and devices ----


@pytest.mark.process
@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (ValueError("bad", 3), ("bad", 3)),
        (KeyError("x"), ("x",)),
        (FileNotFoundError(2, "no such file", "a.txt"), (2, "no such file")),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), None),
        (ZeroDivisionError(), ()),
    ],
)
def test_a_built_in_exception_is_the_cause(error, arguments):
    kind, given = type(error), error.args

    def fail(x):
        raise kind(*given)

    with pytest.raises(pando.ItemError) as caught:
        list(map_here(fail, [1], workers=1))
    assert type(caught.value.__cause__) is kind
    assert caught.value.__cause__.args == (given if arguments is None else arguments)
    assert caught.value.device == "worker 1"
    assert "worker" not in str(caught.value)


class OwnError(Exception):
    pass


class Sneaky(ValueError):
    pass


Sneaky.__module__ = "builtins"


@pytest.mark.process
@pytest.mark.parametrize(
    "raised", ["OwnError()", "SystemExit(3)", "ValueError(object())", "ValueError('x' * 100_000)"]
)
def test_other_exceptions_have_no_cause(raised):
    def fail(x):
        raise eval(raised)

    with pytest.raises(pando.ItemError) as caught:
        list(map_here(fail, [1], workers=1))
    assert caught.value.__cause__ is None
