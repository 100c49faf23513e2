"""Volunteers as real processes with real sockets, some of which are killed."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..processes import all_gone, environment, is_alive, wait_until
from ..roots import ROOT, SQUARE, VOLUNTEER, Party, children_of

pytestmark = [pytest.mark.process, pytest.mark.socket]


@pytest.fixture
def party(tmp_path: Path) -> Iterator[Party]:
    with Party(tmp_path) as party:
        yield party


def test_volunteers_compute_what_the_root_does_not(party: Party) -> None:
    root = party.root("--start-idle", items=300)
    volunteers = [party.volunteer(root, f"device {n}", "--once") for n in (1, 2)]
    root.finish()
    assert [volunteer.wait(20) for volunteer in volunteers] == [0, 0]
    assert "computing module" in party.said("device 1")


def test_the_middle_of_a_chain_is_killed(party: Party) -> None:
    root = party.root(
        "--start-idle",
        "--degree=1",
        "--reporting-interval=0.2",
        items=1500,
        seconds=0.01,
        hold=True,
    )
    chain = []
    for n in (1, 2, 3):
        chain.append(party.volunteer(root, f"device {n}"))
        assert wait_until(lambda: len(root.volunteers()) == len(chain)), root.monitoring()
    assert root.monitoring()["root"]["childrenNb"] == 1
    inner = [v["deviceName"] for v in root.volunteers().values() if v["children"]]
    assert len(inner) == 2, "a chain has two inner nodes"
    root.release()
    volunteers = root.monitoring()["volunteers"]
    middle = next(v for v in volunteers.values() if v["children"] and v["parent"] in volunteers)
    before = root.lines()
    chain[int(middle["deviceName"][-1]) - 1].kill()
    assert wait_until(lambda: root.lines() > before + 100)
    root.finish()


def test_volunteers_are_killed_all_the_time(party: Party) -> None:
    root = party.root("--workers=1", "--degree=3", items=10_000, seconds=0.002)
    alive = [party.volunteer(root, f"device {n}") for n in range(8)]
    rng = random.Random(1)
    for n in range(24):
        time.sleep(0.25)
        victim = alive.pop(rng.randrange(len(alive)))
        victim.kill()
        alive.append(party.volunteer(root, f"replacement {n}"))
    root.finish()


def test_a_volunteer_that_is_stopped_is_lost_and_comes_back(party: Party) -> None:
    root = party.root("--workers=1", "--heartbeat=1500", items=8000, seconds=0.003)
    volunteer = party.volunteer(root, "sleeper")
    assert wait_until(lambda: root.counter("joined") == 1)
    volunteer.send_signal(signal.SIGSTOP)
    assert wait_until(lambda: root.counter("left") == 1)
    volunteer.send_signal(signal.SIGCONT)
    assert wait_until(lambda: root.counter("joined") == 2)
    root.finish()


def test_ctrl_c_at_a_volunteer_delivers_first(party: Party) -> None:
    root = party.root("--start-idle", items=400, seconds=0.005)
    leaving = party.volunteer(root, "leaving")
    assert wait_until(lambda: root.lines() > 20)
    leaving.send_signal(signal.SIGINT)
    assert leaving.wait(20) == -signal.SIGINT
    assert root.monitoring()["root"]["reassigned"] >= 0
    party.volunteer(root, "staying")
    root.finish()


def test_ctrl_c_at_the_root_sends_volunteers_back_to_waiting(party: Party) -> None:
    root = party.root("--start-idle", items=10_000, seconds=0.05)
    volunteer = party.volunteer(root, "patient")
    assert wait_until(lambda: root.lines() > 5)
    workers = children_of(volunteer.pid)
    assert workers
    root.process.send_signal(signal.SIGINT)
    assert root.process.wait(20) == -signal.SIGINT
    assert all_gone(workers), "its workers belong to the run"
    assert wait_until(lambda: "waiting for the next one" in party.said("patient"))
    assert is_alive(volunteer.pid)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", root.port))


def test_what_is_missing_is_named_at_both_ends(party: Party) -> None:
    module = '# /// script\n# dependencies = ["no-such-package>=2"]\n# ///\n' + SQUARE.format(
        seconds=0
    )
    root = party.root("--start-idle", items=5, module=module)
    assert party.volunteer(root, "poor").wait(20) == 1
    assert "no-such-package>=2" in party.said("poor")
    assert wait_until(lambda: "poor cannot join" in root.errors.read_text())
    assert "no-such-package>=2" in root.errors.read_text()


def test_a_poison_item_fails_alone_and_no_volunteer_dies_for_ever(party: Party) -> None:
    module = "import os\ndef pando(x):\n    if x == 7: os._exit(9)\n    return x * x\n"
    root = party.root("--start-idle", "--on-error=null", items=40, module=module)
    for n in (1, 2):
        party.volunteer(root, f"device {n}")
    assert root.process.wait(60) == 1
    lines = root.output.read_text().split("\n")
    assert lines[7] == ""
    assert lines[:7] + lines[8:40] == [str(n * n) for n in range(40) if n != 7]
    assert "item 7 (7): WorkerLost" in root.errors.read_text()


def test_errors_name_the_device(party: Party) -> None:
    module = "def pando(x):\n    return 1 / (x - 3)\n"
    root = party.root("--start-idle", items=10, module=module)
    party.volunteer(root, "my old laptop")
    assert root.process.wait(60) == 1
    assert "ZeroDivisionError" in root.errors.read_text()
    assert "my old laptop" in root.errors.read_text()


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(SQUARE.format(seconds=0))
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        asked = subprocess.run(
            [*ROOT, "module.py", "1", f"--port={port}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=environment(),
        )
    assert asked.returncode == 2
    assert f"cannot listen on port {port}" in asked.stderr
    assert "Traceback" not in asked.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["ftp://x"],
        ["http://"],
        ["http://localhost:1/", "--workers=0"],
        ["http://localhost:1/", "--nmae=x"],
        ["http://localhost:1/", "http://localhost:2/"],
        [],
    ],
)
def test_wrong_use_is_one_sentence(arguments: list[str]) -> None:
    done = subprocess.run(
        [*VOLUNTEER, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("pando-volunteer: ")
    assert done.stderr.count("\n") == 1
