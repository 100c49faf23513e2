"""The sources of the user's own modules as they were when the run began."""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from dataclasses import dataclass

from . import edited
from .homes import Homes, is_own
from .package import ModuleSource


@dataclass(frozen=True)
class _Kept:
    filename: str
    data: bytes
    stamp: tuple[int, int]
    is_package: bool


class KeptSources:
    """What workers that import the user's own modules later should still find.

    Raises:
        FunctionError: a module's file is not what was imported; the message names it.
    """

    def __init__(self, homes: Homes) -> None:
        self._kept: dict[str, _Kept] = {}
        if not homes.any_own_module:
            return
        for name, module in list(sys.modules.items()):
            if is_own(module) and homes.can_import(module):
                self._keep(name, module)

    def _keep(self, name: str, module: types.ModuleType) -> None:
        filename = getattr(module, "__file__", None)
        if not isinstance(filename, str) or not filename.endswith(".py"):
            return
        try:
            with open(filename, "rb") as file:
                data, stamp = file.read(), edited.stamp(os.fstat(file.fileno()))
        except OSError:
            return
        edited.check(filename, data, stamp, module)
        self._kept[name] = _Kept(filename, data, stamp, hasattr(module, "__path__"))

    def changed(self) -> dict[str, ModuleSource]:
        """The modules whose files are no more what they were, with their kept text."""
        return {
            name: ModuleSource(
                importlib.util.decode_source(kept.data), kept.filename, kept.is_package
            )
            for name, kept in self._kept.items()
            if not _is_unchanged(kept)
        }


def _is_unchanged(kept: _Kept) -> bool:
    try:
        if edited.stamp(os.stat(kept.filename)) == kept.stamp:
            return True
        with open(kept.filename, "rb") as file:
            return file.read() == kept.data
    except OSError:
        return False
