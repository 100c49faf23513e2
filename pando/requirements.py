"""Requirements of a function: read them from its module, check and find missing ones."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import tomllib
from collections.abc import Iterable

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from .errors import FunctionError, one_line

PYTHON = "python"
"""The name of the interpreter in requirements."""
ITSELF = "pando-computing"
"""The distribution of Pando, which is installed wherever a function runs."""
SCRIPT_BLOCK = re.compile(r"(?m)^# /// script\s*$\s(?P<content>(^#(| .*)$\s)+)^# ///\s*$")


def read_script_metadata(source: str) -> list[str]:
    """Return the requirements in a module's inline script metadata (PEP 723), besides Pando.

    The first one is `requires-python`, if present, as a requirement of `python`.

    Raises:
        FunctionError: the metadata is malformed.
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
    checked = check_requirements([f"{PYTHON}{python}", *dependencies] if python else dependencies)
    return [text for text in checked if canonicalize_name(Requirement(text).name) != ITSELF]


def check_requirements(requirements: Iterable[str]) -> list[str]:
    """Return the requirements unchanged; FunctionError if one is not valid under PEP 508."""
    checked = list(requirements)
    for text in checked:
        try:
            Requirement(text)
        except InvalidRequirement as error:
            why = one_line(str(error))
            raise FunctionError(f"{one_line(text)!r} is not a requirement string: {why}") from None
    return checked


def find_missing(requirements: Iterable[str]) -> list[str]:
    """Return the requirements that are not installed here."""
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
