"""`pando.amap` under asyncio, and the error of `open_run` without Trio."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading

import pytest

import pando

from ..processes import GENEROUS_SECONDS, all_gone, wait_until

pytestmark = pytest.mark.process


def square(x):
    return x * x


def pid(x):
    return os.getpid()


def run(main):
    return asyncio.run(asyncio.wait_for(main(), 3 * GENEROUS_SECONDS))


def amap(function, items, **options):
    return pando.amap(function, items, workers=2, serve=False, **options)


def test_results_come_in_order():
    async def main():
        return [result async for result in amap(square, range(10_000))]

    assert run(main) == [n * n for n in range(10_000)]


def test_an_asynchronous_input_is_read_in_the_event_loop_and_lazily():
    read = []

    async def items():
        loop = asyncio.get_running_loop()
        for number in itertools.count():
            assert asyncio.get_running_loop() is loop
            await asyncio.sleep(0)
            read.append(number)
            yield number

    async def main():
        async with amap(square, items(), buffersize=10) as results:
            assert read == []
            first = [await anext(results) for _ in range(20)]
            await asyncio.sleep(0.1)
            return first, len(read)

    results, count = run(main)
    assert results == [n * n for n in range(20)]
    # The rest of the batch that is being read, three that wait, and what the run works on.
    assert count <= 20 + 5 * 10 + 1


def test_the_event_loop_is_not_blocked():
    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        await anext(amap(__import__("time").sleep, [0.5]))
        ticking.cancel()
        return ticks

    assert run(main) > 10


def test_an_error_of_an_item_and_of_the_input():
    async def items():
        yield 1
        raise KeyError("input")

    async def main():
        with pytest.raises(pando.ItemError) as caught:
            async for _ in amap(lambda x: 1 / x, [0]):
                pass
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        got = []
        with pytest.raises(KeyError):
            async for result in amap(square, items()):
                got.append(result)
        assert got == [1]
        found = [type(r) async for r in amap(lambda x: 1 / x, [0, 1], return_exceptions=True)]
        assert found == [pando.ItemError, float]

    run(main)


def test_cancelling_ends_the_run():
    pids = []

    async def loop():
        async for each in amap(pid, itertools.count()):
            pids.append(each)

    async def main():
        task = asyncio.create_task(loop())
        while not pids:  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)
    assert all_gone(set(pids))
    assert wait_until(lambda: not any(t.name == "pando" for t in threading.enumerate()))


def test_a_time_limit_for_one_result_loses_nothing():
    async def main():
        results = amap(__import__("time").sleep, [0.4, 0])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(results), 0.05)
        return [result async for result in results]

    assert run(main) == [None, None]


def test_leaving_and_closing():
    async def main():
        async for worker in amap(pid, itertools.count()):
            break
        results = amap(pid, itertools.count())
        other = await anext(results)
        await results.aclose()
        assert [r async for r in results] == []
        return [worker, other]

    assert all_gone(run(main))


def test_an_input_that_waits_for_what_needs_more_input_is_told():
    async def main():
        async def items():
            yield 1
            await anext(results)
            await anext(results)

        results = amap(square, items())
        with pytest.raises(pando.UsageError, match="the input waits"):
            async for _ in results:
                pass

    run(main)


def test_open_run_under_asyncio_says_what_to_do():
    async def main():
        with pytest.raises(pando.UsageError, match=r"pando\.amap"):
            async with pando.open_run(square):
                pass

    run(main)
