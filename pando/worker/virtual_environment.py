"""A Python with what a function needs: this one, or a virtual environment that is kept."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import trio
from packaging.requirements import Requirement

from ..cache import cache_folder
from ..errors import FunctionError, one_line
from ..notifier import Notifier
from ..requirements import PYTHON, find_missing
from .environment import Environment


async def prepare_environment(
    requirements: Iterable[str], *, install: bool, say: Notifier
) -> Environment:
    """Prepare an environment in which workers find all that is required.

    Args:
        requirements: PEP 508 requirement strings.
        install: whether what is missing may be installed, into a cached virtual environment.
        say: told what is being done.

    Raises:
        FunctionError: something is missing and may not, or cannot, be installed.
    """
    requirements = list(requirements)
    if not requirements:
        return Environment()
    wanted, missing = await trio.to_thread.run_sync(_look, requirements, abandon_on_cancel=True)
    if not missing:
        return Environment()
    if not install:
        raise FunctionError(
            f"it needs {one_line(', '.join(missing))}, not installed for {sys.executable} "
            "(--install puts it into a dedicated virtual environment)"
        )
    return await trio.to_thread.run_sync(_install, wanted, say, abandon_on_cancel=True)


def _look(requirements: list[str]) -> tuple[list[str], list[str]]:
    """Return the packages that are required, and what is missing of them.

    A root may name many, and each is looked for on the disk: so it takes a thread of its own.
    """
    missing = find_missing(requirements)
    wrong = [text for text in missing if Requirement(text).name == PYTHON]
    if wrong:
        raise FunctionError(
            f"it needs {one_line(wrong[0])}, and this is Python {platform.python_version()} "
            f"({sys.executable})"
        )
    return [text for text in requirements if Requirement(text).name != PYTHON], missing


def _install(requirements: list[str], say: Notifier) -> Environment:
    key = "\n".join([sys.version, sys.executable, *sorted(requirements)])
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    folder = cache_folder() / "environments" / digest
    python = folder / "bin" / "python"
    done = folder / ".done"
    try:
        with contextlib.nullcontext() if done.exists() else _locked(folder):
            if not done.exists():  # nor has another process made it meanwhile
                say(f"installing {one_line(', '.join(requirements))} into {folder}")
                # What was interrupted before is no good.
                _check_call([sys.executable, "-m", "venv", "--clear", str(folder)])
                _check_call([str(python), "-m", "pip", "install", "--quiet", *requirements])
                done.touch()
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or ""
        last = said.strip().splitlines()[-1:] or [str(error)]
        raise FunctionError(
            f"it needs {one_line(', '.join(requirements))}, which cannot be installed: "
            f"{one_line(last[0])}"
        ) from None
    site = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    return Environment(str(python), (str(site), *Environment().path))


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Wait until no other process makes this folder, and let none begin."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _check_call(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
