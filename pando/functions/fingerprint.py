"""What has to be equal for the exact form of a function: the interpreter, and packages."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import struct
import sys
from collections.abc import Iterable

from . import rebuild

NOT_THERE = "none"
MAX_CHARACTERS = 200


@functools.cache
def own_fingerprint() -> str:
    """What tells whether an interpreter can load what this one has pickled.

    Its implementation, its bytecode, the family of its platform, the width of its pointers, and the
    versions of what pickles and unpickles.
    """
    parts = [
        sys.implementation.name,
        importlib.util.MAGIC_NUMBER.hex(),
        sys.platform,
        f"{8 * struct.calcsize('P')} bit {sys.byteorder}",
        f"cloudpickle {_version('cloudpickle')}",
        f"pando {rebuild.FORMAT}",
    ]
    return ", ".join(parts)[:MAX_CHARACTERS]


def versions_of(modules: Iterable[str]) -> dict[str, str]:
    """Return the versions of the packages of installed modules, by the module's name."""
    found = {}
    for name in modules:
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in ("pando", "builtins"):
            found[top] = _version(top)
    return found


@functools.cache
def _version(module: str) -> str:
    try:
        return importlib.metadata.version(module)
    except importlib.metadata.PackageNotFoundError:
        pass
    names = _distributions().get(module, ())
    if names:
        return " ".join(sorted({importlib.metadata.version(name) for name in names}))
    loaded = sys.modules.get(module)
    return str(getattr(loaded, "__version__", NOT_THERE))


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())
