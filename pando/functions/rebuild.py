"""Rebuilding the exact form: what a pickled function calls where it is loaded.

A worker imports this before it has the function, so it imports next to nothing. What is here is
named in pickles by `pando.functions.exact`, and so has to keep its names within one version.
"""

from __future__ import annotations

import builtins
import marshal
import sys
import types
from collections.abc import Callable

from .short_names import rename

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORMAT = 2
"""Goes up with each change here that makes earlier pickles wrong."""

_namespaces: dict[str, dict[str, Any]] = {}
_members: dict[tuple[type, str], Any] = {}
HOOK = "__init_subclass__"


# ---- functions ----


def make_namespace(
    number: str, name: str, attributes: dict[str, Any] | None, is_module: bool
) -> dict[str, Any]:
    """Make the globals of functions, made once; those of a module where they were a module's.

    Without attributes they are those of a module that can be imported.
    """
    if attributes is None:
        return vars(import_module(name))
    known = _namespaces.get(number)
    if known is not None:
        return known
    module = types.ModuleType(name)
    variables = vars(module)
    variables.update(attributes)
    if variables.get("__file__"):
        variables["__file__"] = files.get(variables["__file__"], variables["__file__"])
    if variables.get("__path__"):
        variables["__path__"] = [files.get(each, each) for each in variables["__path__"]]
    variables["__builtins__"] = builtins
    if is_module:
        sys.modules[name] = module
    else:
        _kept.append(module)
    _namespaces[number] = variables
    return variables


_kept: list[types.ModuleType] = []
"""Modules that have no name here; a module that is collected empties its globals."""


files: dict[str, str] = {}
"""The files of this machine, by the short names that code and globals have; see `short_names`."""


def load_code(code: bytes) -> types.CodeType:
    """Return marshalled code, with the names that its files have on this machine."""
    found: types.CodeType = marshal.loads(code)
    return rename(found, lambda name: files.get(name, name)) if files else found


def make_function(
    code: bytes, variables: dict[str, Any], name: str, cells: tuple[types.CellType, ...]
) -> types.FunctionType:
    """Make a function without its state."""
    return types.FunctionType(load_code(code), variables, name, None, cells or None)


def make_function_of_code(
    code: types.CodeType, variables: dict[str, Any], name: str, cells: tuple[types.CellType, ...]
) -> types.FunctionType:
    """Make a function whose code has constants that `marshal` does not know."""
    return types.FunctionType(code, variables, name, None, cells or None)


def make_code(code: bytes, constants: tuple[Any, ...]) -> types.CodeType:
    """Make some code with these constants."""
    return load_code(code).replace(co_consts=constants)


def set_function(
    function: types.FunctionType, state: tuple[dict[str, Any], dict[str, Any], dict[str, Any]]
) -> None:
    """Give a function its globals, its special attributes and its own ones."""
    variables, special, own = state
    function.__globals__.update(variables)
    for name, value in special.items():
        setattr(function, name, value)
    function.__dict__.update(own)


def make_cell() -> types.CellType:
    """Make a variable of an enclosing function, not set yet."""
    return types.CellType()


def set_cell(cell: types.CellType, content: tuple[Any]) -> None:
    """Set the variable."""
    [cell.cell_contents] = content


# ---- classes ----


def make_class(
    maker: type, metaclass: type, bases: tuple[type, ...], names: dict[str, Any],
    hooked: tuple[type, ...],
) -> type:  # fmt: skip
    """Make a class without its attributes.

    No code of the user's runs: neither their metaclass, nor `__init_subclass__` of `hooked`, the
    bases that have it, which did so when the class was made.
    """
    hooks = [(base, vars(base)[HOOK]) for base in hooked if HOOK in vars(base)]
    for base, _ in hooks:
        type.__delattr__(base, HOOK)
    try:
        name = names["__qualname__"].rpartition(".")[2]
        cls: type = maker.__new__(metaclass, name, bases, dict(names))
    finally:
        for base, hook in hooks:
            type.__setattr__(base, HOOK, hook)
    return cls


def set_class(cls: type, state: tuple[dict[str, Any], list[type], list[tuple[Any, Any]]]) -> None:
    """Give a class its attributes, its virtual subclasses, and its members if it is an Enum."""
    attributes, registered, members = state
    for name, value in attributes.items():
        type.__setattr__(cls, name, value)
    if registered:
        from abc import ABCMeta

        for subclass in registered:
            ABCMeta.register(cls, subclass)  # type: ignore[arg-type]
    for member, variables in members:
        vars(member).update(variables)


def make_member(cls: type, name: str, data_type: type, arguments: tuple[Any, ...]) -> Any:
    """Make a member of an enumeration, each made once, without its attributes."""
    known = _members.get((cls, name))
    if known is None:
        known = _members[cls, name] = data_type.__new__(cls, *arguments)
    return known


def set_member(cls: Any, name: str, held: dict[str, Any]) -> None:
    """Give a member of an enumeration what it held, its value too: the statement may draw it."""
    member = cls.__members__[name]
    value = held["_value_"]
    if member._value_ != value or type(member._value_) is not type(value):
        cls._value2member_map_.pop(member._value_, None)
        member._value_ = value
        cls._value2member_map_[value] = member
    vars(member).update((key, each) for key, each in held.items() if key != "_value_")


# ---- single objects ----


def import_module(name: str) -> types.ModuleType:
    """Import a module, and return it."""
    __import__(name)
    return sys.modules[name]


def find(module: str, path: str) -> Any:
    """Find what a module has at a dotted path."""
    found: Any = import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found


def make_with(make: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Make a call with named arguments."""
    return make(*arguments, **named)


def make_view(content: dict[Any, Any], kind: str) -> Any:
    """Make the keys, values or items of a dict."""
    return getattr(content, kind)()


def make_lru_cache(wrapped: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:
    """Make a function with an empty cache of its results."""
    import functools

    return functools.lru_cache(maxsize, typed)(wrapped)


def make_cached_property(function: Callable[..., Any], name: str | None, doc: str | None) -> Any:
    """Make a `functools.cached_property`, which has a lock in some versions."""
    import functools

    made: Any = functools.cached_property(function)
    made.attrname = name
    made.__doc__ = doc
    return made


def make_single_dispatch(function: Callable[..., Any]) -> Any:
    """Make a `functools.singledispatch` function, without what is registered with it."""
    import functools

    return functools.singledispatch(function)


def set_single_dispatch(
    function: Any, state: tuple[list[tuple[type, Any]], dict[str, Any]]
) -> None:
    """Register the implementations."""
    implementations, own = state
    for cls, implementation in implementations:
        function.register(cls, implementation)
    function.__dict__.update(own)


def make_context_variable(name: str, default: tuple[Any, ...], value: tuple[Any, ...]) -> Any:
    """Make a context variable with its default and what it is set to, each if there is one."""
    import contextvars

    variable = contextvars.ContextVar(name, default=default[0]) if default else None
    variable = variable or contextvars.ContextVar(name)
    for current in value:
        variable.set(current)
    return variable
