"""`pando-volunteer`: reading its link, giving up, leaving, and its exit status."""

from __future__ import annotations

import random
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..processes import GENEROUS_SECONDS, all_gone, environment, wait_until
from ..roots import VOLUNTEER, Party, children_of, free_port

pytestmark = [pytest.mark.process, pytest.mark.socket]

LEAVE_SECONDS = 2.0
"""A volunteer takes no longer to leave, whatever it is doing."""
TEMPORARY_FAILURE = 75


@pytest.fixture
def party(tmp_path: Path) -> Iterator[Party]:
    with Party(tmp_path) as party:
        yield party


def start(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*VOLUNTEER, *arguments],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment(), **variables},
    )


# ---- the link ----


def test_the_link_as_a_line_of_standard_input(party: Party) -> None:
    root = party.root("--start-idle", items=50)
    with start("-", "--once", "--workers=1") as volunteer:
        _, errors = volunteer.communicate(f"{root.link}\nnot a link\n", timeout=GENEROUS_SECONDS)
    root.finish()
    assert volunteer.returncode == 0
    assert "left; this device has delivered 50 results\n" in errors


def test_the_link_in_a_file(party: Party, tmp_path: Path) -> None:
    root = party.root("--start-idle", items=50)
    file = tmp_path / "link"
    file.write_text(f"\ufeff{root.link}\n")
    with start(f"--link-file={file}", "--once", "--workers=1") as volunteer:
        volunteer.communicate(timeout=GENEROUS_SECONDS)
    root.finish()
    assert volunteer.returncode == 0


def test_the_link_in_the_environment(party: Party) -> None:
    root = party.root("--start-idle", items=1)
    with start("--once", "--workers=1", PANDO_LINK=root.link) as volunteer:
        _, errors = volunteer.communicate(timeout=GENEROUS_SECONDS)
    root.finish()
    assert volunteer.returncode == 0
    assert "delivered 1 result\n" in errors


@pytest.mark.parametrize(
    ("arguments", "standard_input", "sentence"),
    [
        (["-"], "", "standard input has no link in its first line"),
        (["-"], "\nhttp://localhost:1/\n", "standard input has no link in its first line"),
        (["-"], "x" * 9000, "a link has at most 4,096 characters, not 4,097"),
        (["--link-file=/nonexistent/link"], "", "/nonexistent/link cannot be read: No such file"),
        (["--link-file=/dev/null"], "", "/dev/null has no link in its first line"),
        (["--link-file=x", "http://localhost:1/"], "", "more than one link"),
        ([], "", "pass the link of a run"),
        (["http://localhost:1/", "--give-up-after=-1"], "", "give_up_after must be a number"),
        (["http://localhost:1/", "--give-up-after=nan"], "", "give_up_after must be a number"),
        (["http://localhost:1/", "--max-value=1X"], "", "argument --max-value: expected a number"),
        (["http://localhost:1/", "--max-value=1M"], "", "max_value must be from 67,108,864 to"),
        (["http://localhost:1/", "--max-value=2G"], "", "max_value must be from 67,108,864 to"),
        (["https://localhost:1/", "--cafile=/nonexistent"], "", "/nonexistent holds no cert"),
    ],
)
def test_a_link_that_cannot_be_had_is_one_sentence(
    arguments: list[str], standard_input: str, sentence: str
) -> None:
    with start(*arguments) as volunteer:
        _, errors = volunteer.communicate(standard_input, timeout=GENEROUS_SECONDS)
    assert volunteer.returncode == 2
    assert errors.startswith(f"pando-volunteer: {sentence}")
    assert errors.count("\n") == 1


# ---- giving up ----


def test_it_gives_up_where_no_root_answers() -> None:
    with start(f"http://localhost:{free_port()}/", "--give-up-after=0.5") as volunteer:
        _, errors = volunteer.communicate(timeout=GENEROUS_SECONDS)
    assert volunteer.returncode == TEMPORARY_FAILURE
    said = r"gave up after 0\.5 s without a run to join \(last: localhost:\d+ cannot be reached: "
    assert re.search(said + r"Connection refused\)$", errors, re.MULTILINE), errors
    assert "delivered" not in errors


def test_it_gives_up_where_a_root_does_not_come_back(party: Party) -> None:
    root = party.root("--start-idle", items=100)
    with start(root.link, "--workers=1", "--give-up-after=3") as volunteer:
        _, errors = volunteer.communicate(timeout=GENEROUS_SECONDS)
    root.finish()
    assert volunteer.returncode == TEMPORARY_FAILURE
    assert "delivered 100 results" in errors


def test_a_run_that_takes_longer_is_no_reason_to_give_up(party: Party) -> None:
    root = party.root("--start-idle", items=40, seconds=0.1)
    with start(root.link, "--workers=1", "--give-up-after=2", "--once") as volunteer:
        volunteer.communicate(timeout=GENEROUS_SECONDS)
    root.finish()
    assert volunteer.returncode == 0


# ---- leaving ----


def leave(volunteer: subprocess.Popen[bytes] | subprocess.Popen[str], number: int) -> int:
    began = time.monotonic()
    volunteer.send_signal(number)
    status = volunteer.wait(GENEROUS_SECONDS)
    assert time.monotonic() - began < LEAVE_SECONDS + 1, "the machine may be busy, but not so much"
    return status


STATUS = {signal.SIGTERM: 0, signal.SIGINT: -signal.SIGINT}
"""What each signal ends a volunteer with."""


@pytest.mark.parametrize("number", STATUS)
def test_leaving_while_it_computes(party: Party, number: int) -> None:
    root = party.root("--start-idle", items=300, seconds=0.01)
    volunteer = party.volunteer(root, "leaving")
    assert wait_until(lambda: root.lines() > 20)
    workers = children_of(volunteer.pid)
    assert workers
    assert leave(volunteer, number) == STATUS[signal.Signals(number)]
    assert "this device has delivered " in party.said("leaving")
    assert all_gone(workers)
    party.volunteer(root, "staying")
    root.finish()


@pytest.mark.parametrize("number", STATUS)
def test_leaving_while_a_long_item_runs(party: Party, number: int) -> None:
    root = party.root("--start-idle", items=2, seconds=3)
    volunteer = party.volunteer(root, "leaving")
    assert wait_until(lambda: root.counter("joined") == 1)
    assert leave(volunteer, number) == STATUS[signal.Signals(number)]
    party.volunteer(root, "staying", "--workers=2")
    root.finish()


@pytest.mark.parametrize("number", STATUS)
def test_leaving_below_another_volunteer(party: Party, number: int) -> None:
    root = party.root("--start-idle", "--degree=1", items=300, seconds=0.01, hold=True)
    upper = party.volunteer(root, "upper")
    assert wait_until(lambda: root.counter("joined") == 1)
    lower = party.volunteer(root, "lower")
    assert wait_until(lambda: "computing" in party.said("lower"))
    assert wait_until(lambda: len(root.volunteers()) == 2)
    assert leave(lower, number) == STATUS[signal.Signals(number)]
    assert leave(upper, number) == STATUS[signal.Signals(number)]
    root.release()
    party.volunteer(root, "staying")
    root.finish()


@pytest.mark.parametrize("number", STATUS)
def test_leaving_while_no_root_answers(number: int) -> None:
    volunteer = start(f"http://localhost:{free_port()}/")
    with volunteer:
        assert volunteer.stderr
        assert "trying again" in volunteer.stderr.readline()
        assert leave(volunteer, number) == STATUS[signal.Signals(number)]


@pytest.mark.parametrize("number", STATUS)
def test_leaving_while_a_silent_root_is_waited_for(number: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        volunteer = start(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        with volunteer:
            connection, _ = listener.accept()
            assert connection.recv(1000)
            assert leave(volunteer, number) == STATUS[signal.Signals(number)]
            connection.close()


@pytest.mark.parametrize("number", STATUS)
def test_leaving_while_the_module_loads(party: Party, number: int) -> None:
    module = (
        'import os, time\nif "PANDO_SERVE" in os.environ: time.sleep(60)\ndef pando(x): return x\n'
    )
    root = party.root("--start-idle", items=1, module=module)
    volunteer = party.volunteer(root, "loading")
    assert wait_until(lambda: bool(children_of(volunteer.pid)))
    assert leave(volunteer, number) == STATUS[signal.Signals(number)]


@pytest.mark.parametrize("number", STATUS)
def test_no_signal_is_lost_at_the_start(number: int) -> None:
    """At any moment from the first one, a signal ends it; none is swallowed."""
    rng = random.Random(number)
    for _ in range(12):
        volunteer = start(f"http://localhost:{free_port()}/")
        with volunteer:
            time.sleep(rng.uniform(0, 0.8))
            status = leave(volunteer, number)
            assert volunteer.stderr
            said = volunteer.stderr.read()
            # Before Python runs any of our code, it does itself what a signal asks for.
            is_python_starting = "site" in said and "Traceback" in said
            assert status in (STATUS[signal.Signals(number)], -number) or is_python_starting, said


def test_standard_input_that_ends(party: Party) -> None:
    root = party.root("--start-idle", items=300, seconds=0.01)
    volunteer = start("-", "--leave-with-stdin", "--workers=1")
    with volunteer:
        assert volunteer.stdin
        volunteer.stdin.write(f"{root.link}\nmore\n")
        volunteer.stdin.flush()
        assert wait_until(lambda: root.lines() > 20)
        volunteer.stdin.close()
        assert volunteer.wait(GENEROUS_SECONDS) == 0
    party.volunteer(root, "staying")
    root.finish()


def test_what_ps_shows_is_not_the_link(party: Party) -> None:
    root = party.root("--start-idle", items=300, seconds=0.01)
    volunteer = start("-", "--workers=1")
    with volunteer:
        assert volunteer.stdin
        secret = root.printed_link.partition("#")[2]
        volunteer.stdin.write(f"{root.printed_link}\n")
        volunteer.stdin.close()
        assert wait_until(lambda: root.lines() > 5)
        for pid in (volunteer.pid, *children_of(volunteer.pid)):
            assert secret.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert leave(volunteer, signal.SIGTERM) == 0
    party.volunteer(root, "staying")
    root.finish()
