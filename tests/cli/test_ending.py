"""The end of the command if its files are closed, full, or read slowly."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time

import pytest

from ..processes import COMMAND, GENEROUS_SECONDS, environment
from ..roots import VOLUNTEER
from .modules import ECHO, errors_of

pytestmark = pytest.mark.process


@pytest.mark.parametrize("option", ["--workers=2", "--local"])
def test_a_closed_output_ends_it_quietly(python_module, option):
    with subprocess.Popen(
        [*COMMAND, str(python_module(ECHO)), "--stdin", option],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as command:
        command.stdin.write(b"1\n2\n")
        command.stdin.flush()
        assert command.stdout.readline() == b"1\n"
        command.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            while command.poll() is None:
                command.stdin.write(b"3\n" * 1000)
        assert command.wait(GENEROUS_SECONDS) == 0
        assert command.stderr.read() == b""
        with contextlib.suppress(BrokenPipeError):
            command.stdin.close()


def test_an_output_that_takes_no_more_is_told(python_module):
    with open("/dev/full", "wb") as full:
        for option in ("--workers=1", "--local"):
            done = subprocess.run(
                [*COMMAND, str(python_module(ECHO)), option, "1"],
                stdout=full,
                stderr=subprocess.PIPE,
                env=environment(),
                check=False,
            )
            assert done.returncode == 1
            assert errors_of(done) == (
                "pando: the results cannot be written: No space left on device\n"
            )


def test_closed_standard_files(python_module):
    def run(arguments: list[str], closed: int) -> subprocess.CompletedProcess[bytes]:
        shell = f'exec "$@" {closed}>&-'
        return subprocess.run(
            ["sh", "-c", shell, "sh", *COMMAND, str(python_module(ECHO)), *arguments],
            capture_output=True,
            env=environment(),
            check=False,
        )

    for option in ("--workers=1", "--local"):
        done = run(["--stdin", option], closed=0)
        assert (done.returncode, errors_of(done)) == (2, "pando: standard input is closed\n")
    done = run(["1"], closed=1)
    assert (done.returncode, errors_of(done)) == (2, "pando: standard output is closed\n")
    done = run(["1"], closed=2)
    assert (done.returncode, done.stdout) == (0, b"1\n")


def test_memory_is_flat_with_a_slow_reader(python_module):
    """A reader that has stopped stops the reading of items, too."""
    with subprocess.Popen(
        [*COMMAND, str(python_module(ECHO)), "--stdin", "--workers=1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
    ) as command:
        os.set_blocking(command.stdin.fileno(), False)
        lines = b"0123456789\n" * 5000
        written = 0
        idle_since = time.monotonic()
        while time.monotonic() - idle_since < 1.0:
            try:
                written += os.write(command.stdin.fileno(), lines)
                idle_since = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
            assert written < 20_000_000
        command.kill()
        command.stdout.close()


@pytest.mark.parametrize("option", ["--workers=1", "--local"])
@pytest.mark.parametrize("errors", ["2>/dev/full", "2>&-"])
def test_results_come_without_standard_error(python_module, option, errors):
    command = [*COMMAND, str(python_module("def pando(x):\n    return 6 // x\n")), option]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {errors}', "sh", *command, "--on-error=null", "1", "0", "2"],
        capture_output=True,
        env=environment(),
        check=False,
    )
    # Where it could not write what was left, Python itself changes the status.
    assert (done.returncode, done.stdout) in ((1, b"6\n\n3\n"), (120, b"6\n\n3\n"))


@pytest.mark.parametrize("errors", ["2>/dev/full", "2>&-"])
def test_a_volunteer_without_standard_error(errors):
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {errors}', "sh", *VOLUNTEER, "ftp://x"],
        capture_output=True,
        env=environment(),
        check=False,
    )
    assert (done.returncode, done.stdout) in ((2, b""), (120, b""))
