"""What code refers to: the globals it uses, and the variables around it."""

from __future__ import annotations

import dis
import sys
import types

from .source import nested_codes

GLOBAL_OPERATIONS = frozenset(
    ["LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"]
)


def global_names(code: types.CodeType, depth: int = sys.maxsize) -> list[str]:
    """The names of globals that some code uses, and what is nested in it so deep."""
    names: dict[str, None] = {}
    for inner in nested_codes(code, depth):
        for instruction in dis.get_instructions(inner):
            if instruction.opname in GLOBAL_OPERATIONS:
                names[str(instruction.argval)] = None
    return list(names)


def variables_around(cls: type) -> dict[str, types.CellType]:
    """What the methods of a class took from the functions around it."""
    found: dict[str, types.CellType] = {}
    for member in vars(cls).values():
        if isinstance(member, property):
            functions = [member.fget, member.fset, member.fdel]
        else:
            functions = [getattr(member, "__func__", member)]
        for method in functions:
            if isinstance(method, types.FunctionType):
                found.update(
                    zip(method.__code__.co_freevars, method.__closure__ or (), strict=True)
                )
    return found
