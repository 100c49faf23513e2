"""`pando.run`: several maps on the same workers, from any number of threads."""

from __future__ import annotations

import itertools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import pando

from ..processes import GENEROUS_SECONDS, all_gone, wait_until

pytestmark = pytest.mark.process


def square(x):
    return x * x


def pid(x):
    return os.getpid()


def no_threads_left():
    return wait_until(lambda: not any(t.name.startswith("pando") for t in threading.enumerate()))


def test_workers_stay_between_maps():
    with pando.run(pid, workers=1, serve=False) as run:
        first = set(run.map(range(100)))
        assert set(run.map(range(100))) == first
        assert run.statistics().workers == 1
        assert run.statistics().streams == []
    assert all_gone(first)
    assert no_threads_left()


def test_maps_at_once():
    with pando.run(square, workers=2, serve=False) as run:
        numbers = run.map(itertools.count())
        assert next(numbers) == 0
        with ThreadPoolExecutor(4) as threads:
            sums = list(threads.map(lambda n: sum(run.map(range(n))), [10, 1000, 20_000, 0]))
        assert sums == [sum(x * x for x in range(n)) for n in (10, 1000, 20_000, 0)]
        assert list(itertools.islice(numbers, 3)) == [1, 4, 9]
        numbers.close()
        assert list(numbers) == []
        assert list(run.map([2])) == [4]


def test_an_error_ends_its_own_map_alone():
    with pando.run(lambda x: 1 / x, workers=1, serve=False) as run:
        other = run.map(itertools.count(1))
        assert next(other) == 1
        failing = run.map([1, 0, 2])
        assert next(failing) == 1
        with pytest.raises(pando.ItemError):
            next(failing)
        assert list(failing) == []
        assert next(other) == 0.5
        assert [str(r)[:6] for r in run.map([0, 2], return_exceptions=True)] == ["item 0", "0.5"]


def test_an_unreferenced_map_is_dropped():
    with pando.run(square, workers=1, serve=False) as run:
        for _ in range(20):
            for _ in run.map(itertools.count()):
                break
        assert wait_until(lambda: run.statistics().streams == [])


def test_a_closed_run_says_so():
    run = pando.run(square, workers=1, serve=False)
    with pytest.raises(pando.RunClosedError, match="not open yet"):
        run.map([1])
    with run:
        waiting = run.map(time.sleep for _ in range(1))
    for use in (lambda: run.map([1]), run.statistics, lambda: run.links, run.__enter__):
        with pytest.raises(pando.RunClosedError):
            use()
    with pytest.raises(pando.RunClosedError):
        next(waiting)
    run.close()


def test_closing_wakes_those_who_wait():
    run = pando.run(time.sleep, workers=1, serve=False)
    with run:
        threading.Timer(0.2, run.close).start()
        with pytest.raises(pando.RunClosedError):
            list(run.map([600]))


def test_maps_that_begin_while_the_run_is_closed_end_and_disturb_no_other_run():
    problems = []

    def use(run):
        try:
            while True:
                assert list(run.map([2])) == [4]
                run.statistics()
        except pando.RunClosedError:
            pass
        except BaseException as error:
            problems.append(error)

    with pando.run(square, workers=1, serve=False) as bystander:
        for number in range(6):
            with pando.run(square, workers=1, serve=False) as run:
                threads = [threading.Thread(target=use, args=(run,)) for _ in range(4)]
                for thread in threads:
                    thread.start()
                time.sleep(0.01 * (number % 5))
            for thread in threads:
                thread.join(GENEROUS_SECONDS)
                assert not thread.is_alive()
            assert list(bystander.map([3])) == [9]
    assert problems == []


def test_a_map_whose_run_takes_no_more_tasks_ends():
    class ClosedNursery:
        def start_soon(self, *arguments):
            raise RuntimeError("Nursery is closed to new arrivals")

    with (
        pando.run(square, workers=1, serve=False) as bystander,
        pando.run(square, workers=1, serve=False) as run,
    ):
        run._nursery = ClosedNursery()
        results = run.map([2])
        with pytest.raises(pando.RunClosedError):
            next(results)
        assert list(results) == []
        assert list(bystander.map([3])) == [9]


def test_an_error_in_the_background_is_raised_in_the_caller():
    def fail():
        raise LookupError("asked for nothing")

    with pando.run(square, workers=1, serve=False) as run:
        with pytest.raises(LookupError):
            run._task.call_and_wait(fail)
        assert list(run.map([3])) == [9]


def test_what_cannot_be_opened_is_told_at_once():
    serve = pando.ServeOptions(listen="203.0.113.7")
    run = pando.run(square, workers=1, serve=serve)
    with pytest.raises(pando.UsageError, match=r"cannot listen on 203\.0\.113\.7"), run:
        pass
    assert no_threads_left()


def test_a_run_whose_workers_cannot_work_says_so():
    with pando.run(die_at_load, workers=1, serve=False) as run:
        for _ in range(2):
            with pytest.raises(pando.PandoError):
                list(run.map([1]))


class DieAtLoad:
    def __setstate__(self, state):
        os._exit(3)


thing = DieAtLoad()
thing.x = 1


def die_at_load(x):
    return thing


def test_a_forked_process_has_runs_of_its_own():
    with pando.run(square, workers=1, serve=False) as run:
        assert list(run.map([3])) == [9]
        child = os.fork()
        if child == 0:
            done = list(pando.map(square, [4], workers=1, serve=False)) == [16]
            os._exit(0 if done else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert list(run.map([5])) == [25]


def test_a_process_at_its_end_leaves_no_workers(tmp_path):
    from ..processes import run_script

    done = run_script(
        tmp_path / "script.py",
        "import os, pando\n"
        "run = pando.run(lambda x: os.getpid(), workers=1, serve=False)\n"
        "run.__enter__()\nresults = run.map(iter(int, 1))\nprint(next(results))\n",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert all_gone([int(done.stdout)])
