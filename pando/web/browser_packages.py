"""What a Python function needs in browsers: wheels for Pyodide's own platform, found by pip.

They are looked for in the user's folder, if there is one, and where pip looks, then in Pyodide's
own distribution; what is found is kept in a cache.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from ..cache import atomic_directory, cache_folder
from ..errors import PandoError
from ..requirements import PYTHON
from .frontend_files import TYPES, File
from .pyodide_distribution import read_distribution

PYTHON_IN_BROWSERS = "3.14.2"
PLATFORM = "pyemscripten_2026_0_wasm32"
ENVIRONMENT = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "wasm32",
    "platform_python_implementation": "CPython",
    "platform_system": "Emscripten",
    "python_full_version": PYTHON_IN_BROWSERS,
    "python_version": "3.14",
    "sys_platform": "emscripten",
}
"""What markers in requirements find there."""
PIP_SECONDS = 120.0
"""How long finding the packages may take."""


class BrowserUnsupportedError(PandoError):
    """Browsers cannot run a function, because of what it needs."""


Folder = str | os.PathLike[str]


def find_packages(requirements: Iterable[str], folder: Folder | None = None) -> dict[str, File]:
    """The wheels that a function needs in browsers, by file name.

    Args:
        requirements: in the words of PEP 508; `python` stands for the interpreter.
        folder: where wheels are looked for first.

    Raises:
        BrowserUnsupportedError: something is not to be had there; the message says what.
    """
    wanted = _wanted(requirements)
    if not wanted:
        return {}
    try:
        cached = _cached(wanted, folder)
        if not cached.is_dir():
            _download(wanted, folder, cached)
        return {
            wheel.name: File(wheel.read_bytes(), TYPES[".whl"])
            for wheel in sorted(cached.glob("*.whl"))
        }
    except BrowserUnsupportedError:
        raise
    except (OSError, PandoError) as error:
        what = ", ".join(wanted)
        raise BrowserUnsupportedError(
            f"it needs {what}, which cannot be looked for: {error}"
        ) from None


def _wanted(requirements: Iterable[str]) -> list[str]:
    """What is to be looked for: all that concerns browsers, apart from Python itself."""
    wanted = []
    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate(ENVIRONMENT):
            continue
        if requirement.name != PYTHON:
            wanted.append(text.partition(";")[0].strip())
        elif not requirement.specifier.contains(PYTHON_IN_BROWSERS, prereleases=True):
            raise BrowserUnsupportedError(
                f"it needs {text}, and the Python in browsers is {PYTHON_IN_BROWSERS}"
            )
    return wanted


def _cached(wanted: list[str], folder: Folder | None) -> Path:
    own = sorted(path.name for path in Path(folder).glob("*.whl")) if folder else []
    key = "\n".join([PLATFORM, PYTHON_IN_BROWSERS, *sorted(wanted), "", *own])
    return cache_folder() / "wheels-for-browsers" / hashlib.sha256(key.encode()).hexdigest()[:16]


def _download(wanted: list[str], folder: Folder | None, target: Path) -> None:
    links = [os.fspath(folder)] if folder else []
    with atomic_directory(target) as made, tempfile.TemporaryDirectory() as distributed:
        while (said := _run_pip(wanted, [*links, distributed], made)) is not None:
            missing = _missing(said)
            gotten = [_get_distributed(text, Path(distributed)) for text in missing]
            if not any(gotten):
                raise BrowserUnsupportedError(_why(missing or wanted, said))


def _get_distributed(text: str, folder: Path) -> bool:
    """Get what pip has not found from Pyodide's distribution; whether that was of any use."""
    distribution = read_distribution()
    try:
        package = distribution.find(Requirement(text))
        if package is None or (folder / package.file).exists():
            return False
        distribution.download(package, folder)
        return True
    except (OSError, InvalidRequirement):
        return False


def _run_pip(wanted: list[str], links: list[str], target: Path) -> str | None:
    """Have pip find the wheels; what it says where it does not."""
    version = "".join(PYTHON_IN_BROWSERS.split(".")[:2])
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--only-binary=:all:", f"--platform={PLATFORM}", "--implementation=cp"),
        *(f"--python-version={version}", f"--abi=cp{version}", "--abi=abi3", "--abi=none"),
        *(f"--dest={target}", *(f"--find-links={link}" for link in links), *wanted),
    ]
    try:
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=PIP_SECONDS,
        )
        return None
    except subprocess.CalledProcessError as error:
        return str(error.stderr or "")
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BrowserUnsupportedError(f"pip cannot look for {', '.join(wanted)}: {error}") from None


def _missing(said: str) -> list[str]:
    """The requirements that pip says it has not found, such as ``numpy>=2``."""
    found = (line.rpartition("found for ") for line in said.splitlines())
    return [text.partition(" (from")[0].strip() for _, sign, text in found if sign]


def _why(missing: list[str], said: str) -> str:
    names = ", ".join(missing)
    if "No module named pip" in said:
        return f"it needs {names}, which pip would look for, but there is no pip here"
    return f"it needs {names}, which is not to be had for browsers"
