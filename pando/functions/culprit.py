"""Where something that cannot be sent is, in words: the way to it from the function."""

from __future__ import annotations

import functools
import types
from collections import deque
from collections.abc import Iterator
from typing import Any

from ..errors import shorten
from . import references

MAX_VISITED = 100_000
"""Objects that are looked at before the search is given up."""


def describe_path(function: object, name: str, culprit: object) -> str | None:
    """Describe the shortest way from a function to an object that it refers to, as text."""
    seen = {id(function)}
    queue: deque[tuple[Any, str]] = deque([(function, name)])
    kept: list[object] = []
    while queue and len(seen) < MAX_VISITED:
        value, where = queue.popleft()
        if value is culprit:
            return where
        for inner, text in _referred(value, where):
            if id(inner) not in seen:
                seen.add(id(inner))
                kept.append(inner)
                queue.append((inner, text))
    return None


def _referred(value: Any, where: str) -> Iterator[tuple[Any, str]]:
    """Return what an object refers to, as far as it may be sent, with words for each."""
    if isinstance(value, types.FunctionType):
        yield from _of_function(value, where)
    elif isinstance(value, type):
        for name, member in list(vars(value).items()):
            if not name.startswith("__"):
                yield member, f"the attribute {name!r} of {where}"
            elif isinstance(member, types.FunctionType):
                yield member, f"{value.__qualname__}.{name}"
    elif isinstance(value, types.MethodType):
        yield value.__self__, f"the object of {where}"
        yield value.__func__, where
    elif isinstance(value, functools.partial):
        yield value.func, where
        for each in (*value.args, *value.keywords.values()):
            yield each, f"an argument of {where}"
    elif isinstance(value, dict):
        for key, member in list(value.items()):
            yield key, f"a key of {where}"
            yield member, f"[{shorten(key)}] of {where}"
    elif isinstance(value, list | tuple | set | frozenset):
        for member in list(value):
            yield member, f"a member of {where}"
    elif isinstance(value, property):
        for each in (value.fget, value.fset, value.fdel):
            yield each, where
    elif isinstance(value, types.CellType):
        yield from _of_cell(value, where)
    elif isinstance(value, staticmethod | classmethod):
        yield value.__func__, where
    elif not isinstance(value, types.ModuleType | str | bytes | int | float):
        yield from _of_instance(value, where)


def _of_function(function: types.FunctionType, where: str) -> Iterator[tuple[Any, str]]:
    for name in references.global_names(function.__code__):
        if name in function.__globals__:
            yield function.__globals__[name], f"the global {name!r} of {where}"
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        yield from _of_cell(cell, f"the variable {name!r} of {where}")
    for each in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        yield each, f"a default of {where}"
    for name, value in vars(function).items():
        yield value, f"the attribute {name!r} of {where}"


def _of_cell(cell: types.CellType, where: str) -> Iterator[tuple[Any, str]]:
    try:
        yield cell.cell_contents, where
    except ValueError:
        return


def _of_instance(value: Any, where: str) -> Iterator[tuple[Any, str]]:
    yield type(value), f"the class of {where}"
    for name, member in list(getattr(value, "__dict__", {}).items()):
        yield member, f"[{shorten(name)}] of {where}"
    for cls in type(value).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name):
                yield getattr(value, name), f"[{shorten(name)}] of {where}"
