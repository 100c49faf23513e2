"""Helpers of the tests that start real processes."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import pando

GENEROUS_SECONDS = 20.0
"""Nothing here should take so long, however busy the machine is."""
BOOT = "import sys; from pando.cli.main import main; sys.exit(main())"
COMMAND = [sys.executable, "-c", BOOT, "--no-serve"]
"""The `pando` command of a run on this machine alone, with no port opened."""
map_here = functools.partial(pando.map, serve=False)
open_run_here = functools.partial(pando.open_run, serve=False)


class HasFileno(Protocol):
    """A file, or a socket."""

    def fileno(self) -> int: ...


def run_command(
    *arguments: str | Path, stdin: bytes | int | HasFileno = b"", home: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the `pando` command to its end, on this machine alone.

    Args:
        arguments: those of the command.
        stdin: what comes from a pipe, or a file that is standard input.
        home: the user's home; by default one that is not there.
    """
    source = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        **source,
        capture_output=True,
        timeout=60,
        check=False,
        env=environment(home),
    )


def environment(home: Path | None = None) -> dict[str, str]:
    """The environment of a command whose user's home is this folder; by default an empty one."""
    return {**os.environ, "HOME": str(home or "/nonexistent")}


def run_script(path: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run a plain Python script to its end."""
    path.write_text(text)
    return subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=60, check=False
    )


def is_alive(pid: int) -> bool:
    """Whether a process is there and is not just waiting to be reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # gone meanwhile
        return not Path("/proc").is_dir()
    return state not in "ZX"


def wait_until(condition: Callable[[], bool], seconds: float = GENEROUS_SECONDS) -> bool:
    """Whether a condition comes true within a generous time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def all_gone(pids: Iterable[int]) -> bool:
    """Whether all these processes end within a generous time."""
    pids = list(pids)
    return wait_until(lambda: not any(map(is_alive, pids)))
