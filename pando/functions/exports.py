"""The convention by which a module exports its function, as on the command line.

A module exports one function of one value: a top-level ``def pando(x)``, or any function marked
with `@pando.function`, or a dict ``exports = {"/pando/1.0.0": fn}``.
"""

from __future__ import annotations

import importlib.util
import inspect
import linecache
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple, TypeVar

from ..errors import FunctionError
from .dependencies import keep_dependencies

EXPORT_KEY = "/pando/1.0.0"
EXPORT_ATTRIBUTE = "__pando_function__"
EXPORT_HELP = (
    "it should define `def pando(x)`, mark a function with @pando.function, "
    f'or set exports = {{"{EXPORT_KEY}": function}}'
)

F = TypeVar("F", bound=Callable[..., Any])


def function(marked: F) -> F:
    """Mark the function that a module exports to the `pando` command.

    Raises:
        TypeError: what is marked is not a function.

    Example:
        >>> @pando.function
        ... def square(x):
        ...     return x * x
        >>> square(3)
        9
    """
    if not callable(marked):
        raise TypeError(f"@pando.function marks functions, not {marked!r}")
    setattr(marked, EXPORT_ATTRIBUTE, True)
    return marked


class Exports(NamedTuple):
    """What a module has for the command."""

    function: Callable[[Any], Any]
    setup: Callable[[], object] | None


def find_function(path: str | Path) -> Callable[[Any], Any]:
    """Import a Python file and return the function that it exports; see `find_exports`."""
    return find_exports(path).function


def find_exports(path: str | Path) -> Exports:
    """Import a Python file and return the function that it exports, and its `setup` if it has one.

    The file's folder is put on ``sys.path``, so that it can import what lies beside it; after
    the standard library, which Pando goes on to import from, as from its dependencies.

    Raises:
        FunctionError: there is no such file, it cannot be imported, or it exports no function or
            more than one; the message is one sentence that names the file and the line.
    """
    path = Path(path)
    if path.is_dir():
        raise FunctionError(f"{path} is a folder, not a Python file")
    if not path.exists():
        raise FunctionError(f"there is no file {path}")
    if path.suffix != ".py":
        raise FunctionError(f"{path} is no module: its name should end in .py or .js")
    module = _import_file(path)
    found = _exported(module)
    if not found:
        raise FunctionError(f"{path} exports no function: {EXPORT_HELP}")
    if len(found) > 1:
        places = " and ".join(f"{name} {_line_of(value)}" for name, value in found.items())
        raise FunctionError(f"{path} exports more than one function: {places}; keep one")
    exported = next(iter(found.values()))
    _check_parameters(path, exported)
    return Exports(exported, _find_setup(module))


def _find_setup(module: ModuleType) -> Callable[[], object] | None:
    """Find a function `setup` without parameters that the module itself defines."""
    setup = getattr(module, "setup", None)
    if not isinstance(setup, FunctionType) or setup.__module__ != module.__name__:
        return None
    try:
        inspect.signature(setup).bind()
    except TypeError:
        return None
    return setup


def _import_file(path: Path) -> ModuleType:
    name = path.stem
    if not name.isidentifier() or name in sys.stdlib_module_names or name in sys.modules:
        name = "pando_module_" + "".join(c if c.isalnum() else "_" for c in name)
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    keep_dependencies(folder)
    sys.path.insert(_place_after_standard_library(), folder)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt | GeneratorExit):
            raise
        raise FunctionError(_why_not_imported(path, error)) from error
    return module


def _place_after_standard_library() -> int:
    folder = os.path.dirname(os.__file__)
    standard = (folder, os.path.join(folder, "lib-dynload"))
    places = [
        place
        for place, entry in enumerate(sys.path)
        if isinstance(entry, str) and os.path.normpath(entry) in standard
    ]
    return max(places, default=-1) + 1


def _why_not_imported(path: Path, error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{error.filename}, line {error.lineno}"
        line = (error.text or "").strip()
        return f"{place}: {type(error).__name__}: {error.msg}: {line}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == str(path.resolve())]
    place = str(path)
    line = ""
    if own:
        place = f"{path}, line {own[-1].lineno}"
        line = f": {own[-1].line}"
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"{place} fails to import: {what}{line}"


def _exported(module: ModuleType) -> dict[str, Callable[[Any], Any]]:
    """Return what a module exports, by name, each object once."""
    candidates: dict[str, Any] = {}
    if "pando" in vars(module) and not isinstance(module.pando, ModuleType):
        candidates["pando"] = module.pando
    exports = getattr(module, "exports", None)
    if isinstance(exports, dict) and EXPORT_KEY in exports:
        candidates[f"exports[{EXPORT_KEY!r}]"] = exports[EXPORT_KEY]
    for name, value in vars(module).items():
        if getattr(value, EXPORT_ATTRIBUTE, False) is True:
            candidates[name] = value
    unique: dict[str, Callable[[Any], Any]] = {}
    for name, value in candidates.items():
        if not callable(value):
            raise FunctionError(f"{module.__file__}: {name} is not a function")
        if all(value is not known for known in unique.values()):
            unique[name] = value
    return unique


def _line_of(value: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(value), "__code__", None)
    return f"(line {code.co_firstlineno})" if code else "(of unknown line)"


def _check_parameters(path: Path, exported: Callable[..., Any]) -> None:
    try:
        signature = inspect.signature(exported)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(None)
    except TypeError:
        code = getattr(inspect.unwrap(exported), "__code__", None)
        line = f", line {code.co_firstlineno}" if code else ""
        text = linecache.getline(str(path.resolve()), code.co_firstlineno).strip() if code else ""
        raise FunctionError(
            f"{path}{line}: the function must take one value: {text or signature}"
        ) from None
