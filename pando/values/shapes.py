"""Named tuples, dataclasses and enumerations: how an instance is taken apart and made again.

A shape is made once for a class. Making an instance from a message then
uses only what the shape has found: no method of the class runs, neither `__new__`, `__init__`,
`__post_init__` or `__setstate__`, nor a descriptor or a metaclass of the user's own.
"""

from __future__ import annotations

import sys
import types

from ..errors import MalformedValueError, UnsupportedValueError
from .extensions import Extension

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

HEAP_TYPE = 1 << 9
"""CPython's flag of classes that are made by a class statement."""
MAX_COMBINATIONS = 65536
"""Combinations of an enumeration's flags, each of which CPython never forgets."""
NAMELESS_BASES = {("typing", "Generic"), ("typing", "Protocol")}
PLAIN_VALUES = (bool, int, float, str)


class Shape:
    """How instances of one class are serialized.

    Attributes:
        type: the class.
        code: the extension type.
        hashes_itself: whether `hash` or ``==`` of an instance runs code of the user's own.
    """

    code: int

    def __init__(self, type: type) -> None:
        self.type = type
        self.hashes_itself = not _is_compared_by_known_code(type)

    def take_apart(self, value: Any) -> list[Any]:
        """Return what is serialized, after the class's name.

        Raises:
            UnsupportedValueError: the instance has something that it could not be given again.
        """
        raise NotImplementedError

    def make(self, parts: list[Any]) -> Any:
        """Make the instance that was taken apart.

        Raises:
            MalformedValueError: the parts are none of such an instance.
        """
        raise NotImplementedError


class NamedTupleShape(Shape):
    """A named tuple: its members, in order."""

    code = Extension.NAMED_TUPLE

    def __init__(self, type: type) -> None:
        super().__init__(type)
        self._size = len(_lookup(type, "_fields"))

    def take_apart(self, value: Any) -> list[Any]:
        if getattr(value, "__dict__", None):
            raise UnsupportedValueError(
                f"{next(iter(value.__dict__))!r} is an attribute, but none of its fields"
            )
        return list(value)

    def make(self, parts: list[Any]) -> Any:
        if len(parts) != self._size:
            raise MalformedValueError(f"{len(parts)} values for {self._size} fields")
        return tuple.__new__(self.type, parts)


class DataclassShape(Shape):
    """A dataclass: its fields, and what else its instances have as attributes."""

    code = Extension.DATACLASS

    def __init__(self, type: type) -> None:
        super().__init__(type)
        self._slots: dict[str, types.MemberDescriptorType] = {}
        for base in reversed(type.__mro__):
            for name, member in vars(base).items():
                if isinstance(member, types.MemberDescriptorType):
                    if _lookup(type, name) is not member:
                        raise UnsupportedValueError(f"its slot {name!r} is hidden by its class")
                    self._slots[name] = member
        self._has_dict = _lookup(type, "__dict__") is not None
        fields = [
            each for each in _lookup(type, "__dataclass_fields__").values() if _is_field(each)
        ]
        self._fields = {field.name: None for field in fields}
        # The fields first, in their own order: where it is read as JavaScript, it shows.
        order = [*self._fields, *self._slots]
        self._slots = {name: self._slots[name] for name in order if name in self._slots}
        self._required = {field.name for field in fields if field.init}
        for name in self._fields:
            if name not in self._slots and hasattr(_type_of_attribute(type, name), "__set__"):
                raise UnsupportedValueError(f"its field {name!r} is a descriptor")

    def take_apart(self, value: Any) -> list[Any]:
        state: dict[str, Any] = {}
        for name, slot in self._slots.items():
            try:
                state[name] = slot.__get__(value)
            except AttributeError:
                continue  # it is not set
        if self._has_dict:
            state.update(object.__getattribute__(value, "__dict__"))
        for name in self._required - state.keys():
            raise UnsupportedValueError(f"its field {name!r} is not set")
        for name in state:
            if not self._accepts(name):
                raise UnsupportedValueError(f"its attribute {name!r} hides what its class has")
        return [state]

    def make(self, parts: list[Any]) -> Any:
        (state,) = parts
        if type(state) is not dict or not self._required <= state.keys():
            raise MalformedValueError("not all fields are there")
        for name in state:
            if not self._accepts(name):
                raise MalformedValueError("an attribute that such an instance cannot have")
        made: Any = object.__new__(self.type)
        for name, value in state.items():
            object.__setattr__(made, name, value)
        return made

    def _accepts(self, name: object) -> bool:
        """Tell whether setting an attribute of this name runs no code and hides no method."""
        if not isinstance(name, str):
            return False
        if name in self._fields or name in self._slots:
            return True
        if not self._has_dict or not name.isidentifier():
            return False
        found = _lookup(self.type, name)
        if found is None or type(found).__name__ == "cached_property":
            return not hasattr(type(found), "__set__")
        return not hasattr(type(found), "__get__") and not callable(found)


class EnumShape(Shape):
    """An enumeration: a member by its name, or flags by their bits."""

    code = Extension.ENUM

    def __init__(self, type: type) -> None:
        super().__init__(type)
        import enum

        self._members: Mapping[str, Any] = _lookup(type, "_member_map_")
        if not self._members:
            raise UnsupportedValueError("it has no members")
        self._by_value: dict[Any, Any] = _lookup(type, "_value2member_map_")
        self._is_flag = issubclass(type, enum.Flag)
        self._bits = 0
        if self._is_flag:
            self._bits = _lookup(type, "_flag_mask_")
            makers = [_lookup(type, "__new_member__"), _lookup(type, "_iter_member_")]
            self._has_own_maker = any(
                each is not None and not _is_of_standard_library(each) for each in makers
            )

    def take_apart(self, value: Any) -> list[Any]:
        name, content = value._name_, value._value_
        if name in self._members and self._members[name] is value:
            return [name, content if type(content) in PLAIN_VALUES else None]
        if not self._is_flag or content & ~self._bits or self._has_own_maker:
            raise UnsupportedValueError("it has no name in its class")
        return [None, content]

    def make(self, parts: list[Any]) -> Any:
        name, content = parts
        if type(name) is str:
            return self._members[name]
        if name is not None or not self._is_flag or type(content) is not int:
            raise MalformedValueError("no name")
        known = self._by_value.get(content)
        return self._combine(content) if known is None else known

    def _combine(self, content: int) -> Any:
        import enum

        if content & ~self._bits or self._has_own_maker:
            raise MalformedValueError("bits that have no name")
        if len(self._by_value) >= MAX_COMBINATIONS:
            raise MalformedValueError("too many combinations of flags")
        return vars(enum.Flag)["_missing_"].__func__(self.type, content)


def kind_of_class(cls: type) -> type[Shape] | None:
    """Tell which shape instances of a class have, if they have one."""
    enum = sys.modules.get("enum")
    if enum is not None and isinstance(cls, enum.EnumType):
        return EnumShape
    if issubclass(cls, tuple):
        fields = _lookup(cls, "_fields")
        is_named = type(fields) is tuple and all(type(each) is str for each in fields)
        return NamedTupleShape if is_named else None
    return DataclassShape if _lookup(cls, "__dataclass_fields__") else None


def shape_of(cls: type) -> Shape:
    """Make the shape of a class.

    Raises:
        UnsupportedValueError: its instances cannot be made without running its code.
    """
    kind = kind_of_class(cls)
    if kind is None:
        raise UnsupportedValueError("it is no named tuple, dataclass or enumeration")
    if kind is not EnumShape:
        _check_layout(cls, tuple if kind is NamedTupleShape else object)
        if _lookup(cls, "__del__") is not None:
            raise UnsupportedValueError("its class has a __del__ method")
    return kind(cls)


def _check_layout(cls: type, base: type) -> None:
    """Refuse what has a part of another type in it, such as a dataclass that is a dict, too."""
    for each in cls.__mro__:
        is_made_here = each.__flags__ & HEAP_TYPE or each in (base, object)
        if not is_made_here and (each.__module__, each.__name__) not in NAMELESS_BASES:
            raise UnsupportedValueError(f"its class is a {each.__name__}, too")
    found = _lookup(cls, "__dict__")
    if found is not None and not isinstance(found, types.GetSetDescriptorType):
        raise UnsupportedValueError("its class defines its own __dict__")


def _lookup(cls: type, name: str) -> Any:
    """Return what a class or a base of it holds under a name; None for nothing."""
    for base in type.__dict__["__mro__"].__get__(cls):
        variables = type.__dict__["__dict__"].__get__(base)
        if name in variables:
            return variables[name]
    return None


def _type_of_attribute(cls: type, name: str) -> type:
    return type(_lookup(cls, name))


def _is_field(field: Any) -> bool:
    return getattr(field._field_type, "name", "") == "_FIELD"


# ---- hashes and comparisons ----


def _is_compared_by_known_code(cls: type) -> bool:
    """Tell whether `hash` and ``==`` run no code of the user's, except that of the members."""
    fields = _lookup(cls, "__dataclass_fields__") or {}
    return (
        _is_known(_lookup(cls, "__hash__"), {"hash", *fields})
        and _is_known(_lookup(cls, "__eq__"), {"__class__", "NotImplemented", *fields})
        and isinstance(_lookup(cls, "__getattribute__"), types.WrapperDescriptorType)
    )


def _is_known(method: Any, names: set[str]) -> bool:
    """Tell whether a method is made in C, of the standard library, or as `dataclasses` makes it."""
    if method is None or isinstance(method, types.WrapperDescriptorType):
        return True
    method = getattr(method, "__wrapped__", method)  # of `reprlib.recursive_repr`
    if not isinstance(method, types.FunctionType):
        return False
    if _is_of_standard_library(method):
        return True
    code = method.__code__
    is_generated = code.co_filename == "<string>" and not code.co_freevars
    return is_generated and names >= {*code.co_names} and "hash" not in method.__globals__


def _is_of_standard_library(found: Any) -> bool:
    found = getattr(found, "__func__", found)
    if isinstance(found, types.FunctionType):
        return found.__globals__ is vars(sys.modules.get("enum", types))
    return isinstance(found, types.BuiltinFunctionType | types.WrapperDescriptorType)
