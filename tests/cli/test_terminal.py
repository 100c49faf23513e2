"""The status line on real terminals."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from pando.cli.live_line import LiveLine
from pando.cli.progress import Progress

from ..processes import BOOT, COMMAND, all_gone, environment, run_command
from ..roots import SQUARE, VOLUNTEER, Party, free_port
from ..terminals import LINES, Terminal

pytestmark = pytest.mark.process

SLOW = "import time\n\ndef pando(x):\n    time.sleep(0.1)\n    return x\n"
PRINTS = """\
import os, sys, time

def pando(x):
    print("printed", x)
    os.system(f"echo said {x}")
    time.sleep(0.1)
    return x
"""
LINE = re.compile(r"\d+( of \d+)? done · [\d.]+/s · 1 worker")


def has_line(terminal: Terminal) -> bool:
    """Whether the last row shows the live line."""
    return LINE.match(terminal.last_row) is not None


def test_progress_is_shown_on_a_terminal_only(python_module):
    path = str(python_module(SLOW))
    items = [str(n) for n in range(10)]
    results = "".join(f"{n}\n" for n in items).encode()

    command = Terminal.of_pando([path, "--workers=1", *items])
    command.wait_until(lambda: has_line(command))
    assert command.end() == (0, results)
    written = command.written.decode()
    assert " of 10 done" in written.replace("\x1b[1m", "").replace("\x1b[m", "")
    assert "left" in written
    assert command.rows == []  # it leaves nothing on the screen

    command = Terminal.of_pando([path, "--workers=1", "--quiet", *items])
    assert command.end() == (0, results)
    assert command.written == b""

    done = run_command(path, "--workers=2", *items[:3])
    assert (done.stdout, done.stderr) == (b"0\n1\n2\n", b"")


def test_it_survives_results_and_what_the_function_prints(python_module):
    path = str(python_module(PRINTS))
    items = [str(n) for n in range(40)]
    command = Terminal.of_pando([path, "--workers=1", *items], shows_results=True)
    for _ in range(3):
        time.sleep(0.5)
        command.wait_until(lambda: has_line(command))
        assert sum(" done ·" in row for row in command.rows) == 1
    assert command.end() == (0, b"")
    rows = command.rows
    for what in ("", "printed ", "said "):
        assert [row for row in rows if row.startswith(what) and row[len(what) :].isdecimal()] == [
            f"{what}{n}" for n in items
        ]
    assert len(rows) == 3 * len(items)


def test_it_survives_what_a_program_prints_that_results_are_piped_to(python_module):
    path = str(python_module(SLOW))
    items = [str(n) for n in range(30)]
    pipe = '"$@" | tee /dev/null'
    command = Terminal(
        ["sh", "-c", pipe, "sh", *COMMAND, path, "--workers=1", *items],
        shows_results=True,
        environment=environment(),
    )
    command.wait_until(lambda: has_line(command))
    command.wait_until(lambda: "25" in command.rows and has_line(command))
    assert command.end() == (0, b"")
    assert command.rows == items


def test_it_survives_typed_input(python_module):
    command = Terminal.of_pando(
        [str(python_module(SLOW)), "--workers=1", "--stdin"], shows_results=True
    )
    command.wait_until(lambda: has_line(command))
    command.type(b"one\n")
    command.wait_until(lambda: command.rows[:2] == ["one", "one"])
    command.type(b"two")
    command.wait_until(lambda: command.rows[2:3] == ["two"] and has_line(command))
    command.type(b"\n\x04")
    assert command.end() == (0, b"")
    assert command.rows == ["one", "one", "two", "two"]


PAGER = """\
import os, sys, termios, time
terminal = os.open("/dev/tty", os.O_RDWR)
before = termios.tcgetattr(terminal)
modes = termios.tcgetattr(terminal)
modes[3] &= ~(termios.ICANON | termios.ECHO)
termios.tcsetattr(terminal, termios.TCSADRAIN, modes)
text = sys.stdin.buffer.read()
os.write(terminal, b"\\x1b[H" + text.replace(b"\\n", b"\\r\\n") + b"read")
os.read(terminal, 1)
termios.tcsetattr(terminal, termios.TCSADRAIN, before)
"""


def test_it_leaves_the_screen_to_a_pager(python_module, tmp_path):
    """A pager takes the keys one by one, as `less` does, which is not everywhere."""
    (tmp_path / "pager.py").write_text(PAGER)
    pipe = f'"$@" | {sys.executable} {tmp_path / "pager.py"}'
    path = str(python_module(SLOW))
    command = Terminal(
        ["sh", "-c", pipe, "sh", *COMMAND, path, "--workers=1", *map(str, range(10))],
        shows_results=True,
        environment=environment(),
    )
    command.wait_for("read")
    assert b" done" not in command.written
    command.type(b"q")
    assert command.end()[0] == 0


def test_ctrl_z_gives_the_terminal_back(python_module):
    """As in a shell with job control."""
    path = str(python_module(SLOW))
    program = " ".join(map(repr, [*COMMAND, path, "--workers=1", *map(str, range(30))]))
    script = f"set -m; {program}; echo stopped $? >&2; read; fg >&2; echo ended $? >&2"
    command = Terminal(["bash", "-c", script], environment=environment())
    command.wait_until(lambda: has_line(command))
    assert command.written.count(b"\x1b[r") == 0
    command.type(b"\x1a")
    command.wait_until(lambda: "stopped 148" in command.rows)
    assert command.written.count(b"\x1b[r") == 1  # all rows scroll again
    assert not command.last_row
    command.type(b"\n")
    command.wait_until(lambda: has_line(command))
    status, results = command.end()
    assert (status, results.split()) == (0, [b"%d" % n for n in range(30)])
    assert "ended 0" in command.rows


def test_ctrl_c_leaves_nothing_on_the_screen(python_module):
    command = Terminal.of_pando([str(python_module(SLOW)), "--workers=1", *map(str, range(100))])
    command.wait_until(lambda: has_line(command))
    command.type(b"\x03")
    status, _ = command.end()
    assert status == -signal.SIGINT
    assert command.rows in ([], ["^C"])


def test_a_small_dumb_or_unknown_terminal_has_no_line(monkeypatch):
    ours, theirs = os.openpty()
    try:
        monkeypatch.setenv("TERM", "xterm")
        assert not LiveLine(theirs).is_possible  # its size is unknown
        os.set_blocking(ours, False)
        LiveLine(theirs).draw("nothing")
        with pytest.raises(BlockingIOError):
            os.read(ours, 100)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, 80, 0, 0))
        assert LiveLine(theirs).is_possible
        monkeypatch.setenv("TERM", "dumb")
        assert not LiveLine(theirs).is_possible
    finally:
        os.close(ours)
        os.close(theirs)


def test_what_the_line_says():
    plain = re.compile(r"\x1b\[\d*m")
    workers = 0
    progress = Progress(shown=False, total=12, workers=lambda: workers, waits_for_volunteers=True)
    assert plain.sub("", progress.text()) == "0 of 12 done · waiting for volunteers"
    workers = 3
    progress.count(5, 1)
    assert re.fullmatch(
        r"5 of 12 done · 1 failed · [\d,.e+]+/s · 3 workers · 0:00 left",
        plain.sub("", progress.text()),
    )
    progress = Progress(shown=False, total=None, workers=lambda: 0)
    assert plain.sub("", progress.text()) == "0 done · 0/s · 0 workers"


def test_it_says_that_nothing_has_come_back_yet(monkeypatch):
    """As of a module that never calls back."""
    plain = re.compile(r"\x1b\[\d*m")
    now, lent = 1000.0, 0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    progress = Progress(shown=False, total=3, workers=lambda: 1, in_flight=lambda: lent)

    def said():
        return plain.sub("", progress.text())

    now += 60  # the input has not given anything
    assert said() == "0 of 3 done · 0/s · 1 worker"
    lent = 3
    assert said() == "0 of 3 done · 0/s · 1 worker"
    now += 65
    assert said() == "0 of 3 done · nothing has come back yet, for 1:05 · 1 worker"
    progress.count(1, 0)
    assert "nothing" not in said()


@pytest.mark.socket
def test_a_root_that_computes_nothing_itself_waits_for_volunteers(python_module, tmp_path):
    path = str(python_module(SQUARE.format(seconds=0.01)))
    port = free_port()
    command = Terminal(
        [sys.executable, "-c", BOOT, path, "--start-idle", f"--port={port}", "7"],
        environment=environment(),
    )
    command.wait_until(lambda: command.last_row == "0 of 1 done · waiting for volunteers")
    with Party(tmp_path) as party:
        link = f"http://localhost:{port}/"
        party.processes.append(
            subprocess.Popen([*VOLUNTEER, link, "--once"], stderr=subprocess.DEVNULL)
        )
        assert command.end() == (0, b"49\n")


@pytest.mark.socket
@pytest.mark.parametrize(("seconds", "shown"), [(0.01, False), (2.5, True)])
def test_the_code_appears_where_a_run_lasts(python_module, seconds, shown):
    path = str(python_module(SQUARE.format(seconds=seconds)))
    command = Terminal(
        [sys.executable, "-c", BOOT, path, f"--port={free_port()}", "7"],
        environment=environment(),
    )
    assert command.end() == (0, b"49\n")
    assert "volunteers join at" in command.written.decode()
    assert ("█" in command.written.decode()) is shown


@pytest.mark.socket
def test_a_volunteer_s_line_counts_what_it_delivers(tmp_path: Path) -> None:
    with Party(tmp_path) as party:
        root = party.root("--start-idle", items=2000, seconds=0.005)
        terminal = Terminal(
            [*VOLUNTEER, root.link, "--workers=1", "--name=seen"], environment=environment()
        )
        computing = re.compile(r"computing module · [1-9][\d,]* results? delivered")
        terminal.wait_until(lambda: computing.match(terminal.last_row) is not None)
        terminal.type(b"\x03")
        status, _ = terminal.end()
        assert status == -signal.SIGINT
        assert "results delivered" not in terminal.last_row
        assert all_gone([terminal.pid])
