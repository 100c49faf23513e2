"""The whole command against others of its kind: lines in, lines out."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from functions import square
from workloads import WORKERS

HERE = Path(__file__).resolve().parent
LINES = str(HERE / "lines.py")
EXAMPLE = str(HERE.parent / "examples" / "square.py")
LINES_PER_PROCESS = 10_000
"""How many lines `xargs` gives to one process, which is about the most that fits."""


class CommandError(Exception):
    """A command failed, or printed something else than squares."""


@dataclass(frozen=True)
class LineCommand:
    """A command that squares lines.

    Attributes:
        name: what it is called in the table.
        arguments: the command line.
        per_line: whether it starts a process for each line, and so is given few.
    """

    name: str
    arguments: list[str]
    per_line: bool = False


def find_pando() -> list[str] | None:
    """The `pando` command that belongs to this Python, else one on the path."""
    beside = Path(sys.executable).with_name("pando")
    found = str(beside) if beside.exists() else shutil.which("pando")
    return [found] if found else None


def list_commands() -> tuple[list[LineCommand], list[str]]:
    """The commands that there are here, the plain loop first, and the names of missing ones."""
    loop = [sys.executable, LINES]
    workers = str(WORKERS)
    commands = [LineCommand("plain loop over stdin", loop)]
    missing = []
    if pando := find_pando():
        arguments = [*pando, EXAMPLE, "--stdin", "--workers", workers]
        commands.append(LineCommand("pando --stdin", arguments))
    else:
        missing.append("pando")
    if shutil.which("xargs"):
        xargs = ["xargs", "-P", workers, "-n"]
        commands += [
            LineCommand(
                f"xargs -n {LINES_PER_PROCESS} (unordered)", [*xargs, str(LINES_PER_PROCESS), *loop]
            ),
            LineCommand("xargs -n 1 (unordered)", [*xargs, "1", *loop], per_line=True),
        ]
    else:
        missing.append("xargs")
    if _is_gnu_parallel():
        parallel = ["parallel", "--will-cite", "--keep-order", "--jobs", workers]
        commands += [
            LineCommand("parallel --pipe", [*parallel, "--pipe", *loop]),
            LineCommand("parallel, a line each", [*parallel, *loop], per_line=True),
        ]
    else:
        missing.append("GNU parallel")
    return commands, missing


def _is_gnu_parallel() -> bool:
    if not shutil.which("parallel"):
        return False
    version = subprocess.run(
        ["parallel", "--version"], capture_output=True, text=True, check=False, timeout=10
    )
    return "GNU" in version.stdout


def time_lines(command: LineCommand, count: int) -> float:
    """Seconds of ``seq COUNT | command`` as a whole, from its start to its end."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        with subprocess.Popen(["seq", str(count)], stdout=subprocess.PIPE) as seq:
            done = subprocess.run(
                command.arguments, stdin=seq.stdout, stdout=output, stderr=errors, check=False
            )
        seconds = time.perf_counter() - started
        # Processes that print side by side cut each other's lines, but lose nothing.
        size = output.seek(0, 2)
        errors.seek(0)
        if done.returncode != 0 or size != _output_size(count):
            said = errors.read().decode(errors="replace").strip()
            raise CommandError(f"exit status {done.returncode}, {size} bytes of output; {said}")
    return seconds


@cache
def _output_size(count: int) -> int:
    return sum(len(str(square(number))) + 1 for number in range(1, count + 1))


def time_command(arguments: list[str]) -> float:
    """Seconds of a command without input."""
    started = time.perf_counter()
    subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started
