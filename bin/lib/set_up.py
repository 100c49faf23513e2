"""Make the checkout's virtual environment, or bring it up to date: `set_up.py [GROUP]`.

`environment.sh` calls this where there is something to do, by the Python that is wanted. One
process at a time does it. What it has begun and not ended is begun anew the next time.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / ".venv"
UNFINISHED = ENVIRONMENT / ".unfinished"
"""There while it is being made, so that a later process knows of one that was interrupted."""
LOG = ENVIRONMENT / "set-up.log"
LOCK = ROOT / ".venv.lock"
PYTHON = ENVIRONMENT / "bin" / "python"
WRONG_USE, INTERRUPTED = 2, 130
OLD_NAME = "pando"
"""What the distribution `pando-computing` was called, and another project's is."""
REASONS = (r"RuntimeError: (.+)", r"ERROR: (.+)", r"error: (.+)", r"Error: (.+)")
"""What the sentence that says why is looked for by, the most telling one first."""


class SetUpError(Exception):
    """It cannot be set up, which one sentence explains."""


def main(group: str) -> int:
    """Set up, with a group of dependencies if it is named, and return the exit status."""
    began = time.time()
    try:
        with locked() as lock:
            if is_made_since(began, group):
                return 0
            say(f"setting up {ENVIRONMENT}, once; this takes a minute")
            set_up(group, lock, began)
    except SetUpError as error:
        say(str(error))
        return WRONG_USE
    except OSError as error:
        if works() and all(stamp.exists() for stamp in stamps(group)):
            return 0  # it cannot be brought up to date, but used
        say(
            f"{ENVIRONMENT} cannot be set up: {error.strerror}: {error.filename or ROOT}; "
            "make the folder writable, or install Pando elsewhere with pip"
        )
        return WRONG_USE
    except KeyboardInterrupt:
        say("setting up was interrupted; the next use begins anew")
        return INTERRUPTED
    return 0


@contextlib.contextmanager
def locked() -> Iterator[int]:
    """Wait until no other process sets up; the descriptor of the lock that is held then."""
    with LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another command, which sets up {ENVIRONMENT}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def stamps(group: str) -> list[Path]:
    """What says that it was made to the end: without any group, and with this one."""
    return [ENVIRONMENT / ".made", *([ENVIRONMENT / f".made-{group}"] if group else [])]


def groups_wanted(group: str) -> list[str]:
    """The group that is asked for, and those that are there, all of which are kept up to date."""
    there = {stamp.name.removeprefix(".made-") for stamp in ENVIRONMENT.glob(".made-*")}
    return sorted(there | {group} - {""})


def is_made_since(moment: float, group: str) -> bool:
    """Whether another process has done it while this one waited for the lock."""
    stamp = stamps(group)[-1]
    return stamp.exists() and stamp.stat().st_ctime >= moment


def set_up(group: str, lock: int, began: float) -> None:
    """Make the environment and install Pando and what it needs into it."""
    if importlib.util.find_spec("ensurepip") is None:
        raise SetUpError(
            f"{sys.executable} cannot make virtual environments: install its venv "
            "(`apt-get install python3-venv`, for example), or set PYTHON to another"
        )
    if UNFINISHED.exists() or not works():
        clear()
    ENVIRONMENT.mkdir(exist_ok=True)
    groups = groups_wanted(group)
    UNFINISHED.touch()
    for stamp in ENVIRONMENT.glob(".made*"):
        stamp.unlink()
    with LOG.open("w") as log:
        if not PYTHON.exists():
            run([sys.executable, "-m", "venv", str(ENVIRONMENT)], log.fileno(), lock)
        if is_installed_under_its_old_name():
            pip = [str(PYTHON), "-m", "pip", "uninstall", "--yes", "--quiet", OLD_NAME]
            run(pip, log.fileno(), lock)
        pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, "--editable", ".[javascript,webrtc]"], log.fileno(), lock)
        for each in groups:
            if requirements := requirements_of(each):
                run([*pip, *requirements], log.fileno(), lock)
    for stamp in {stamp for each in ["", *groups] for stamp in stamps(each)}:
        stamp.write_text(f"{ROOT}\n{os.environ.get('PYTHON', '')}\n")
        os.utime(stamp, (began, began))  # what changes from then on is to be noticed
    UNFINISHED.unlink()


def is_installed_under_its_old_name() -> bool:
    """Whether this checkout's commands belong to the distribution's old name here."""
    old = ENVIRONMENT.glob(f"lib/*/site-packages/{OLD_NAME}-[0-9]*.dist-info")
    return next(old, None) is not None


def works() -> bool:
    """Whether the environment that is there can be used: it has pip, and the wanted Python."""
    if not PYTHON.exists():
        return False
    stamp = stamps("")[0]
    if stamp.exists() and stamp.read_text().partition("\n")[0] != str(ROOT):
        return False  # the folder was moved, and its programs name the old one
    show = "import pip, sys; print(sys.version_info[:2])"
    try:
        done = subprocess.run([PYTHON, "-c", show], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.strip() in wanted_versions()


def wanted_versions() -> list[str]:
    """The versions of Python that an environment may have, as they print themselves."""
    if os.environ.get("PYTHON"):
        return [str(sys.version_info[:2])]
    return [str((3, minor)) for minor in range(11, 100)]


def clear() -> None:
    """Remove what is in the environment's folder, which may be a link to another place."""
    for place in ENVIRONMENT.iterdir() if ENVIRONMENT.is_dir() else ():
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        elif place != UNFINISHED:
            place.unlink()


def requirements_of(group: str) -> list[str]:
    """A group of pyproject.toml, for which older versions of pip have no option."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return list(project["dependency-groups"].get(group, ()))


def run(command: list[str], log: int, lock: int) -> None:
    """Run a step to its end; the lock is held until that, even if this process is killed."""
    environment = {**os.environ, "PIP_USER": "0"}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=[lock],
        check=False,
    )
    if done.returncode != 0:
        reason = why(LOG.read_text("utf-8", "replace"))
        raise SetUpError(f"{ENVIRONMENT} cannot be set up: {reason} ({LOG} has it all)")


def why(log: str) -> str:
    """The sentence of a log that says best why something has failed."""
    if "connection broken by" in log:
        return "no package index can be reached"
    for reason in REASONS:
        found = re.findall(reason, log)
        if found:
            return str(found[-1]).strip().rstrip(".")
    return (log.strip().splitlines() or ["its program does not say why"])[-1].strip()


def say(text: str) -> None:
    """Tell the user."""
    sys.stderr.write(f"pando: {text}\n")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]) if len(sys.argv) > 1 else main(""))
