"""What a Python function needs in browsers: wheels for Pyodide's own platform, found by pip.

They are looked for in the user's folder, if there is one, then where pip looks, and last in
Pyodide's own distribution, and kept in a cache.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement

from ..cache import cache_folder
from ..errors import PandoError
from ..requirements import PYTHON
from .frontend_files import TYPES, File

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


class NotInBrowsersError(PandoError):
    """Browsers cannot run a function, because of what it needs."""


def find_packages(requirements: Iterable[str], folder: str | None = None) -> dict[str, File]:
    """The wheels that a function needs in browsers, by file name.

    Args:
        requirements: in the words of PEP 508; `python` stands for the interpreter.
        folder: where wheels are looked for first.

    Raises:
        NotInBrowsersError: something is not to be had there; the message says what.
    """
    wanted = []
    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate(ENVIRONMENT):
            continue
        if requirement.name != PYTHON:
            wanted.append(text.partition(";")[0].strip())
        elif not requirement.specifier.contains(PYTHON_IN_BROWSERS, prereleases=True):
            raise NotInBrowsersError(
                f"it needs {text}, and the Python in browsers is {PYTHON_IN_BROWSERS}"
            )
    if not wanted:
        return {}
    cached = _cached(wanted, folder)
    if not (cached / ".done").exists():
        _download(wanted, folder, cached)
    return {
        wheel.name: File(wheel.read_bytes(), TYPES[".whl"])
        for wheel in sorted(cached.glob("*.whl"))
    }


def _cached(wanted: list[str], folder: str | None) -> Path:
    own = sorted(path.name for path in Path(folder).glob("*.whl")) if folder else []
    key = "\n".join([PLATFORM, PYTHON_IN_BROWSERS, *sorted(wanted), "", *own])
    return cache_folder() / "browser-packages" / hashlib.sha256(key.encode()).hexdigest()[:16]


def _download(wanted: list[str], folder: str | None, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    version = "".join(PYTHON_IN_BROWSERS.split(".")[:2])
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--only-binary=:all:", f"--platform={PLATFORM}", "--implementation=cp"),
        *(f"--python-version={version}", f"--abi=cp{version}", "--abi=abi3", "--abi=none"),
        *(f"--dest={target}", *([f"--find-links={folder}"] if folder else []), *wanted),
    ]
    try:
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=PIP_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        raise NotInBrowsersError(_why(wanted, error.stderr or "")) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInBrowsersError(f"pip cannot look for {', '.join(wanted)}: {error}") from None
    (target / ".done").touch()


def _why(wanted: list[str], said: str) -> str:
    if "No module named pip" in said:
        return f"it needs {', '.join(wanted)}, which pip would look for, but there is no pip here"
    missing = [
        line.rpartition("found for ")[2].strip()
        for line in said.splitlines()
        if "No matching distribution found for" in line
    ]
    return f"it needs {', '.join(missing or wanted)}, which is not to be had for browsers"
