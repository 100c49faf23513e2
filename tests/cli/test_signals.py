"""Signals: the state machine, and real commands that receive them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pando.cli.main import main
from pando.cli.signals import HANDLED, SAME_SECONDS, Signals, SignalState, Step

from ..processes import (
    BOOT,
    COMMAND,
    GENEROUS_SECONDS,
    all_gone,
    environment,
    is_alive,
    wait_until,
)
from ..roots import SQUARE, VOLUNTEER, Party, children_of

WAIT = """\
import os, time

def pando(x):
    if x:
        time.sleep(600)
    return os.getpid()
"""
STUBBORN = WAIT.replace("time.sleep(600)", "__import__('re').match(r'(a|aa)+$', 'a' * 100 + 'b')")
WITH_A_PROGRAM = WAIT.replace("time.sleep(600)", "os.system('sleep 600')")
NAMES = [number.name for number in HANDLED]


# ---- the state machine ----


@given(
    st.lists(
        st.tuples(st.sampled_from(HANDLED), st.floats(0, 10, allow_nan=False)),
        min_size=1,
    )
)
def test_the_first_signal_ends_in_order_and_a_later_one_at_once(signals):
    state, now, first = SignalState(), 100.0, 0.0
    for place, (number, pause) in enumerate(signals):
        now += pause
        step = state.receive(number, now)
        if place == 0:
            assert step is Step.END_IN_ORDER
            first = now
        else:
            assert step is (Step.END_AT_ONCE if now - first >= SAME_SECONDS else Step.NOTHING)
    assert state.received == signals[0][0]


# ---- the handlers ----


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in HANDLED]
    with Signals() as signals:
        assert {signal.getsignal(number) for number in HANDLED} == {signal.SIG_DFL}
        with signals.raising_interrupt():
            assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
        with signals.ending_with(lambda: None):
            assert signal.SIG_DFL not in map(signal.getsignal, HANDLED)
            assert signal.getsignal(signal.SIGTSTP) != signal.SIG_DFL
        assert {signal.getsignal(number) for number in (*HANDLED, signal.SIGTSTP)} == {
            signal.SIG_DFL
        }
    assert [signal.getsignal(number) for number in HANDLED] == before


def test_the_first_one_is_told_to_end():
    ended = []
    with Signals() as signals, signals.ending_with(lambda: ended.append(signals.received)):
        assert signals.received is None
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # as `timeout` does
    assert ended == [signal.SIGTERM]


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals() as signals, signals.ending_with(lambda: pytest.fail("it was ignored")):
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_thread_of_another_program_may_run_a_command(capfd):
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(main(["-c", "x * x", "--local", "4"])))
    thread.start()
    thread.join()
    assert statuses == [0]
    assert capfd.readouterr() == ("16\n", "")
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


# ---- real commands ----


def start(path: Path, *options: str, **how: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, str(path), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        **how,  # type: ignore[call-overload]
    )


@pytest.mark.process
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("text", "option"),
    [(WAIT, "--workers=2"), (STUBBORN, "--workers=1"), (WAIT, "--local")],
    ids=["workers", "stubborn", "local"],
)
def test_a_signal_ends_the_command_by_that_signal(
    python_module: Callable[..., Path], text: str, option: str, name: str
) -> None:
    number = signal.Signals[name]
    with start(python_module(text), option, "0", "1", "1", "1") as command:
        pid = int(command.stdout.readline())
        time.sleep(0.1)
        command.send_signal(number)
        _, errors = command.communicate(timeout=GENEROUS_SECONDS)
    assert (command.returncode, errors) == (-number, b"")
    assert all_gone([pid])


@pytest.mark.process
def test_shells_see_the_status_that_they_know(python_module: Callable[..., Path]) -> None:
    path = python_module(WAIT)
    shell = '"$@" & pid=$!; sleep 1.5; kill -TERM $pid; wait $pid; echo $?'
    done = subprocess.run(
        ["sh", "-c", shell, "sh", *COMMAND, str(path), "1"],
        capture_output=True,
        timeout=60,
        check=False,
        env=environment(),
    )
    assert done.stdout == b"143\n"


def unshared() -> list[str]:
    """How to run a program as process 1 of a container; empty where that is not possible."""
    prefix = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    for start in (prefix, ["unshare", "--pid", "--fork", "--mount-proc"]):
        try:
            if subprocess.run([*start, "true"], capture_output=True, check=False).returncode == 0:
                return start
        except OSError:
            return []
    return []


@pytest.mark.process
@pytest.mark.parametrize("when", ["at the start", "running", "local"])
def test_process_1_of_a_container_exits_with_128_and_the_number(
    python_module: Callable[..., Path], when: str
) -> None:
    prefix = unshared()
    if not prefix:
        pytest.skip("this needs unshare(1), and the right to use it")
    text = WAIT if when != "at the start" else "import time\nprint(1, flush=True)\ntime.sleep(600)"
    option = "--local" if when == "local" else "--workers=1"
    with subprocess.Popen(
        [*prefix, *COMMAND, str(python_module(text)), option, "0", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as outside:
        said = outside.stderr if when == "at the start" else outside.stdout
        assert said.readline().strip() == b"1" or when == "running"
        [inside] = children_of(outside.pid)
        os.kill(inside, signal.SIGTERM)
        _, errors = outside.communicate(timeout=GENEROUS_SECONDS)
    assert (outside.returncode, errors) == (128 + signal.SIGTERM, b"")


@pytest.mark.process
def test_what_the_function_has_started_ends_too(python_module: Callable[..., Path]) -> None:
    for times in (1, 2):  # in order; at once
        with start(python_module(WITH_A_PROGRAM), "--workers=1", "0", "1") as command:
            worker = int(command.stdout.readline())
            assert wait_until(lambda: children_of(worker) != [])
            below = [pid for child in children_of(worker) for pid in [child, *children_of(child)]]
            command.send_signal(signal.SIGTERM)
            if times == 2:
                time.sleep(SAME_SECONDS + 0.02)
                command.send_signal(signal.SIGINT)
            command.communicate(timeout=GENEROUS_SECONDS)
        assert command.returncode in (-signal.SIGTERM, -signal.SIGINT)
        assert all_gone([worker, *below])


@pytest.mark.process
def test_a_second_signal_does_not_wait(python_module: Callable[..., Path]) -> None:
    """Here an exit function of the module holds up the end in order."""
    linger = "atexit.register(lambda: pid == os.getpid() and time.sleep(600))"
    text = f"import atexit, os, time\npid = os.getpid()\n{linger}\n{WAIT}"
    with start(python_module(text), "--workers=1", "0", "1") as command:
        worker = int(command.stdout.readline())
        command.send_signal(signal.SIGTERM)
        assert all_gone([worker])
        time.sleep(0.3)
        assert command.poll() is None
        command.send_signal(signal.SIGHUP)
        assert command.wait(GENEROUS_SECONDS) == -signal.SIGHUP


@pytest.mark.process
@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT"])
def test_nohup_and_background_jobs_go_on(python_module: Callable[..., Path], name: str) -> None:
    number = signal.Signals[name]
    text = "import time\n\ndef pando(x):\n    time.sleep(0.05)\n    return x\n"
    with start(
        python_module(text),
        "--workers=1",
        *map(str, range(20)),
        preexec_fn=lambda: signal.signal(number, signal.SIG_IGN),
    ) as command:
        assert command.stdout.readline() == b"0\n"
        command.send_signal(number)
        results, errors = command.communicate(timeout=GENEROUS_SECONDS)
    assert (command.returncode, errors) == (0, b"")
    assert results.split() == [b"%d" % n for n in range(1, 20)]


GUARDED = f"""\
import os, sys
from pando.cli.signals import Signals
with Signals():  # what comes before is Python's own start
    os.write(1, b".")
    for name in [n for n in sys.modules if n.startswith("pando")]:
        del sys.modules[name]  # so that all that is loaded at the start is loaded here
    exec({BOOT!r})
"""


@pytest.mark.process
@pytest.mark.parametrize("local", ["--local=true", "--local=false"])
def test_ctrl_c_shows_no_traceback_at_any_moment(
    python_module: Callable[..., Path], local: str
) -> None:
    path = python_module("import json, decimal, asyncio, time\n" + WAIT)
    for pause in [n * 0.03 for n in range(16)]:
        with subprocess.Popen(
            [sys.executable, "-c", GUARDED, str(path), "--no-serve", "--workers=1", local, "1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        ) as command:
            assert command.stdout.read(1) == b"."
            time.sleep(pause)
            command.send_signal(signal.SIGINT)
            _, errors = command.communicate(timeout=GENEROUS_SECONDS)
        assert (command.returncode, errors) == (-signal.SIGINT, b""), pause


IN_A_CALLBACK = """\
import time

class Slow:
    def __del__(self):
        print("in a callback", flush=True)
        time.sleep(600)

def pando(x):
    Slow()
    time.sleep(600)
"""


@pytest.mark.process
def test_ctrl_c_is_not_lost_in_a_callback(python_module: Callable[..., Path]) -> None:
    with start(python_module(IN_A_CALLBACK), "--local", "1") as command:
        assert command.stderr.readline().endswith(b"in a callback\n")
        command.send_signal(signal.SIGINT)
        _, errors = command.communicate(timeout=GENEROUS_SECONDS)
    assert (command.returncode, errors) == (-signal.SIGINT, b"")


# ---- volunteers ----


@pytest.mark.process
@pytest.mark.socket
@pytest.mark.parametrize("name", NAMES)
def test_volunteers_are_told_at_once(tmp_path: Path, name: str) -> None:
    number = signal.Signals[name]
    with Party(tmp_path) as party:
        root = party.root("--start-idle", items=10_000, seconds=0.05)
        volunteer = party.volunteer(root, "patient")
        assert wait_until(lambda: root.lines() > 2)
        workers = children_of(volunteer.pid)
        root.process.send_signal(number)
        assert root.process.wait(GENEROUS_SECONDS) == -number
        assert all_gone(workers), "its workers belong to the run"
        assert wait_until(lambda: "the run has ended" in party.said("patient"))
        assert "trying again" not in party.said("patient").partition("the run has ended")[0]
        assert is_alive(volunteer.pid)


@pytest.mark.process
@pytest.mark.socket
@pytest.mark.parametrize("name", NAMES)
def test_a_volunteer_delivers_first(tmp_path: Path, name: str) -> None:
    number = signal.Signals[name]
    with Party(tmp_path) as party:
        root = party.root("--start-idle", items=300, seconds=0.005)
        leaving = party.volunteer(root, "leaving")
        assert wait_until(lambda: root.lines() > 20)
        workers = children_of(leaving.pid)
        leaving.send_signal(number)
        expected = 0 if name == "SIGTERM" else -number  # SIGTERM is how it is asked to leave
        assert leaving.wait(GENEROUS_SECONDS) == expected
        assert all_gone(workers)
        party.volunteer(root, "staying")
        root.finish()


@pytest.mark.process
@pytest.mark.socket
def test_a_second_ctrl_c_at_a_volunteer_does_not_wait(tmp_path: Path) -> None:
    with Party(tmp_path) as party:
        root = party.root("--start-idle", items=2, module=SQUARE.format(seconds=600))
        volunteer = party.volunteer(root, "stuck")
        assert wait_until(lambda: "computing" in party.said("stuck"))
        assert wait_until(lambda: children_of(volunteer.pid) != [])
        workers = children_of(volunteer.pid)
        volunteer.send_signal(signal.SIGINT)
        time.sleep(SAME_SECONDS + 0.02)
        volunteer.send_signal(signal.SIGTERM)
        assert volunteer.wait(GENEROUS_SECONDS) in (-signal.SIGTERM, -signal.SIGINT)
        assert all_gone(workers)


@pytest.mark.process
def test_ctrl_c_while_a_volunteer_looks_for_its_root() -> None:
    with subprocess.Popen(
        [*VOLUNTEER, "http://localhost:1/"], stderr=subprocess.PIPE, env=environment()
    ) as volunteer:
        assert b"trying again" in volunteer.stderr.readline()
        volunteer.send_signal(signal.SIGINT)
        _, errors = volunteer.communicate(timeout=GENEROUS_SECONDS)
    assert volunteer.returncode == -signal.SIGINT
    assert b"Traceback" not in errors
