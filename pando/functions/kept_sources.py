"""The sources of the user's own modules as they were when the run began."""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
import types
from typing import NamedTuple

from . import edited, modules
from .homes import Homes
from .own_modules import is_own
from .package import ModuleSource


class _Kept(NamedTuple):
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
        if homes.any_own_module:
            for name, module in sys.modules.copy().items():
                if is_own(module) and homes.can_import(module):
                    self._keep_imported(name, module)
        for name in homes.imported_later:
            self._keep_later(name)

    def _keep_imported(self, name: str, module: types.ModuleType) -> None:
        filename = getattr(module, "__file__", None)
        if not isinstance(filename, str) or not filename.endswith(".py"):
            return
        kept = _read(filename, hasattr(module, "__path__"))
        if kept is not None:
            edited.check(filename, kept.data, kept.stamp, module)
            self._kept[name] = kept

    def _keep_later(self, name: str) -> None:
        """Keep a module that has not been imported, and what of the user's own it imports."""
        if name in self._kept or name in sys.modules:
            return
        parent = name.rpartition(".")[0]
        if parent:
            self._keep_later(parent)
        path = modules.source_file(name)
        if path is None:
            return
        is_package = path.name == "__init__.py"
        kept = _read(str(path), is_package)
        if kept is None:
            return
        self._kept[name] = kept
        try:
            tree = ast.parse(kept.data)
        except (SyntaxError, ValueError):
            return  # its import says so
        for imported in modules.imported_names(tree, name if is_package else parent):
            self._keep_later(imported)

    def changed(self) -> dict[str, ModuleSource]:
        """Return the modules whose files are no more what they were, with their kept text."""
        return {
            name: ModuleSource(
                importlib.util.decode_source(kept.data), kept.filename, kept.is_package
            )
            for name, kept in self._kept.items()
            if not _is_unchanged(kept)
        }


def _read(filename: str, is_package: bool) -> _Kept | None:
    try:
        with open(filename, "rb") as file:
            return _Kept(filename, file.read(), edited.stamp(os.fstat(file.fileno())), is_package)
    except OSError:
        return None


def _is_unchanged(kept: _Kept) -> bool:
    try:
        if edited.stamp(os.stat(kept.filename)) == kept.stamp:
            return True
        with open(kept.filename, "rb") as file:
            return file.read() == kept.data
    except OSError:
        return False
