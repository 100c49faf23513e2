"""Whether a module's file is still what it was imported from."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import types
from collections.abc import Iterator

from ..errors import FunctionError
from .segments import same_code
from .source import nested_codes

Stamp = tuple[int, int]
"""When a file was changed, in nanoseconds, and its size."""


def stamp(status: os.stat_result) -> Stamp:
    """Return what tells whether a file has been changed."""
    return status.st_mtime_ns, status.st_size


def check(filename: str, data: bytes, stamp: Stamp, module: types.ModuleType) -> None:
    """See that a module was imported from this text.

    Raises:
        FunctionError: it was not; the message names the file.
    """
    # Others, as pytest's, compile something else than the text.
    is_plain = type(module.__loader__) is importlib.machinery.SourceFileLoader
    if is_plain and not _was_compiled_from(filename, stamp):
        _check_codes(filename, data, module)


def _was_compiled_from(filename: str, stamp: Stamp) -> bool:
    """Tell whether the compiled file that Python keeps is of this very source."""
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


def _check_codes(filename: str, data: bytes, module: types.ModuleType) -> None:
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
