"""Objects that are at home in modules of the user's own, where the function is loaded.

There the modules have been imported. What is at home in them is found by its key, gets what it
held in the root's process, and is checked to be what the root has. Like `rebuild`, this imports
next to nothing.
"""

from __future__ import annotations

import marshal
import types

from ..errors import FunctionError
from .rebuild import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Key = tuple[str | int, ...]
    """A module's name and a path inside it: where an object is at home."""

MISSING = object()


# ---- found by their keys, and given what they held ----


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


# ---- checked ----


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
