"""Modules of the user's own: not of Python, not installed, not Pando."""

from __future__ import annotations

import functools
import sys
import types

from . import modules


def is_own(module: object) -> bool:
    """Tell whether a module is the user's own: not of Python, not installed, not Pando."""
    if not isinstance(module, types.ModuleType):
        return False
    name = getattr(module, "__name__", "")
    return isinstance(name, str) and _is_own(name, id(module))


@functools.lru_cache(maxsize=4096)
def _is_own(name: str, identity: int) -> bool:
    return modules.is_own_module_object(sys.modules.get(name), name)


def being_imported() -> str | None:
    """Return a module of the user's own that is being imported just now, if there is one.

    Another thread that imports it, as pickling what it holds does, would wait for a map at its
    top, which waits for that thread.
    """
    for name, module in sys.modules.copy().items():
        spec = getattr(module, "__spec__", None)
        if getattr(spec, "_initializing", False) and is_own(module):
            return name
    return None
