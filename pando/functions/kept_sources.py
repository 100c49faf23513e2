"""The sources of the user's own modules as they were when the run began."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import FunctionError
from .homes import Homes, is_own
from .package import ModuleSource
from .source import nested_codes, same_code


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
                data, stamp = file.read(), _stamp(os.fstat(file.fileno()))
        except OSError:
            return
        # Others, as pytest's, compile something else than the text.
        is_plain = type(module.__loader__) is importlib.machinery.SourceFileLoader
        if is_plain and not _was_compiled_from(filename, stamp):
            _check(filename, data, module)
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
        if _stamp(os.stat(kept.filename)) == kept.stamp:
            return True
        with open(kept.filename, "rb") as file:
            return file.read() == kept.data
    except OSError:
        return False


def _stamp(status: os.stat_result) -> tuple[int, int]:
    return status.st_mtime_ns, status.st_size


def _was_compiled_from(filename: str, stamp: tuple[int, int]) -> bool:
    """Whether the compiled file that Python keeps is of this very source."""
    try:
        with open(importlib.util.cache_from_source(filename), "rb") as file:
            header = file.read(16)
    except (OSError, NotImplementedError):
        return False
    by_time = header[4:8] == bytes(4)
    seconds = int.from_bytes(header[8:12], "little")
    size = int.from_bytes(header[12:16], "little")
    here = (stamp[0] // 10**9 & 0xFFFFFFFF, stamp[1] & 0xFFFFFFFF)
    return by_time and (seconds, size) == here


def _check(filename: str, data: bytes, module: types.ModuleType) -> None:
    try:
        compiled = compile(data, filename, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        compiled = None
    there = [] if compiled is None else nested_codes(compiled)
    for code in _codes_of(module, filename):
        if not any(same_code(each, code) for each in there if each.co_name == code.co_name):
            raise FunctionError(
                f"{filename} has been edited since it was imported, so workers cannot import it; "
                "import it again, or start anew"
            )


def _codes_of(module: types.ModuleType, filename: str) -> Iterator[types.CodeType]:
    for value in list(vars(module).values()):
        owners = [value, *vars(value).values()] if isinstance(value, type) else [value]
        for each in owners:
            code = getattr(getattr(each, "__wrapped__", each), "__code__", None)
            if isinstance(code, types.CodeType) and code.co_filename == filename:
                yield code
