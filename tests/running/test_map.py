"""`pando.map` and `pando.open_run` with real workers."""

from __future__ import annotations

import functools
import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc

import pytest
import trio

import pando

from ..processes import GENEROUS_SECONDS, all_gone, is_alive, map_here, open_run_here, run_script

pytestmark = pytest.mark.process


def square(x):
    return x * x


def square_or_fail(x):
    if x % 4 == 3:
        raise ValueError(f"no {x}")
    return x * x


async def square_later(x):
    import asyncio

    await asyncio.sleep(0.001)
    return x * x


def pid_of_worker(x):
    return os.getpid()


def wait_for(seconds):
    time.sleep(seconds)
    return os.getpid()


def add(x, y):
    return x + y


class Adder:
    def __init__(self, amount):
        self.amount = amount

    def __call__(self, x):
        return x + self.amount


# ---- what comes out ----


def test_results_come_in_order_from_more_than_one_process():
    def slow_first(x):
        time.sleep(0.2 if x == 0 else 0.001)
        return x, os.getpid()

    results = list(map_here(slow_first, range(100), workers=2))
    assert [x for x, _ in results] == list(range(100))
    pids = {pid for _, pid in results}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert all_gone(pids)


def test_no_items():
    assert list(map_here(square, [])) == []
    assert list(map_here(square, iter(()))) == []


def test_kinds_of_functions():
    offset = 100
    assert list(map_here(lambda x: x + offset, [1, 2], workers=1)) == [101, 102]
    assert list(map_here(functools.partial(add, y=5), [1, 2], workers=1)) == [6, 7]
    assert list(map_here(Adder(7), [1, 2], workers=1)) == [8, 9]
    assert list(map_here(square_later, range(5), workers=1)) == [0, 1, 4, 9, 16]
    assert list(map_here(len, ["abc", ""], workers=1)) == [3, 0]


def test_unordered_results_do_not_wait_for_a_slow_one():
    results = map_here(lambda x: (time.sleep(x), x)[1], [1.0, 0, 0, 0], workers=2, ordered=False)
    assert list(results) == [0, 0, 0, 1.0]


def test_an_infinite_input_is_read_only_as_far_as_the_buffer():
    read = []

    def count():
        for number in itertools.count():
            read.append(number)
            yield number

    with map_here(square, count(), workers=2, buffersize=10) as results:
        assert read == []  # nothing starts before the first result is asked for
        for number in range(30):
            assert next(results) == number**2
        time.sleep(0.1)
        # Two batches of results wait for the loop, and one is on its way.
        ahead = len(read) - 30
    assert 0 < ahead <= 4 * 10
    time.sleep(0.05)
    assert len(read) == 30 + ahead


@pytest.mark.parametrize("buffersize", [1, 10])
def test_the_buffer_bounds_reading_after_a_stuck_item(buffersize):
    read = []

    def count():
        for number in itertools.count():
            read.append(number)
            yield number

    def stick(x):
        time.sleep(0.4 if x == 0 else 0)
        return x

    with map_here(stick, count(), workers=2, buffersize=buffersize) as results:
        results_thread = threading.Thread(target=lambda: next(results))
        results_thread.start()
        time.sleep(0.3)
        assert len(read) <= buffersize
        results_thread.join()


def test_memory_stays_flat_with_a_slow_consumer():
    with map_here(lambda x: x, (str(n) * 10 for n in itertools.count()), workers=2) as results:
        for _ in itertools.islice(results, 50_000):
            pass
        gc.collect()
        tracemalloc.start()
        try:
            for _ in range(10):
                time.sleep(0.05)
                for _ in itertools.islice(results, 1000):
                    pass
            current, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert current < 20_000_000


def test_several_threads_at_once():
    results = {}

    def work(number):
        function = lambda x: x + number
        results[number] = list(map_here(function, range(200), workers=1))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: list(range(n, n + 200)) for n in range(3)}


# ---- what fails ----


def test_a_failing_item_raises_in_its_place():
    results = map_here(square_or_fail, [0, 1, 2, 3, 4], workers=1)
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    with pytest.raises(pando.ItemError) as caught:
        next(results)
    error = caught.value
    assert str(error) == "item 3 (3): ValueError: no 3"
    assert (error.item, error.index, error.type, error.reason) == (3, 3, "ValueError", "no 3")
    assert 'raise ValueError(f"no {x}")' in error.traceback
    assert "test_map.py" in error.traceback
    assert "pando/worker" not in error.traceback
    assert list(results) == []  # the error has ended the run


def test_failures_in_the_place_of_results():
    results = list(map_here(square_or_fail, range(2000), workers=2, return_exceptions=True))
    assert len(results) == 2000
    for number, result in enumerate(results):
        if number % 4 == 3:
            assert isinstance(result, pando.ItemError)
            assert (result.index, result.item) == (number, number)
        else:
            assert result == number**2


def test_strange_failures_are_failures_of_their_item_alone():
    def fail(kind):
        class Unspeakable(Exception):
            def __str__(self):
                raise RuntimeError

        if kind == "exit":
            sys.exit("bye")
        elif kind == "interrupt":
            raise KeyboardInterrupt
        elif kind == "unspeakable":
            raise Unspeakable
        elif kind == "surrogate":
            raise ValueError("\udcff")
        elif kind == "long":
            raise ValueError("x" * 1_000_000)
        elif kind == "deep":
            return fail(kind)
        elif kind == "stop":
            raise StopIteration
        return kind

    kinds = ["exit", "interrupt", "unspeakable", "surrogate", "long", "deep", "stop", "none"]
    results = list(map_here(fail, kinds, workers=1, return_exceptions=True))
    types = ["SystemExit", "KeyboardInterrupt", None, "ValueError", "ValueError", "RecursionError"]
    for result, type_ in zip(results, types, strict=False):
        assert isinstance(result, pando.ItemError)
        assert type_ is None or result.type == type_
    assert results[0].reason == "the function called sys.exit('bye')"
    assert results[2].type.endswith("Unspeakable")
    assert len(results[4].reason) < 100_000
    assert results[6].type == "StopIteration"
    assert results[7] == "none"


def test_values_that_cannot_be_serialized_are_named_and_fail_individually():
    items = [1, threading.Lock(), 3, {"a": [object()]}, 5]
    results = list(map_here(lambda x: x, items, workers=1, return_exceptions=True))
    assert [results[place] for place in (0, 2, 4)] == [1, 3, 5]
    assert results[1].type == results[3].type == "UnsupportedValueError"
    assert "_thread.lock cannot be serialized" in results[1].reason
    assert "object cannot be serialized" in results[3].reason
    assert results[3].item is items[3]

    make = {1: lambda: 1, 2: threading.Lock, 3: lambda: (n for n in [1]), 4: lambda: "four"}
    results = list(map_here(lambda x: make[x](), make, workers=1, return_exceptions=True))
    assert (results[0], results[3]) == (1, "four")
    assert "result: a value of type _thread.lock cannot be serialized" in results[1].reason
    assert "generator" in results[2].reason


def test_a_failing_input_raises_after_the_results_of_earlier_items():
    def count():
        yield from range(100)
        raise OSError("the disk is gone")

    results = []
    with pytest.raises(OSError, match="the disk is gone"):
        for result in map_here(square, count(), workers=2):
            results.append(result)
    assert results == [n**2 for n in range(100)]


def test_an_item_over_its_time_fails_and_its_worker_is_replaced():
    start = time.monotonic()
    items = [0, 600, 0, 0]
    results = list(map_here(wait_for, items, workers=1, timeout=0.3, return_exceptions=True))
    assert time.monotonic() - start < GENEROUS_SECONDS
    assert str(results[1]) == "item 1 (600): TimeoutError: it took longer than 0.3 s"
    assert results[0] != results[2] == results[3]
    assert all_gone([results[0], results[2]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": -1}, "workers must be a whole number of at least 0, not -1"),
        ({"workers": 1.5}, "workers must be a whole number"),
        ({"timeout": 0}, "timeout must be a positive number"),
        ({"buffersize": 0}, "buffersize must be a whole number of at least 1"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
    ],
)
def test_wrong_options_are_refused_at_once(options, message):
    with pytest.raises(pando.UsageError, match=message):
        map_here(square, [1], **options)


def test_what_is_not_iterable_is_refused_at_once():
    with pytest.raises(TypeError, match="not iterable"):
        map_here(square, 5)


def test_a_function_that_cannot_be_serialized_is_refused_at_once():
    lock = threading.Lock()
    with pytest.raises(pando.FunctionError, match="lock"):
        map_here(lambda x: lock, [1])


# ---- leaving early ----


def test_leaving_the_loop_ends_the_workers():
    pids = set()
    start = time.monotonic()
    for pid in map_here(pid_of_worker, itertools.count(), workers=2):
        pids.add(pid)
        break
    assert all_gone(pids)
    assert time.monotonic() - start < GENEROUS_SECONDS


def test_an_exception_in_the_loop_ends_the_workers():
    pids = set()
    with pytest.raises(ZeroDivisionError):
        for pid in map_here(pid_of_worker, itertools.count(), workers=2):
            pids.add(pid)
            1 / 0
    assert all_gone(pids)


def test_leaving_the_loop_does_not_wait_for_a_long_item():
    start = time.monotonic()
    pids = set()
    for pid in map_here(wait_for, [0, *[600] * 10], workers=2):
        pids.add(pid)
        break
    assert time.monotonic() - start < GENEROUS_SECONDS
    assert all_gone(pids)


def test_closing():
    results = map_here(pid_of_worker, itertools.count(), workers=1)
    results.close()  # before it has started
    assert list(results) == []

    results = map_here(pid_of_worker, itertools.count(), workers=1)
    pid = next(results)
    assert is_alive(pid)
    results.close()
    results.close()
    assert all_gone([pid])
    assert list(results) == []

    with map_here(pid_of_worker, itertools.count(), workers=1) as results:
        pid = next(iter(results))
    assert all_gone([pid])


def test_closing_from_another_thread_ends_a_waiting_loop():
    results = map_here(wait_for, [600], workers=1)
    threading.Timer(0.5, results.close).start()
    assert list(results) == []


def test_a_run_leaves_no_thread_and_no_open_file():
    def count_files():
        return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

    list(map_here(square, iter(range(10)), workers=1))
    files = count_files()
    for _ in range(3):
        list(map_here(square, iter(range(10)), workers=1))
        for _ in map_here(square, itertools.count(), workers=1):
            break
    assert count_files() <= files
    deadline = time.monotonic() + GENEROUS_SECONDS
    while any(thread.name.startswith("pando") for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


# ---- scripts ----

SCRIPT = """
import os, sys, time, itertools
import pando

SCALE = 3

class Point:
    def __init__(self, x):
        self.x = x

def helper(p):
    return p.x * SCALE

def fn(x):
    return helper(Point(x))

print(list(pando.map(fn, range(5), workers=2, serve=False)))
print([*pando.map(lambda x: fn(x) + 1, [1, 2], workers=1, serve=False)])

held = pando.map(lambda x: os.getpid(), itertools.count(), workers=2, serve=False)
print(next(held), flush=True)
"""


def test_a_script_without_a_guard_that_holds_its_iterator_to_the_end(tmp_path):
    start = time.monotonic()
    done = run_script(tmp_path / "script.py", SCRIPT)
    assert (done.returncode, done.stderr) == (0, "")
    first, second, pid = done.stdout.splitlines()
    assert first == "[0, 3, 6, 9, 12]"
    assert second == "[4, 7]"
    assert all_gone([int(pid)])
    assert time.monotonic() - start < GENEROUS_SECONDS


INTERRUPTED_SCRIPT = """
import os, time, itertools
import pando

def wait(x):
    time.sleep(x)
    return os.getpid()

for pid in pando.map(wait, itertools.chain([0], itertools.repeat(600)), workers=2, serve=False):
    print(pid, flush=True)
"""


def test_control_c_ends_a_script_and_its_workers(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(INTERRUPTED_SCRIPT)
    with subprocess.Popen(
        [sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as script:
        pid = int(script.stdout.readline())
        script.send_signal(signal.SIGINT)
        _, errors = script.communicate(timeout=GENEROUS_SECONDS)
    assert script.returncode in (-signal.SIGINT, 130)
    assert errors.count("KeyboardInterrupt") == 1
    assert "ExceptionGroup" not in errors
    assert all_gone([pid])


# ---- in Trio programs ----


async def test_a_run_maps_again_with_the_same_workers():
    async with open_run_here(pid_of_worker, workers=1) as run:
        first = {pid async for pid in run.map(range(10))}
        second = {pid async for pid in run.map(iter(range(10)))}
        assert first == second
        assert run.statistics().workers == 1
        assert run.statistics().worker_deaths == 0
    assert all_gone(first)


async def test_asynchronous_items_and_iteration_after_an_error():
    async def count():
        for number in range(8):
            await trio.lowlevel.checkpoint()
            yield number

    async with open_run_here(square_or_fail, workers=2) as run:
        results = run.map(count())
        seen = []
        while True:
            try:
                seen.append(await anext(results))
            except pando.ItemError as error:
                seen.append(error.index)
            except StopAsyncIteration:
                break
        assert seen == [0, 1, 4, 3, 16, 25, 36, 7]

        results = [r async for r in run.map([3, 4], return_exceptions=True)]
        assert isinstance(results[0], pando.ItemError)
        assert results[1] == 16

        with pytest.raises(pando.ItemError, match=r"item 0 \(3\)"):
            async for _ in run.map([3]):
                pass


async def test_cancelling_ends_everything():
    pids = set()
    with trio.fail_after(GENEROUS_SECONDS), trio.CancelScope() as scope:
        async with open_run_here(wait_for, workers=2) as run:
            async for pid in run.map(itertools.chain([0], itertools.repeat(600))):
                pids.add(pid)
                scope.cancel()
    assert scope.cancelled_caught
    assert all_gone(pids)

    with trio.move_on_after(0.05) as scope:  # in the middle of starting
        async with open_run_here(wait_for, workers=2) as run:
            async for _ in run.map([600]):
                pass
    assert scope.cancelled_caught


async def test_an_error_in_the_block_comes_out_as_it_is():
    with pytest.raises(ZeroDivisionError):
        async with open_run_here(square, workers=1) as run:
            async for _ in run.map(itertools.count()):
                1 / 0


async def test_several_streams_share_a_run():
    async with open_run_here(square, workers=1) as run:
        first = run.map(itertools.count())
        assert await anext(first) == 0
        second = run.map([5])
        assert len(run.statistics().streams) == 2
        assert [result async for result in second] == [25]
        assert await anext(first) == 1
        assert len(run.statistics().streams) == 1
    with pytest.raises(pando.RunClosedError):
        await anext(first)
    with pytest.raises(pando.RunClosedError):
        run.map([1])


async def test_a_closed_stream_stops_its_asynchronous_input():
    stopped = trio.Event()

    async def count():
        try:
            yield 0
            await trio.sleep_forever()
        finally:
            stopped.set()

    async with open_run_here(square, workers=1) as run:
        stream = run.map(count())
        assert await anext(stream) == 0
        await stream.aclose()
        with trio.fail_after(GENEROUS_SECONDS):
            await stopped.wait()
        assert [result async for result in run.map([2])] == [4]
