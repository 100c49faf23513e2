"""What is pickled in another way than its type says, in either form: one row for each type."""

from __future__ import annotations

import contextvars
import dataclasses
import functools
import io
import logging
import random
import sys
import types
import typing
import weakref
from collections.abc import Callable
from typing import Any

from . import rebuild, references

Reduced = tuple[Any, ...]
"""As `object.__reduce_ex__` returns it: a callable, its arguments, and what may follow."""

STREAMS = ("stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__")
TYPE_VARIABLES = tuple(
    getattr(typing, name)
    for name in ("TypeVar", "ParamSpec", "TypeVarTuple", "NewType", "TypeAliasType")
    if hasattr(typing, name)
)
DISPATCH_MECHANISM = ("registry", "dispatch", "register", "_clear_cache", "__wrapped__")


def reduce_specially(obj: Any) -> Reduced | None:
    """Tell how to make an object again; None where its own way will do.

    Raises:
        TypeError: it belongs to this process.
    """
    row = ROWS.get(type(obj))
    if row is not None:
        return row(obj)
    if isinstance(obj, io.IOBase) or type(obj).__name__ == "OutStream":
        return _reduce_stream(obj)
    if isinstance(obj, TYPE_VARIABLES):
        arguments, named = references.arguments_of_type_variable(obj)
        return rebuild.make_with, (type(obj), arguments, named)
    return None


def _reduce_stream(stream: Any) -> Reduced | None:
    for name in STREAMS:
        if getattr(sys, name, None) is stream:
            return getattr, (sys, name)
    if isinstance(stream, io.StringIO | io.BytesIO):
        return None
    raise TypeError("it is open here, and cannot be in another process")


def reduce_lru_cache(wrapper: Any) -> Reduced:
    """Return a function with a cache of its results, which is empty again."""
    parameters = wrapper.cache_parameters()
    own = {name: value for name, value in vars(wrapper).items() if name != "__wrapped__"}
    arguments = (wrapper.__wrapped__, parameters["maxsize"], parameters["typed"])
    return rebuild.make_lru_cache, arguments, own


def reduce_single_dispatch(function: Any) -> Reduced | None:
    """Return a `functools.singledispatch` function, if it is one."""
    registry = getattr(function, "registry", None)
    if not isinstance(registry, types.MappingProxyType) or not hasattr(function, "_clear_cache"):
        return None
    implementations = [(cls, each) for cls, each in registry.items() if cls is not object]
    own = {name: value for name, value in vars(function).items() if name not in DISPATCH_MECHANISM}
    return (
        rebuild.make_single_dispatch, (registry[object],), (implementations, own), None, None,
        rebuild.set_single_dispatch,
    )  # fmt: skip


def _reduce_context_variable(variable: contextvars.ContextVar[Any]) -> Reduced:
    return rebuild.make_context_variable, (variable.name, *references.content_of(variable))


ROWS: dict[type, Callable[[Any], Reduced]] = {
    functools._lru_cache_wrapper: reduce_lru_cache,
    functools.cached_property: lambda each: (
        rebuild.make_cached_property, (each.func, each.attrname, each.__doc__)
    ),
    property: lambda each: (property, (each.fget, each.fset, each.fdel, each.__doc__)),
    staticmethod: lambda each: (staticmethod, (each.__func__,)),
    classmethod: lambda each: (classmethod, (each.__func__,)),
    contextvars.ContextVar: _reduce_context_variable,
    dataclasses._FIELD_BASE: lambda each: (getattr, (dataclasses, each.name)),  # type: ignore[attr-defined]
    memoryview: lambda each: (
        memoryview, (each.tobytes() if each.readonly else bytearray(each),)
    ),
    types.MappingProxyType: lambda each: (types.MappingProxyType, (dict(each),)),
    type({}.keys()): lambda each: (rebuild.make_view, (dict.fromkeys(each), "keys")),
    type({}.values()): lambda each: (rebuild.make_view, (dict(enumerate(each)), "values")),
    type({}.items()): lambda each: (rebuild.make_view, (dict(each), "items")),
    logging.Logger: lambda each: (logging.getLogger, (each.name,)),
    logging.RootLogger: lambda each: (logging.getLogger, ()),
    weakref.WeakSet: lambda each: (weakref.WeakSet, (list(each),)),
    weakref.WeakKeyDictionary: lambda each: (weakref.WeakKeyDictionary, (dict(each),)),
    weakref.WeakValueDictionary: lambda each: (weakref.WeakValueDictionary, (dict(each),)),
    random.SystemRandom: lambda each: (random.SystemRandom, ()),
}  # fmt: skip
