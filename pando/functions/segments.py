"""A segment of a source file: from a function to the text that it was made by, and back to code."""

from __future__ import annotations
import __future__

import ast
import sys
import types
from typing import TypeGuard

from ..errors import FunctionError
from .home_objects import shape
from .package import Segment
from .source import (
    FUTURE_FLAGS,
    codes_in,
    compilations,
    nested_codes,
    parse,
    sources_of,
    split_lines,
)

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def segment_of_function(function: types.FunctionType) -> Segment:
    """Return the segment that a function or lambda was compiled from.

    Raises:
        FunctionError: the source cannot be read, or is not what the function was compiled from.
    """
    code = function.__code__
    filename = code.co_filename
    for source in sources_of(filename):
        try:
            compiled = compiled_again(code, source)
        except FunctionError as error:
            failure = error
            continue
        tree = parse(source, filename)
        flags = code.co_flags & FUTURE_FLAGS
        nodes = [node for node in ast.walk(tree) if _may_be(node, compiled)]
        node = nodes[0] if len(nodes) == 1 else _node_around(nodes, compiled)
        segment = make_segment(node, tree, source, filename, flags, list(code.co_freevars))
        # The lines are those of the text that was run, should some have been added meanwhile.
        segment.line += code.co_firstlineno - compiled.co_firstlineno
        return segment
    raise failure


def compiled_again(code: types.CodeType, source: str) -> types.CodeType:
    """Return the same code, compiled from what the source is now."""
    filename = code.co_filename
    for compilation in compilations(source, filename):
        found = [c for c in compilation if c.co_name == code.co_name and same_code(c, code)]
        there = [c for c in found if c.co_firstlineno == code.co_firstlineno]
        if there or len(found) == 1:
            return (there or found)[0]
    if filename.startswith("<"):
        raise FunctionError(f"its source is not in {filename}")
    raise FunctionError(f"{filename} has been edited since it was imported")


def _may_be(node: ast.AST, code: types.CodeType) -> TypeGuard[FunctionNode]:
    """Tell whether a node has the name and the line of a function's code."""
    if isinstance(node, ast.Lambda):
        return code.co_name == "<lambda>" and node.lineno == code.co_firstlineno
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name == code.co_name and first_line(node) == code.co_firstlineno
    return False


def _node_around(nodes: list[FunctionNode], code: types.CodeType) -> FunctionNode:
    """Return the lambda, of several on a line, that some code was compiled from."""
    places = [(line, column) for line, _, column, end in code.co_positions() if line and end]
    first = min(places, default=(0, 0))
    around = [
        node
        for node in nodes
        if isinstance(node, ast.Lambda)
        and (node.body.lineno, node.body.col_offset) <= first
        and first < (node.body.end_lineno or 0, node.body.end_col_offset or 0)
    ]
    if not around:
        raise FunctionError(f"it cannot be told from its neighbours on line {code.co_firstlineno}")
    return max(around, key=lambda node: (node.lineno, node.col_offset))


def first_line(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    """Return the line where a statement begins, with its decorators."""
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def make_segment(
    node: FunctionNode | ast.ClassDef,
    tree: ast.Module,
    source: str,
    filename: str,
    flags: int,
    free: list[str],
) -> Segment:
    """Make the segment of a statement or a lambda of a file."""
    owner = _owner(node, tree)
    if isinstance(node, ast.Lambda):
        text = ast.get_source_segment(source, node) or ""
        return Segment(text, filename, node.lineno, node.col_offset, flags, free, owner)
    first = node.lineno if not isinstance(node, ast.ClassDef) else first_line(node)
    lines = split_lines(source)[first - 1 : node.end_lineno]
    return Segment("".join(lines), filename, first, 0, flags, free, owner)


def _owner(node: FunctionNode | ast.ClassDef, tree: ast.Module) -> str:
    """Return the name of the innermost class that contains a function."""
    line, end = node.lineno, node.end_lineno or 0
    around = [
        outer
        for outer in ast.walk(tree)
        if isinstance(outer, ast.ClassDef) and outer is not node
        if outer.lineno <= line and end <= (outer.end_lineno or 0)
    ]
    return max(around, key=lambda outer: outer.lineno).name if around else ""


def mangle(name: str, owner: str) -> str:
    """Return a name as it is inside a class, where it may be private."""
    if name.startswith("__") and not name.endswith("__"):
        return f"_{owner.lstrip('_')}{name}" if owner.strip("_") else name
    return name


def parse_segment(segment: Segment) -> FunctionNode | ast.ClassDef:
    """Return a segment's node, with the lines of the file it was cut from."""
    text = segment.source.lstrip("\f")
    if text.startswith("lambda"):
        expression = ast.parse(f"({text})", mode="eval").body
        assert isinstance(expression, ast.Lambda)
        _shift_columns(expression, segment.column - 1)
        ast.increment_lineno(expression, segment.line - 1)
        return expression
    if text[0].isspace():
        block = ast.parse("if True:\n" + text).body[0]
        assert isinstance(block, ast.If)
        node, parsed_line = block.body[0], 2
    else:
        node, parsed_line = ast.parse(text).body[0], 1
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ast.increment_lineno(node, segment.line - parsed_line)
    return node


def unevaluated_names(segment: Segment) -> list[str]:
    """Return the names in a class's annotations that are strings, which dataclasses evaluate."""
    if not segment.flags & __future__.annotations.compiler_flag:
        return []
    names: dict[str, None] = {}
    for node in ast.walk(parse_segment(segment)):
        if isinstance(node, ast.AnnAssign):
            names.update((n.id, None) for n in ast.walk(node.annotation) if isinstance(n, ast.Name))
    return list(names)


def _shift_columns(expression: ast.Lambda, by: int) -> None:
    for node in ast.walk(expression):
        if isinstance(node, ast.expr | ast.arg):
            if node.lineno == 1:
                node.col_offset += by
            if node.end_lineno == 1 and node.end_col_offset is not None:
                node.end_col_offset += by


def compile_function(segment: Segment, qualname: str) -> types.CodeType:
    """Return the code of a segment's function, without running anything of it.

    Decorators, defaults and annotations are evaluated where a function is defined, which has
    happened long ago, so they are left out.
    """
    node = parse_segment(segment)
    assert not isinstance(node, ast.ClassDef)
    arguments = node.args
    arguments.defaults = []
    arguments.kw_defaults = [None] * len(arguments.kwonlyargs)
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    for argument in [*every, arguments.vararg, arguments.kwarg]:
        if argument is not None:
            argument.annotation = None
    body: list[ast.stmt]
    if isinstance(node, ast.Lambda):
        body = [ast.Expr(node)]
    else:
        node.decorator_list = []
        node.returns = None
        if sys.version_info >= (3, 12):
            node.type_params = []
        body = [node]
        if not segment.owner and node.name not in segment.free:
            body.insert(0, ast.Global([node.name]))
    if segment.owner:
        owner = _parse_statement(f"class {segment.owner}: pass")
        assert isinstance(owner, ast.ClassDef)
        owner.body = body
        around: list[ast.stmt] = [] if owner.name in segment.free else [ast.Global([owner.name])]
        [owner_code] = codes_in(_compile_outer(segment, [*around, owner]))
        [code] = codes_in(owner_code)
    else:
        [code] = codes_in(_compile_outer(segment, body))
    return _renamed(code, code.co_qualname, qualname)


def compile_class_factory(segment: Segment, qualname: str) -> types.CodeType:
    """Return the code of a function of a segment's free names that returns its class."""
    node = parse_segment(segment)
    assert isinstance(node, ast.ClassDef)
    factory = _parse_statement("def __factory__(): pass")
    assert isinstance(factory, ast.FunctionDef)
    result = ast.Return(ast.Name(node.name, ast.Load()))
    scope = ast.Nonlocal if node.name in segment.free else ast.Global
    factory.body = [scope([node.name]), node, result]
    [code] = codes_in(_compile_outer(segment, [factory]))
    body = next(inner for inner in nested_codes(code) if inner.co_name == node.name)
    return _renamed(code, body.co_qualname, qualname)


def _parse_statement(text: str) -> ast.stmt:
    return ast.parse(text).body[0]


def _compile_outer(segment: Segment, body: list[ast.stmt]) -> types.CodeType:
    """Return the code of ``def __outer__(*free): BODY``, which makes the free names free."""
    outer = _parse_statement("def __outer__(): pass")
    assert isinstance(outer, ast.FunctionDef)
    outer.args.args = [ast.arg(name) for name in segment.free]
    outer.body = body
    module = ast.fix_missing_locations(ast.Module([outer], type_ignores=[]))
    code = compile(module, segment.filename, "exec", segment.flags, dont_inherit=True)
    return codes_in(code)[0]


def _renamed(code: types.CodeType, old: str, new: str) -> types.CodeType:
    """Return some code, with another beginning of its qualified name and of those inside it."""
    qualname = code.co_qualname
    if qualname.startswith(old):
        qualname = new + qualname.removeprefix(old)
    constants: list[object] = []
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            constants.append(_renamed(constant, old, new))
        else:
            # The body of a class has its own qualified name among its constants.
            constants.append(qualname if constant == code.co_qualname else constant)
    return code.replace(co_qualname=qualname, co_consts=tuple(constants))


def same_code(one: types.CodeType, other: types.CodeType) -> bool:
    """Tell whether two code objects are the same but for where they were compiled."""
    return shape(one) == shape(other)
