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

from ..errors import FunctionError
from .short_names import rename

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Key = tuple[str | int, ...]
    """A module's name and a path inside it: where an object is at home."""

FORMAT = 2
"""Goes up with each change here that makes earlier pickles wrong."""
MISSING = object()

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


CO_VARARGS, CO_VARKEYWORDS = 0x04, 0x08  # as in `inspect`, which is slow to import


def shape(code: types.CodeType) -> tuple[object, ...]:
    """Return what of some code does not depend on where it was compiled."""
    constants = [
        shape(constant) if isinstance(constant, types.CodeType) else (type(constant), constant)
        for constant in code.co_consts
    ]
    stars = code.co_flags & (CO_VARARGS | CO_VARKEYWORDS)
    arguments = (code.co_posonlyargcount, code.co_argcount, code.co_kwonlyargcount, stars)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return (code.co_code, arguments, names, repr(constants))


def check_code(key: Key, code: bytes) -> None:
    """See that a decorated function is what importing its module makes here, too.

    Raises:
        FunctionError: it is not, since it was replaced after its module was imported.
    """
    found = resolve(key)
    there = getattr(found, "__code__", None)
    if there is None or shape(there) != shape(marshal.loads(code)):
        raise _replaced(key)


def origin_of(code: types.CodeType) -> list[str | int]:
    """Tell where some code was written, which is the same in all versions of Python."""
    return [code.co_filename, code.co_qualname, code.co_firstlineno]


def check_origin(key: Key, origin: list[str | int]) -> None:
    """`check_code` for other versions of Python."""
    there = getattr(resolve(key), "__code__", None)
    if there is None or origin_of(there) != origin:
        raise _replaced(key)


def _replaced(key: Key) -> FunctionError:
    return FunctionError(
        f"{describe(key)} has been replaced since its module was imported, by a function that "
        "looks like it; workers cannot be sent that"
    )


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


# ---- modules of the user's own ----


class Homes:
    """Objects that are at home in modules of the user's own: they stay those of the import.

    What refers to one gets the very object that the module has here, and what it holds is set to
    what it held in the root's process.
    """

    def __init__(self) -> None:
        self._found: dict[Key, Any] = {}

    def find(self, key: Key, kind: type | str) -> Any:
        """Find the object of a key as a pickle has it, made where there is none of this type."""
        if key in self._found:
            return self._found[key]
        found = resolve(key)
        if isinstance(kind, str):  # the name of the type of what cannot be pickled
            if type(found).__qualname__ != kind:
                there = (
                    f"gives a value of type {type(found).__qualname__!r} there"
                    if found is not MISSING
                    else "gives none there"
                )
                raise FunctionError(
                    f"{describe(key)}, a value of type {kind!r}, cannot be sent to workers, and "
                    f"importing {key[0]} {there}"
                )
        elif type(found) is not kind:
            found = _new(kind)
        self._found[key] = found
        return found


def _new(cls: Any) -> Any:
    return cls.__new__(cls)


def bind(key: Key, value: Any) -> None:
    """Bind a name in a module, or an attribute of a class or of a function there."""
    *parts, name = key
    owner = resolve(tuple(parts))
    if get_member(owner, name) is value:
        return
    if isinstance(owner, type):
        type.__setattr__(owner, str(name), value)
    elif owner is not MISSING:
        setattr(owner, str(name), value)


def describe(key: Key) -> str:
    """Describe an object that is at home in a module."""
    module, name, *inside = key
    text = f"{name!r} of the module {module}"
    for part in inside:
        text = f"{part!r} of {text}"
    return text


def resolve(key: Key) -> Any:
    """Return what is at home under a key here, or `MISSING`."""
    found: Any = import_module(str(key[0]))
    for part in key[1:]:
        found = get_member(found, part)
    return found


def get_member(owner: Any, name: str | int) -> Any:
    """Return an attribute without asking descriptors, an entry of a dict or a member of a list."""
    if isinstance(owner, dict):
        return owner.get(name, MISSING)
    if isinstance(owner, list | tuple):
        return owner[name] if isinstance(name, int) and name < len(owner) else MISSING
    if isinstance(owner, types.FunctionType) and name in {"__closure__", "__defaults__"}:
        return getattr(owner, str(name)) or ()
    if isinstance(owner, types.CellType):
        return owner.cell_contents
    return getattr(owner, "__dict__", {}).get(name, MISSING)


def fill(made: Any, kind: str, content: Any) -> None:
    """Give an object that is at home in a module what it held in the root's process."""
    if kind == "object":
        state, members, entries = content
        if getattr(made, "__dict__", None) is not None:
            made.__dict__.clear()
        set_state(made, state)
        if members is not None:
            del made[:]
            made.extend(members)
        if entries is not None:
            made.clear()
            made.update(entries)
    elif kind in {"list", "bytearray"}:
        made[:] = content
    else:  # a dict or a set
        made.clear()
        made.update(content)


def set_state(made: Any, state: Any) -> None:
    """Give an object its state as `pickle` does."""
    if hasattr(made, "__setstate__"):
        if state is not None:
            made.__setstate__(state)
        return
    slots = None
    if isinstance(state, tuple) and len(state) == 2:
        state, slots = state
    if state:
        made.__dict__.update(state)
    for name, value in (slots or {}).items():
        setattr(made, name, value)
