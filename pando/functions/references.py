"""What code refers to: the globals it uses, and the variables around it."""

from __future__ import annotations

import ast
import contextvars
import dis
import sys
import types
import typing
from typing import Any

from .source import nested_codes

GLOBAL_OPERATIONS = frozenset(
    ["LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"]
)


def global_names(code: types.CodeType, depth: int = sys.maxsize) -> list[str]:
    """Return the names of globals that some code uses, and what is nested in it up to a depth."""
    names: dict[str, None] = {}
    for inner in nested_codes(code, depth):
        for instruction in dis.get_instructions(inner):
            if instruction.opname in GLOBAL_OPERATIONS:
                names[str(instruction.argval)] = None
    return list(names)


def variables_around(cls: type) -> dict[str, types.CellType]:
    """Return what the methods of a class took from the functions around it."""
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


def attribute_names(code: types.CodeType) -> set[str]:
    """Return all names that some code, and what is nested in it, looks up anywhere."""
    names: set[str] = set()
    for inner in nested_codes(code):
        names.update(inner.co_names)
    return names


def imports_anything(code: types.CodeType) -> bool:
    """Tell whether some code, or what is nested in it, has an import statement."""
    return any(_IMPORT_NAME in inner.co_code[::2] for inner in nested_codes(code))


def imported_modules(code: types.CodeType, package: str) -> list[str]:
    """Return the modules that some code imports by a statement, relative to a package."""
    names = []
    for inner in nested_codes(code):
        for instruction in dis.get_instructions(inner):
            if instruction.opcode == _IMPORT_NAME:
                name = str(instruction.argval)
                names += [name, f"{package}.{name}"] if package else [name]
    return [name for name in names if name]


_IMPORT_NAME = dis.opmap["IMPORT_NAME"]


def names_in(annotation: str) -> list[str]:
    """Return the names in an annotation that is a string."""
    try:
        tree = ast.parse(annotation, mode="eval")
    except SyntaxError:
        return []
    return [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]


def arguments_of_type_variable(variable: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return what makes an equal `TypeVar`, `ParamSpec`, `NewType` and so on."""
    name = variable.__name__
    if isinstance(variable, typing.NewType):
        return (name, variable.__supertype__), {}
    if isinstance(variable, typing.TypeVar | typing.ParamSpec):
        constraints = getattr(variable, "__constraints__", ())
        named = {
            "bound": variable.__bound__,
            "covariant": variable.__covariant__,
            "contravariant": variable.__contravariant__,
        }
        named = {key: value for key, value in named.items() if value}
        return (name, *constraints), named
    if hasattr(variable, "__value__"):
        return (name, variable.__value__), {"type_params": variable.__type_params__}
    return (name,), {}


def content_of(variable: contextvars.ContextVar[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return the default of a context variable and its value here, each if there is one."""

    def get() -> tuple[Any, ...]:
        try:
            return (variable.get(),)
        except LookupError:
            return ()

    default, value = contextvars.Context().run(get), get()
    same = bool(default and value and default[0] is value[0])
    return default, () if same else value
