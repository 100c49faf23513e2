"""Members of enumerations, taken apart without running any code of the user's."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

PLAIN: dict[type, Callable[[Any], Any]] = {
    int: int.__int__,
    float: lambda member: float.fromhex(float.hex(member)),
    str: lambda member: "".join((member,)),
    bytes: lambda member: bytes.__getitem__(member, slice(None)),
    tuple: lambda member: tuple.__getitem__(member, slice(None)),
}
"""How a member of an enumeration that is a subclass becomes a plain value of the data type."""


def all_members(cls: type[enum.Enum]) -> list[enum.Enum]:
    """Return all members of an enumeration, those that flags make when they are combined too."""
    found = {id(member): member for member in cls.__members__.values()}
    found.update((id(member), member) for member in cls._value2member_map_.values())
    return list(found.values())


def raw_member(member: enum.Enum) -> tuple[str, type, tuple[Any, ...]]:
    """Return a key, the data type, and the arguments of its `__new__` that make an equal object."""
    cls = type(member)
    data_type: type = cls._member_type_  # type: ignore[attr-defined]
    key = str(member._name_) if member._name_ is not None else f"value {member._value_!r}"
    if data_type is object:
        return key, object, ()
    plain = PLAIN.get(data_type)
    if plain is not None:
        return key, data_type, (plain(member),)
    reduce: Any = data_type.__reduce_ex__
    reduced = reduce(member, 2)
    arguments = tuple(each for each in reduced[1] if each is not cls)
    return key, data_type, arguments
