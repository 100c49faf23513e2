"""Import a module that brings many others along."""

from __future__ import annotations

import gc
import importlib
import sys
from contextlib import contextmanager

TYPE_CHECKING = False  # type checkers recognize the name; importing `typing` is slow
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def import_quickly(name: str) -> Any:
    """Import a module without collecting garbage, of which an import makes next to none.

    What it has made is counted among the old objects at once, as if it had been collected. Else
    collections would take a tenth of the time to a map's first result.
    """
    if not gc.isenabled() or gc.get_freeze_count():
        return importlib.import_module(name)
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        gc.unfreeze()
        gc.enable()


@contextmanager
def looking_first_in(path: list[str]) -> Iterator[None]:
    """Look for modules on an earlier import path first, before the one that there is now."""
    if sys.path == path:
        yield
        return
    sys.path[:0] = path
    try:
        yield
    finally:
        for entry in path:
            sys.path.remove(entry)
