"""Worker processes that crash, hang, fork or are left alone: as a user's function makes them."""

from __future__ import annotations

import itertools
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest
import trio

import pando

from ..processes import (
    GENEROUS_SECONDS,
    all_gone,
    environment,
    is_alive,
    map_here,
    open_run_here,
    wait_until,
)
from ..terminals import Terminal

pytestmark = pytest.mark.process


def crash(how):
    if how == "segfault":
        import ctypes

        ctypes.string_at(0)
    elif how == "exit":
        os._exit(3)
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "close files":
        os.closerange(3, 256)
    elif how == "close files and stay":
        os.closerange(3, 256)
        time.sleep(600)
    elif how == "reuse files":
        os.closerange(3, 256)
        return [open(os.devnull) for _ in range(20)] and how
    return how


ENDS = {
    "segfault": "the worker was killed by SIGSEGV",
    "exit": "the worker exited with status 3",
    "kill": "the worker was killed by SIGKILL",
    "close files": "the worker",
    "close files and stay": "the worker",
    "reuse files": "the worker",
}


def test_each_crashing_item_fails_alone_after_three_workers():
    items = [item for how in ENDS for item in (how, f"harmless beside {how}")]
    results = list(map_here(crash, items, workers=2, return_exceptions=True))
    assert results[1::2] == items[1::2]
    for how, error in zip(ENDS, results[::2], strict=True):
        assert isinstance(error, pando.ItemError)
        assert (error.index, error.item, error.type) == (items.index(how), how, "WorkerLost")
        assert error.reason.startswith("gave up after 3 workers crashed on this item")
        assert ENDS[how] in error.reason


def test_crashing_items_among_thousands():
    def crash_rarely(x):
        if x in (700, 1500):
            os._exit(1)
        return x

    results = list(map_here(crash_rarely, range(3000), workers=2, return_exceptions=True))
    failed = [place for place, result in enumerate(results) if result != place]
    assert failed == [700, 1500]


async def test_a_worker_killed_from_outside_is_replaced_and_its_item_computed_again(caplog):
    caplog.set_level(logging.DEBUG, "pando.worker")

    def pid_and_wait(seconds):
        time.sleep(seconds)
        return os.getpid()

    async with open_run_here(pid_and_wait, workers=1) as run:
        first = await anext(run.map([0]))
        stream = run.map([0.5, 0])
        threading.Timer(0.2, os.kill, [first, signal.SIGKILL]).start()
        second = {pid async for pid in stream}
        assert len(second) == 1
        assert first not in second
        assert run.statistics().worker_deaths == 1
    said = [(record.levelno, record.getMessage()) for record in caplog.records]
    ready = [text for level, text in said if level == logging.DEBUG and "is ready: <Worker" in text]
    assert len(ready) == 2
    assert [text for level, text in said if level == logging.INFO and "is replaced" in text]


async def test_a_worker_that_dies_while_idle_is_replaced():
    async with open_run_here(lambda x: os.getpid(), workers=1) as run:
        first = await anext(run.map([0]))
        os.kill(first, signal.SIGKILL)
        assert await trio.to_thread.run_sync(lambda: all_gone([first]))
        with trio.fail_after(GENEROUS_SECONDS):
            results = [pid async for pid in run.map([1, 2])]
        assert first not in results
        assert len(results) == 2


def test_a_worker_killed_between_two_results_is_no_strike_against_what_waited():
    """Killing workers again and again, from outside, loses nothing."""

    def work(x):
        time.sleep(0.002)
        return x, os.getpid()

    killed: set[int] = set()
    results = []
    for x, pid in map_here(work, range(1000), workers=2):
        results.append(x)
        if x % 300 == 100 and pid not in killed and is_alive(pid):
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
    assert results == list(range(1000))
    assert killed


class LoadedOnlyAtHome:
    """What a function carries along, and what happens when a worker unpacks it."""

    def __init__(self, how):
        self.how = how

    def __getstate__(self):
        return {"how": self.how}

    def __setstate__(self, state):
        if state["how"] == "die":
            os._exit(7)
        raise OSError("nothing here")


def test_death_while_loading_ends_the_run_with_an_error():
    carried = LoadedOnlyAtHome("die")
    with pytest.raises(pando.WorkerError, match="the worker exited with status 7"):
        list(map_here(lambda x: carried, [1], workers=1))


def test_failure_while_loading_tells_the_reason_once(capfd):
    carried = LoadedOnlyAtHome("fail")
    with pytest.raises(pando.FunctionError, match="OSError: nothing here") as caught:
        list(map_here(lambda x: carried, [1], workers=2))
    assert 'raise OSError("nothing here")' in caught.value.__notes__[0]
    assert capfd.readouterr() == ("", "")


class Fragile:
    """A registered type that one end cannot decode."""

    def __init__(self, number):
        self.number = number


def decode_fragile(number):
    if number < 0:
        raise ValueError("below zero")
    return Fragile(number)


def test_an_item_that_cannot_be_decoded_fails_alone():
    pando.register_type(Fragile, lambda fragile: fragile.number, decode_fragile)
    items = [Fragile(number) for number in (1, -1, 2, -2, 3)]
    results = list(
        map_here(lambda fragile: fragile.number, items, workers=1, return_exceptions=True)
    )
    assert [results[place] for place in (0, 2, 4)] == [1, 2, 3]
    for place in (1, 3):
        assert results[place].type == "MalformedValueError"
        assert "below zero" in results[place].reason


def test_a_function_that_forks():
    def fork(x):
        pid = os.fork()
        if pid == 0 and x % 3 == 0:
            raise ValueError("in the copy")
        if pid == 0 and x % 3 == 1:
            os._exit(1)
        if pid != 0:
            os.waitpid(pid, 0)
        return x, pid != 0

    assert list(map_here(fork, range(60), workers=2)) == [(x, True) for x in range(60)]


def test_an_item_that_crashes_behind_a_fork_is_blamed():
    """A copy that returns must not wipe out the note of what is running."""

    def fork_and_die(x):
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
            if x == 1:
                os._exit(1)
        return x

    results = list(map_here(fork_and_die, range(3), workers=1, return_exceptions=True))
    assert [results[0], results[2]] == [0, 2]
    assert results[1].type == "WorkerLost"


def test_a_function_that_runs_out_of_files_fails_with_its_own_error():
    def open_without_end(x):
        resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
        files = []
        while x:
            files.append(os.dup(2))
        return x

    error, result = map_here(open_without_end, [1, 0], workers=1, return_exceptions=True)
    assert (error.type, error.reason.partition(":")[0]) == (
        "OSError",
        "[Errno 24] Too many open files",
    )
    assert result == 0


def test_a_function_uses_processes_and_threads_of_its_own():
    def use_everything(x):
        import concurrent.futures
        import subprocess

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            doubled = list(pool.map(lambda y: 2 * y, [x, x + 1]))
        text = subprocess.run(["echo", str(x)], capture_output=True, text=True).stdout
        return doubled, text

    assert list(map_here(use_everything, [1, 2], workers=1)) == [([2, 4], "1\n"), ([4, 6], "2\n")]


def test_a_thread_that_goes_on_does_not_keep_a_worker():
    def start_thread(x):
        threading.Thread(target=time.sleep, args=(600,)).start()
        return os.getpid()

    start = time.monotonic()
    pids = set(map_here(start_thread, range(4), workers=1))
    assert all_gone(pids)
    assert time.monotonic() - start < GENEROUS_SECONDS


def test_a_function_that_ignores_signals_is_ended_all_the_same():
    def ignore(x):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if x:
            time.sleep(600)
        return os.getpid()

    pids = set()
    for pid in map_here(ignore, itertools.chain([0], itertools.repeat(1)), workers=1):
        pids.add(pid)
        break
    assert all_gone(pids)


def test_a_function_that_prints_reads_and_changes_folder(capfd):
    def meddle(x):
        print("printed by the function")
        os.write(1, b"written by the function\n")
        os.chdir("/")
        return sys.stdin.read(), os.getcwd(), x

    assert list(map_here(meddle, [1, 2], workers=1)) == [("", "/", 1), ("", "/", 2)]
    output = capfd.readouterr()
    assert output.out == ""
    assert output.err.count("printed by the function") == 2
    assert output.err.count("written by the function") == 2


ORPHANING_SCRIPT = """
import os, re, sys, time, itertools
import pando

def work(how):
    if how == "start":
        return os.getpid()
    if how == "sleep":
        time.sleep(600)
    if how == "regex":  # holds the interpreter's lock for ages
        re.match(r"(a|aa)+$", "a" * 100 + "b")

items = itertools.chain(["start"], itertools.repeat(sys.argv[1]))
for pid in pando.map(work, items, workers=1, serve=False):
    print(pid, flush=True)
"""


@pytest.mark.parametrize("how", ["start", "sleep", "regex"])
def test_workers_end_with_a_killed_root(tmp_path, how):
    path = tmp_path / "script.py"
    path.write_text(ORPHANING_SCRIPT)
    with subprocess.Popen(
        [sys.executable, str(path), how], stdout=subprocess.PIPE, text=True
    ) as script:
        pid = int(script.stdout.readline())
        time.sleep(0.3)
        assert is_alive(pid)
        script.kill()
        script.stdout.close()
    assert all_gone([pid])


def test_a_time_limit_ends_what_holds_the_interpreter_s_lock():
    def match(text):
        import re

        return bool(re.match(r"(a|aa)+$", text))

    items = ["aaa", "a" * 100 + "b", "b"]
    results = list(map_here(match, items, workers=1, timeout=0.5, return_exceptions=True))
    assert (results[0], results[2]) == (True, False)
    assert results[1].type == "TimeoutError"


def test_many_timeouts_in_a_row_lose_nothing():
    def wait(x):
        time.sleep(600 if x % 5 == 4 else 0)
        return x

    results = list(map_here(wait, range(20), workers=2, timeout=0.2, return_exceptions=True))
    assert [r for r in results if not isinstance(r, pando.ItemError)] == [
        x for x in range(20) if x % 5 != 4
    ]
    assert [r.index for r in results if isinstance(r, pando.ItemError)] == [4, 9, 14, 19]


async def test_workers_end_while_they_are_still_loading():
    class SlowToLoad:
        def __getstate__(self):
            return {"slow": True}

        def __setstate__(self, state):
            import time

            time.sleep(600)

    carried = SlowToLoad()
    start = time.monotonic()
    async with open_run_here(lambda x: carried, workers=2):
        await trio.sleep(0.3)
    assert time.monotonic() - start < GENEROUS_SECONDS
    assert wait_until(lambda: not children())


def children() -> list[int]:
    """This process's own children that are alive."""
    if not os.path.isdir("/proc"):
        return []
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                parent = file.read().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if int(parent) == os.getpid() and is_alive(int(name)):
            found.append(int(name))
    return found


# ---- what surrounds a worker ----


def test_a_worker_is_in_a_session_of_its_own():
    """So that no terminal stops it when it prints, or ends it when the user interrupts."""
    [(session, pid)] = map_here(lambda x: (os.getsid(0), os.getpid()), [0], workers=1)
    assert session == pid


PRINTS = """
import subprocess, pando
subprocess.run(["stty", "tostop"], check=True)

def work(x):
    print("printed", x, flush=True)
    try:
        with open("/dev/tty", "w") as terminal:
            print("asked", file=terminal, flush=True)
    except OSError:
        return "no terminal"

print(list(pando.map(work, [1, 2], workers=1, timeout=10, serve=False)))
"""


def test_a_worker_that_prints_is_not_stopped_by_the_terminal():
    """After ``stty tostop`` a terminal stops what writes to it in the background."""
    terminal = Terminal([sys.executable, "-c", PRINTS], environment=environment())
    terminal.wait_for("printed 1")
    terminal.wait_for("printed 2")
    assert terminal.end() == (0, b"['no terminal', 'no terminal']\n")


def test_sigterm_does_not_end_a_worker():
    def survive(x):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.05)
        return os.getpid()

    assert len(set(map_here(survive, range(3), workers=1))) == 1


def test_what_a_function_starts_can_be_terminated():
    def terminate(x):
        import multiprocessing
        import subprocess

        ended = []
        with subprocess.Popen(["sleep", "600"]) as program:
            program.terminate()
            ended.append(program.wait(10))
        for method in ("fork", "spawn"):
            context = multiprocessing.get_context(method)
            process = context.Process(target=time.sleep, args=(600,))
            process.start()
            time.sleep(0.2)
            process.terminate()
            process.join(10)
            ended.append(process.exitcode)
        return ended

    assert list(map_here(terminate, [0], workers=1)) == [[-signal.SIGTERM] * 3]


def test_the_last_line_that_a_dying_worker_wrote_stands_in_the_error(capfd):
    def die(x):
        print("something before")
        os.write(2, b"fatal: no more of this\n\n")
        os._exit(9)

    [error] = map_here(die, [0], workers=1, return_exceptions=True)
    assert error.reason.endswith(
        "the worker exited with status 9; the last line that it wrote: fatal: no more of this)"
    )
    assert capfd.readouterr().err.count("something before") == 3


class FailsExactly:
    """An object that is unpickled in one form of the function alone."""

    def __reduce_ex__(self, protocol):
        if protocol > 2:
            return int, ("no number",)
        return int, (3,)


def test_what_cannot_be_loaded_exactly_is_loaded_from_source():
    carried = FailsExactly()
    assert list(map_here(lambda x: x * carried, [1, 2], workers=2)) == [3, 6]


def test_what_cannot_be_pickled_is_made_from_source():
    class OnlyOld:
        def __reduce_ex__(self, protocol):
            if protocol > 2:
                raise TypeError("not in this protocol")
            return int, (3,)

    carried = OnlyOld()
    assert list(map_here(lambda x: x * carried, [1, 2], workers=1)) == [3, 6]


def test_much_output_of_a_worker_is_all_passed_on(capfd):
    def write(x):
        sys.stdout.write("x" * 200_000 + "\n")
        sys.stdout.flush()
        return x

    assert list(map_here(write, range(5), workers=1)) == list(range(5))
    assert capfd.readouterr().err.count("x") == 1_000_000


FEW_FILES = """\
import resource, sys
import pando
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[1])))
try:
    print(list(pando.map(abs, [-1, -2], workers=2, serve=False)))
except pando.PandoError as error:
    print(f"{type(error).__name__}: {error}")
"""


@pytest.mark.parametrize("files", [10, 14, 16, 20, 24, 28])
def test_few_file_descriptors_are_one_sentence(tmp_path, files):
    script = tmp_path / "script.py"
    script.write_text(FEW_FILES)
    done = subprocess.run(
        [sys.executable, str(script), str(files)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    sentence = "workers cannot be started: Too many open files"
    assert (done.stdout, done.stderr) in (
        ("[1, 2]\n", ""),
        ("[1, 2]\n", f"pando: {sentence}; trying again\n"),  # one worker has been started
        (f"WorkerShortageError: {sentence}\n", ""),
    )
