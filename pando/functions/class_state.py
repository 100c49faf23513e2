"""What a class holds that its statement does not tell, for the form that is made of source."""

from __future__ import annotations

import abc
import ast
import enum
import functools
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from . import references, segments, source
from .package import Segment

DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType)
WRAPPERS = (
    property, staticmethod, classmethod, functools.cached_property, functools.partialmethod,
    functools.singledispatchmethod, functools._lru_cache_wrapper,
)  # fmt: skip
OF_TUPLES = {"_fields", "_field_defaults", "_make", "_asdict", "_replace", "_source"}


@dataclass
class ClassState:
    """What is to be set in a class after its statement has run.

    Attributes:
        attributes: values by name; a dotted one is in a class inside.
        by_statement: the names of those that the statement binds, too.
        removed: names that the statement binds and that are gone.
        registered: virtual subclasses of an abstract class.
        members: what the members of an enumeration hold, by name.
    """

    attributes: dict[str, Any] = field(default_factory=dict)
    by_statement: set[str] = field(default_factory=set)
    removed: list[str] = field(default_factory=list)
    registered: list[type] = field(default_factory=list)
    members: dict[str, dict[str, Any]] = field(default_factory=dict)


def state_of(cls: type, segment: Segment) -> ClassState:
    """Return the state of a class that was made by a statement."""
    node = segments.parse_segment(segment)
    assert isinstance(node, ast.ClassDef)
    state = ClassState()
    _add_state(state, cls, node, segment, "")
    if isinstance(cls, abc.ABCMeta):
        found = abc._get_dump(cls)[0]  # type: ignore[attr-defined]
        state.registered = [subclass for weak in found if (subclass := weak()) is not None]
    if issubclass(cls, enum.Enum):
        state.members = {
            name: {
                key: value
                for key, value in vars(member).items()
                if key == "_value_" or not key.startswith("_")
            }
            for name, member in cls.__members__.items()
        }
    return state


def _add_state(
    state: ClassState, cls: type, node: ast.ClassDef, segment: Segment, prefix: str
) -> None:
    bound = _bound_names(node)
    decorated = {
        each.name
        for each in node.body
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.decorator_list
    }
    inner = {each.name: each for each in node.body if isinstance(each, ast.ClassDef)}
    for name, value in vars(cls).items():
        if name in inner and isinstance(value, type):
            if value.__qualname__ == f"{cls.__qualname__}.{name}":
                _add_state(state, value, inner[name], segment, f"{prefix}{name}.")
                continue
        elif _is_by_statement(cls, name, value, segment, decorated):
            continue
        state.attributes[prefix + name] = value
        if name in bound:
            state.by_statement.add(prefix + name)
    doc = ast.get_docstring(node, clean=False)
    if isinstance(cls.__doc__, str) and cls.__doc__ != doc and not issubclass(cls, tuple):
        state.attributes[f"{prefix}__doc__"] = cls.__doc__
    if not issubclass(cls, enum.Enum | tuple):
        mangled = {segments.mangle(name, cls.__name__) for name in bound}
        state.removed += [prefix + name for name in sorted(mangled - vars(cls).keys())]


def _is_by_statement(
    cls: type, name: str, value: Any, segment: Segment, decorated: set[str]
) -> bool:
    """Tell whether the statement gives a class this attribute as it is, or none may set it."""
    if isinstance(value, DESCRIPTORS) or name.startswith("_abc_"):
        return True
    if issubclass(cls, enum.Enum) and (name in cls.__members__ or name[:1] == name[-1:] == "_"):
        return not isinstance(value, types.FunctionType)
    if issubclass(cls, tuple) and (name in OF_TUPLES or name in getattr(cls, "_fields", ())):
        return True
    functions = list(_functions_in(value))
    if functions:
        if all(_is_inside(each.__code__, cls, segment) for each in functions):
            return True
        generated = all(each.__code__.co_filename != segment.filename for each in functions)
        return generated and (name in decorated or _is_dunder(name))
    return _is_dunder(name)


def _functions_in(value: Any) -> Iterator[types.FunctionType]:
    """Return the functions that a method, or what wraps some, was made of."""
    if isinstance(value, types.FunctionType):
        yield value
        if (wrapped := getattr(value, "__wrapped__", None)) is not None:
            yield from _functions_in(wrapped)
    elif isinstance(value, WRAPPERS):
        for name in ("fget", "fset", "fdel", "__func__", "func", "__wrapped__"):
            yield from _functions_in(getattr(value, name, None))


def _is_inside(code: types.CodeType, cls: type, segment: Segment) -> bool:
    last = segment.line + len(source.split_lines(segment.source)) - 1
    return (
        code.co_filename == segment.filename
        and segment.line <= code.co_firstlineno <= last
        and code.co_qualname.startswith(f"{cls.__qualname__}.")
    )


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _bound_names(node: ast.ClassDef) -> set[str]:
    """Return the names that the body of a class binds, whichever way it takes."""
    names: set[str] = set()
    queue: list[ast.AST] = list(node.body)
    while queue:
        each = queue.pop()
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(each.name)
            continue
        if isinstance(each, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp):
            continue
        if isinstance(each, ast.AnnAssign) and each.value is None:
            continue
        if isinstance(each, ast.Delete):
            names -= {target.id for target in each.targets if isinstance(target, ast.Name)}
            continue
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            names.add(each.id)
        if isinstance(each, ast.Import | ast.ImportFrom):
            names.update((a.asname or a.name).partition(".")[0] for a in each.names)
        queue += ast.iter_child_nodes(each)
    # What is bound only in a branch, or deleted again, may rightly not be there.
    certain = {
        target.id
        for each in node.body
        if isinstance(each, ast.Assign | ast.AnnAssign) and getattr(each, "value", None) is not None
        for target in (each.targets if isinstance(each, ast.Assign) else [each.target])
        if isinstance(target, ast.Name)
    }
    return names & certain | {
        each.name
        for each in node.body
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }


def variables_around(cls: type, segment: Segment) -> dict[str, types.CellType]:
    """Return what a class took from the functions around it, as far as it can be told.

    Its methods have it; its bases and metaclass are known, and so is what its body binds to a
    name alone.
    """
    found = references.variables_around(cls)
    missing = [name for name in segment.free if name not in found]
    if not missing:
        return found
    node = segments.parse_segment(segment)
    assert isinstance(node, ast.ClassDef)
    bases = getattr(cls, "__orig_bases__", cls.__bases__)
    told: dict[str, Any] = {}
    if len(bases) == len(node.bases):
        for base, value in zip(node.bases, bases, strict=True):
            if isinstance(base, ast.Name):
                told[base.id] = value
    for keyword in node.keywords:
        if keyword.arg == "metaclass" and isinstance(keyword.value, ast.Name):
            told[keyword.value.id] = type(cls)
    for each in node.body:
        if isinstance(each, ast.Assign) and isinstance(each.value, ast.Name):
            for target in each.targets:
                if isinstance(target, ast.Name) and target.id in vars(cls):
                    told.setdefault(each.value.id, vars(cls)[target.id])
    found.update((name, types.CellType(told[name])) for name in missing if name in told)
    return found
