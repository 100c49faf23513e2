"""What Pando itself needs installed: imported from there, whatever lies beside a user's module."""

from __future__ import annotations

import os
import sys

import msgpack

from ..requirements import ITSELF
from .placing import find_on_path, use_places


def keep_dependencies(folder: str) -> None:
    """Have Pando's dependencies imported from where they are installed, and not from a folder.

    Pando imports most of them when they are needed, after the user's module.
    """
    installed = os.path.dirname(os.path.dirname(msgpack.__file__))
    try:
        names = {file.partition(".")[0] for file in os.listdir(folder)}
    except OSError:
        return
    alike = {
        name
        for name in names - {"pando", *sys.builtin_module_names, *sys.stdlib_module_names}
        if name.isidentifier() and find_on_path(name, [installed]) is not None
    }
    if alike:
        use_places(dict.fromkeys(alike & _dependencies(ITSELF), installed))


def _dependencies(package: str) -> set[str]:
    """Return the top-level names of all modules that a package needs, directly or not."""
    import importlib.metadata  # only here: most folders have nothing of these names

    from packaging.requirements import Requirement

    names: set[str] = set()
    known: set[str] = set()
    waiting = [package]
    while waiting:
        name = waiting.pop()
        if name in known:
            continue
        known.add(name)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        names |= {file.parts[0].partition(".")[0] for file in distribution.files or []}
        for text in distribution.requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return names
