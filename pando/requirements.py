"""What a function needs installed: read from its module, looked for, installed where allowed."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable

import trio
from packaging.requirements import InvalidRequirement, Requirement

from .cache import cache_folder
from .errors import FunctionError
from .worker.environment import Environment

PYTHON = "python"
"""What stands for the interpreter among requirements."""
SCRIPT_BLOCK = re.compile(r"(?m)^# /// script\s*$\s(?P<content>(^#(| .*)$\s)+)^# ///\s*$")


def read_script_metadata(source: str) -> list[str]:
    """What a module needs by its inline script metadata (PEP 723).

    Its `requires-python` comes first, as a requirement of `python`.

    Raises:
        FunctionError: there is such a block, but it is not as it should be.
    """
    blocks = [match.group("content") for match in SCRIPT_BLOCK.finditer(source)]
    if not blocks:
        return []
    if len(blocks) > 1:
        raise FunctionError("the module has more than one block of script metadata")
    text = "".join(
        line[2:] if line.startswith("# ") else line[1:] for line in blocks[0].splitlines(True)
    )
    try:
        metadata = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FunctionError(f"the module's script metadata is not TOML: {error}") from None
    dependencies = metadata.get("dependencies", [])
    python = metadata.get("requires-python")
    if not isinstance(python, str | None):
        raise FunctionError("requires-python in the module's script metadata must be a string")
    if not isinstance(dependencies, list) or not all(isinstance(d, str) for d in dependencies):
        raise FunctionError("the dependencies in the module's script metadata must be strings")
    return check_requirements([f"{PYTHON}{python}", *dependencies] if python else dependencies)


def check_requirements(requirements: Iterable[str]) -> list[str]:
    """The requirements as they are; FunctionError where one is not in the words of PEP 508."""
    checked = list(requirements)
    for text in checked:
        try:
            Requirement(text)
        except InvalidRequirement as error:
            raise FunctionError(f"{text!r} is not a requirement: {error}") from None
    return checked


def find_missing(requirements: Iterable[str]) -> list[str]:
    """Which of the requirements are not installed here."""
    missing = []
    for text in check_requirements(requirements):
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            version = _installed_version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(text)
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            missing.append(text)
    return missing


def _installed_version(name: str) -> str:
    return platform.python_version() if name == PYTHON else importlib.metadata.version(name)


async def prepare_environment(
    requirements: Iterable[str], *, install: bool, say: Callable[[str], None]
) -> Environment:
    """An environment in which workers find all that is required.

    Args:
        requirements: in the words of PEP 508.
        install: whether what is missing may be installed, into a cached virtual environment.
        say: told what is being done.

    Raises:
        FunctionError: something is missing and may not, or cannot, be installed.
    """
    requirements = list(requirements)
    missing = find_missing(requirements)
    wrong = [text for text in missing if Requirement(text).name == PYTHON]
    if wrong:
        raise FunctionError(
            f"it needs {wrong[0]}, and this is Python {platform.python_version()} "
            f"({sys.executable})"
        )
    requirements = [text for text in requirements if Requirement(text).name != PYTHON]
    if not missing:
        return Environment()
    if not install:
        raise FunctionError(
            f"it needs {', '.join(missing)}, not installed for {sys.executable} "
            "(--install gets it into a place of its own)"
        )
    return await trio.to_thread.run_sync(_install, requirements, say, abandon_on_cancel=True)


def _install(requirements: list[str], say: Callable[[str], None]) -> Environment:
    key = "\n".join([sys.version, sys.executable, *sorted(requirements)])
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    folder = cache_folder() / "environments" / digest
    python = folder / "bin" / "python"
    done = folder / ".done"
    if not done.exists():
        say(f"installing {', '.join(requirements)} into {folder}")
        try:
            _check_call([sys.executable, "-m", "venv", str(folder)])
            _check_call([str(python), "-m", "pip", "install", "--quiet", *requirements])
        except subprocess.CalledProcessError as error:
            last = (error.stderr or "").strip().splitlines()[-1:] or [str(error)]
            raise FunctionError(
                f"it needs {', '.join(requirements)}, which cannot be installed: {last[0]}"
            ) from None
        done.touch()
    site = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    return Environment(str(python), (str(site), *Environment().path))


def _check_call(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
