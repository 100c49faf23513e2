"""The statement that made a class, proven by the code of its methods."""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple, TypeGuard

from ..errors import FunctionError
from . import segments, source
from .package import Segment


class _Found(NamedTuple):
    filename: str
    text: str
    tree: ast.Module
    node: ast.ClassDef


def segment_of_class(cls: type) -> Segment:
    """Return the segment that a class was made by, with its decorators.

    Raises:
        FunctionError: its source cannot be read or found, or it is not clear which it is.
    """
    methods = [code for code in _codes_of(cls) if code.co_qualname.startswith(cls.__qualname__)]
    found: list[_Found] = []
    failure = FunctionError("its source cannot be found")
    for filename, text in _texts_for_class(cls, methods):
        try:
            tree = source.parse(text, filename)
            inside = [code for code in methods if code.co_filename == filename]
            for node in _classes_named(tree, cls.__qualname__.replace("<locals>.", "").split(".")):
                if _fits(cls, node, inside, text, filename):
                    found.append(_Found(filename, text, tree, node))
        except FunctionError as error:
            failure = error
        if found:
            break
    if not found:
        if methods and not methods[0].co_filename.startswith("<"):
            raise FunctionError(f"{methods[0].co_filename} has been edited since it was imported")
        raise failure
    filename, text, tree, node = _choose(cls, found)
    free = _free_names_of_class(source.compile_tree(tree, filename, 0), node)
    segment = segments.make_segment(node, tree, text, filename, source.future_flags(tree), free)
    segment.line += _shift(methods, text, filename)
    return segment


def _codes_of(cls: type) -> list[types.CodeType]:
    """Return the code of a class's own methods, those inside of decorators too."""
    codes = []
    for member in vars(cls).values():
        parts = [member, *(getattr(member, name, None) for name in ("fget", "__func__", "func"))]
        for part in parts:
            while part is not None:
                code = getattr(part, "__code__", None)
                if isinstance(code, types.CodeType):
                    codes.append(code)
                part = getattr(part, "__wrapped__", None)
    return codes


def _texts_for_class(cls: type, methods: list[types.CodeType]) -> Iterator[tuple[str, str]]:
    """Return the texts that may have the statement of a class: of its methods, or its module."""
    filenames = list(dict.fromkeys(code.co_filename for code in methods))
    if not filenames:
        module = sys.modules.get(cls.__module__)
        home = getattr(module, "__file__", None)
        if isinstance(home, str):
            filenames = [home]
        else:
            yield from source.cells()
            filenames = ["<string>"]
    for filename in filenames:
        with suppress(FunctionError):
            for text in source.sources_of(filename):
                yield filename, text
    if not methods:
        yield from (("<timed exec>", text) for text in source.texts_of_magics())


def _fits(
    cls: type, node: ast.ClassDef, methods: list[types.CodeType], text: str, filename: str
) -> bool:
    """Tell whether a statement may be the one that has made a class."""
    annotated = [n.target.id for n in node.body if _is_annotated(n)]
    known = vars(cls).get("__annotations__")
    if known is not None and set(annotated) != set(known):
        return False
    lines = range(segments.first_line(node), (node.end_lineno or 0) + 1)
    for compilation in source.compilations(text, filename):
        inside = [code for code in compilation if code.co_firstlineno in lines]
        if all(
            any(c.co_name == code.co_name and segments.same_code(c, code) for c in inside)
            for code in methods
        ):
            return True
    return False


def _is_annotated(node: ast.stmt) -> TypeGuard[Any]:
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)


def _choose(cls: type, found: list[_Found]) -> _Found:
    """Return the statement that has made a class, of several that may have."""
    line = vars(cls).get("__firstlineno__")  # since Python 3.13
    lines = {code.co_firstlineno for code in _codes_of(cls)}
    exact = [
        each
        for each in found
        if line == segments.first_line(each.node)
        or lines & set(range(each.node.lineno, (each.node.end_lineno or 0) + 1))
    ]
    best = exact or found
    headers = {
        ast.dump(ast.Tuple([*n.bases, *(k.value for k in n.keywords), *n.decorator_list]))
        for n in (each.node for each in best)
    }
    if len(headers) > 1:
        raise FunctionError("it cannot be told from another class of this name")
    return best[-1]


def _shift(methods: list[types.CodeType], text: str, filename: str) -> int:
    """Tell how many lines have been added before a class since it was made."""
    for code in methods:
        if code.co_filename == filename:
            with suppress(FunctionError):
                return code.co_firstlineno - segments.compiled_again(code, text).co_firstlineno
    return 0


def _classes_named(tree: ast.AST, path: list[str]) -> list[ast.ClassDef]:
    """Return all classes that a qualified name may mean, in the order of the file."""
    found = []
    for child in ast.iter_child_nodes(tree):
        named = isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if not named:
            found += _classes_named(child, path)
        elif child.name == path[0]:  # type: ignore[attr-defined]
            if len(path) > 1:
                found += _classes_named(child, path[1:])
            elif isinstance(child, ast.ClassDef):
                found.append(child)
    return found


def _free_names_of_class(code_of_file: types.CodeType, node: ast.ClassDef) -> list[str]:
    """Return the names that a class takes from the functions around it, in its header too."""
    for outer in source.nested_codes(code_of_file):
        for code in source.codes_in(outer):
            if code.co_name == node.name and code.co_firstlineno == segments.first_line(node):
                variables = {*outer.co_varnames, *outer.co_cellvars, *outer.co_freevars}
                header = [*node.bases, *(k.value for k in node.keywords), *node.decorator_list]
                names = [n.id for h in header for n in ast.walk(h) if isinstance(n, ast.Name)]
                taken = [name for name in names if name in variables]
                return list(dict.fromkeys([*code.co_freevars, *taken]))
    raise FunctionError("its source cannot be found")
