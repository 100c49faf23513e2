"""The state of modules of the user's own: what of it is sent, and what stays as imported.

What cannot be pickled stays as the import makes it there, if that is of the same type; see
`pando.functions.home_objects`.
"""

from __future__ import annotations

import copyreg
import functools
import sys
import types
from collections.abc import Iterable, Iterator
from typing import Any

from .importing import IMMUTABLE, Importing
from .own_modules import is_own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .home_objects import Key

CONTAINERS: dict[type, str] = {list: "list", dict: "dict", set: "set", bytearray: "bytearray"}
NEW_OBJECT = object.__reduce_ex__(types.SimpleNamespace(), 2)[0]
"""What most objects are made by when they are unpickled."""
DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType)
MAX_INSIDE = 10_000
"""How many objects inside others are looked at for what cannot be pickled."""


class ModuleState(Importing):
    """What is at home in modules of the user's own, and what has to be sent of their state.

    A subclass says what functions and classes that are found reach in their turn.
    """

    def __init__(self) -> None:
        super().__init__()
        self._keys: dict[int, tuple[Key, type | str]] = {}
        self._own_objects: dict[int, tuple[str, str]] | None = None
        self.again()

    def again(self) -> None:
        """Begin anew, knowing what is at home where."""
        self._todo: list[tuple[Any, ...]] = []
        self._kept: list[object] = []
        self._new: set[int] = set()

    def visit(self, value: Any) -> None:
        """Note what a function or a class that is at home in a module reaches."""
        raise NotImplementedError

    def visit_method(self, function: types.FunctionType) -> None:
        """Note what a function reaches that belongs to a class, or is inside another."""
        raise NotImplementedError

    def moved(self, memo: Iterable[int]) -> bool:
        """Tell whether something was pickled before it was known to be at home in a module."""
        return not self._new.isdisjoint(memo)

    def find(self, obj: Any) -> tuple[Key, type | str] | None:
        """Find the key of an object that is at home in a module, and its type."""
        return self._keys.get(id(obj))

    def take(self) -> list[tuple[Any, ...]]:
        """Return what has been noted since the last time."""
        todo, self._todo = self._todo, []
        return todo

    @property
    def has_any(self) -> bool:
        """Whether anything is at home in modules."""
        return bool(self._keys)

    def is_held_by_own(self, obj: Any) -> bool:
        """Tell whether a module of the user's own holds an object of a class of theirs.

        Then it is at home there, which is noted.
        """
        if not self.any_own_module or id(obj) in self._keys:
            return False
        if self._own_objects is None:
            self._own_objects = {
                id(value): (name, attribute)
                for name, module in sys.modules.copy().items()
                if is_own(module) and self.can_import(module)
                for attribute, value in list(vars(module).items())
                if is_own(sys.modules.get(type(value).__module__))
            }
        key = self._own_objects.get(id(obj))
        if key is None:
            return False
        self._note_object(key, obj)
        return id(obj) in self._keys

    def _note(self, key: Key, value: Any) -> None:
        """Have the value of a module's variable, or of a class's attribute, sent."""
        if isinstance(value, types.ModuleType):
            return
        if isinstance(value, IMMUTABLE):
            self._todo.append(("bind", key, value))
            return
        if isinstance(value, types.FunctionType | type | functools._lru_cache_wrapper):
            if self.home_of(value) == (key[0], ".".join(map(str, key[1:]))):
                self.visit(value)
            else:
                self._todo.append(("bind", key, value))
            return
        kind = CONTAINERS.get(type(value))
        if kind is not None:
            self._note_container(key, value, kind)
            self._todo.append(("bind", key, value))
            return
        self._note_object(key, value)

    def _note_object(self, key: Key, value: Any) -> None:
        cls = type(value)
        if not _is_reduced_by_default(cls) or cls in copyreg.dispatch_table:
            self._todo.append(("bind", key, value))
            return
        if isinstance(value, DESCRIPTORS):
            return
        if cls is object:  # known by its identity alone
            self._settle(key, value, cls)
            return
        if _is_wrapper(value):
            self._note_wrapper(key, value)
            return
        self._find_unpicklable(key, value)
        try:
            reduced = value.__reduce_ex__(4)
        except Exception:
            self._settle(key, value, cls.__qualname__)
            self._todo.append(("bind", key, value))  # which looks at its type there
            return
        if not isinstance(reduced, tuple) or reduced[:2] != (NEW_OBJECT, (cls,)):
            self._todo.append(("bind", key, value))
            return
        state, members, entries = (*reduced[2:], None, None, None)[:3]
        self._settle(key, value, cls)
        content = (state, members and list(members), entries and list(entries))
        self._todo += [("fill", value, "object", content), ("bind", key, value)]

    def _note_wrapper(self, key: Key, value: Any) -> None:
        """A property and the like of a class: as imported where its functions are."""
        functions = [
            each
            for each in (
                getattr(value, name, None) for name in ("fget", "fset", "fdel", "__func__", "func")
            )
            if each is not None
        ]
        path = ".".join(map(str, key[1:]))
        for each in functions:
            natural = getattr(each, "__qualname__", None) == path
            if not natural or getattr(each, "__module__", None) != key[0]:
                self._todo.append(("bind", key, value))
                return
            if isinstance(each, types.FunctionType):
                self.visit_method(each)

    def _note_container(self, key: Key, value: Any, kind: str) -> None:
        self._settle(key, value, type(value))
        content = bytes(value) if kind == "bytearray" else _copy(value, kind)
        self._todo.append(("fill", value, kind, content))
        self._find_unpicklable(key, value)

    def _settle(self, key: Key, value: Any, kind: type | str) -> None:
        if id(value) not in self._keys:
            self._keys[id(value)] = key, kind
            self._new.add(id(value))
        self._kept.append(value)

    def _find_unpicklable(self, key: Key, value: Any) -> None:
        """Note what inside an object cannot be pickled: there it stays as imported."""
        queue: list[tuple[Key, Any]] = [(key, value)]
        seen: set[int] = set()
        while queue and len(seen) < MAX_INSIDE:
            place, owner = queue.pop()
            for name, member in _inside(owner):
                kind = type(member)
                if id(member) in seen or isinstance(member, (*IMMUTABLE, type, types.FunctionType)):
                    continue
                seen.add(id(member))
                inner = (*place, name)
                if kind in CONTAINERS or "__dict__" in dir(kind):
                    queue.append((inner, member))
                if _is_reduced_by_default(kind) and not _can_be_pickled(member):
                    self._settle(inner, member, kind.__qualname__)


def _copy(value: Any, kind: str) -> Any:
    return list(value.items()) if kind == "dict" else list(value)


def _is_wrapper(value: Any) -> bool:
    return isinstance(value, property | staticmethod | classmethod | functools.cached_property)


def _inside(owner: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(owner, dict):
        yield from [(k, v) for k, v in list(owner.items()) if isinstance(k, str | int)]
    elif isinstance(owner, list | tuple):
        yield from enumerate(owner)
    else:
        yield from list(getattr(owner, "__dict__", {}).items())


def _is_reduced_by_default(cls: Any) -> bool:
    """Tell whether a type leaves it to `object` how its objects are pickled."""
    default: Any = object
    return (cls.__reduce_ex__, cls.__reduce__) == (default.__reduce_ex__, default.__reduce__)


def _can_be_pickled(value: Any) -> bool:
    try:
        value.__reduce_ex__(4)
    except Exception:
        return False
    return True
