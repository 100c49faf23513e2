"""Where a function's source stands: from an object to a segment of a file, and back to code."""

from __future__ import annotations
import __future__

import ast
import functools
import linecache
import sys
import types

from ..errors import FunctionError
from .package import Segment

FUTURE_FLAGS = functools.reduce(
    int.__or__, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
)
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def read_source(filename: str) -> str:
    """The text of a source file, of a notebook's cell, or of ``python -c``.

    Raises:
        FunctionError: there is none, as for functions made by `exec` or read from standard input.
    """
    linecache.checkcache(filename)
    lines = linecache.getlines(filename)
    if lines:
        return "".join(lines)
    if filename == "<string>" and "-c" in sys.orig_argv[:-1]:
        return sys.orig_argv[sys.orig_argv.index("-c") + 1]
    raise FunctionError(
        f"its source cannot be read ({filename}); put it into a file, which workers can be sent"
    )


@functools.lru_cache(maxsize=64)
def _compile(source: str, filename: str) -> types.CodeType:
    return compile(_parse(source, filename), filename, "exec", dont_inherit=True)


@functools.lru_cache(maxsize=64)
def _parse(source: str, filename: str) -> ast.Module:
    try:
        return ast.parse(source, filename)
    except SyntaxError as error:
        raise FunctionError(f"{filename} has been edited since it was imported: {error}") from None


def segment_of_function(function: types.FunctionType) -> Segment:
    """The segment that a function or lambda was compiled from.

    Raises:
        FunctionError: the source cannot be read, or is not what the function was compiled from.
    """
    code = function.__code__
    filename = code.co_filename
    source = read_source(filename)
    tree = _parse(source, filename)
    flags = code.co_flags & FUTURE_FLAGS
    nodes = [node for node in ast.walk(tree) if _may_be(node, code)]
    if not nodes:
        raise FunctionError(f"its source is not in {filename}")
    for compiled in nested_codes(_compile(source, filename)):
        same_place = compiled.co_firstlineno == code.co_firstlineno
        if same_place and compiled.co_name == code.co_name and _same_code(compiled, code):
            node = nodes[0] if len(nodes) == 1 else _node_around(nodes, compiled)
            return _cut(node, source, filename, flags, list(code.co_freevars))
    raise FunctionError(f"{filename} has been edited since it was imported")


def _may_be(node: ast.AST, code: types.CodeType) -> bool:
    """Whether a node has the name and the line of a function's code."""
    if isinstance(node, ast.Lambda):
        return code.co_name == "<lambda>" and node.lineno == code.co_firstlineno
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name == code.co_name and _first_line(node) == code.co_firstlineno
    return False


def _node_around(nodes: list[ast.AST], code: types.CodeType) -> ast.AST:
    """Which of several lambdas on a line some code was compiled from: the innermost around it."""
    places = [(line, column) for line, _, column, _ in code.co_positions() if line and column]
    first = min(place for place in places if place > (code.co_firstlineno, 0))
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


def segment_of_class(cls: type) -> Segment:
    """The segment that a class was made by, with its decorators.

    Raises:
        FunctionError: its source cannot be read or found.
    """
    methods = [f.__code__ for f in vars(cls).values() if isinstance(f, types.FunctionType)]
    filenames = list(dict.fromkeys(code.co_filename for code in methods))
    home = getattr(sys.modules.get(cls.__module__), "__file__", None)
    filenames += [home] if home else [*reversed(linecache.cache), "<string>"]
    lines = {code.co_firstlineno for code in methods}
    for filename in filenames:
        try:
            source = read_source(filename)
        except FunctionError:
            continue
        tree = _parse(source, filename)
        nodes = _classes_named(tree, cls.__qualname__.replace("<locals>.", "").split("."))
        around = [n for n in nodes if lines & set(range(n.lineno, (n.end_lineno or 0) + 1))]
        for node in (around or nodes)[-1:]:
            flags = _future_flags(tree)
            free = _free_names_of_class(_compile(source, filename), node)
            return _cut(node, source, filename, flags, free)
    raise FunctionError("its source cannot be found")


def _classes_named(tree: ast.AST, path: list[str]) -> list[ast.ClassDef]:
    """All classes that a qualified name may stand for, in the order of the file."""
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
    """The names that a class takes from the functions around it."""
    code = next(
        c
        for c in nested_codes(code_of_file)
        if c.co_name == node.name and c.co_firstlineno == _first_line(node)
    )
    return list(code.co_freevars)


def _future_flags(tree: ast.Module) -> int:
    flags = 0
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            for alias in node.names:
                flags |= getattr(__future__, alias.name).compiler_flag
    return flags


def _first_line(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _cut(node: ast.AST, source: str, filename: str, flags: int, free: list[str]) -> Segment:
    if isinstance(node, ast.Lambda):
        text = ast.get_source_segment(source, node) or ""
        return Segment(text, filename, node.lineno, node.col_offset, flags, free)
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    first = node.lineno if not isinstance(node, ast.ClassDef) else _first_line(node)
    lines = source.splitlines(keepends=True)[first - 1 : node.end_lineno]
    return Segment("".join(lines), filename, first, 0, flags, free)


def parse_segment(segment: Segment) -> FunctionNode | ast.ClassDef:
    """A segment's node, with the lines of the file it was cut from."""
    text = segment.source
    if text.startswith(("def ", "async ", "class ", "@")):
        node, parsed_line = ast.parse(text).body[0], 1
    elif text[0].isspace():
        block = ast.parse("if True:\n" + text).body[0]
        assert isinstance(block, ast.If)
        node, parsed_line = block.body[0], 2
    else:
        expression = ast.parse(f"({text})", mode="eval").body
        assert isinstance(expression, ast.Lambda)
        _shift_columns(expression, segment.column - 1)
        ast.increment_lineno(expression, segment.line - 1)
        return expression
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ast.increment_lineno(node, segment.line - parsed_line)
    return node


def _shift_columns(expression: ast.Lambda, by: int) -> None:
    for node in ast.walk(expression):
        if isinstance(node, ast.expr | ast.arg):
            if node.lineno == 1:
                node.col_offset += by
            if node.end_lineno == 1 and node.end_col_offset is not None:
                node.end_col_offset += by


def compile_function(segment: Segment) -> types.CodeType:
    """The code of a segment's function, without running anything of it.

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
    if not isinstance(node, ast.Lambda):
        node.decorator_list = []
        node.returns = None
    code = _compile_inside_factory(segment, node)
    return next(c for c in _codes_in(code) if c.co_name == getattr(node, "name", "<lambda>"))


def compile_class_factory(segment: Segment) -> types.CodeType:
    """The code of a function that takes a segment's free names and returns its class."""
    node = parse_segment(segment)
    assert isinstance(node, ast.ClassDef)
    return _compile_inside_factory(segment, node)


def _compile_inside_factory(segment: Segment, node: ast.AST) -> types.CodeType:
    """The code of ``def factory(*free): NODE``, which makes the free names free."""
    result: list[ast.stmt]
    if isinstance(node, ast.Lambda):
        result = [ast.Return(node)]
    elif isinstance(node, ast.ClassDef):
        result = [node, ast.Return(ast.Name(node.name, ast.Load()))]
    else:
        assert isinstance(node, ast.stmt)
        result = [node]
    factory = ast.parse("def __factory__(): pass").body[0]
    assert isinstance(factory, ast.FunctionDef)
    factory.args.args = [ast.arg(name) for name in segment.free if name != "__class__"]
    name = getattr(node, "name", None)
    if name is not None and name not in segment.free:
        result.insert(0, ast.Global([name]))
    factory.body = result
    module = ast.fix_missing_locations(ast.Module([factory], type_ignores=[]))
    code = compile(module, segment.filename, "exec", segment.flags, dont_inherit=True)
    return next(c for c in _codes_in(code) if c.co_name == "__factory__")


def _same_code(one: types.CodeType, other: types.CodeType) -> bool:
    """Whether two code objects are the same but for where they were compiled."""
    return _shape(one) == _shape(other)


def _shape(code: types.CodeType) -> tuple[object, ...]:
    constants = [
        _shape(constant) if isinstance(constant, types.CodeType) else (type(constant), constant)
        for constant in code.co_consts
    ]
    return (code.co_code, code.co_names, code.co_varnames, code.co_freevars, repr(constants))


def nested_codes(code: types.CodeType, depth: int = sys.maxsize) -> list[types.CodeType]:
    """A code object and those that are defined inside it, so many levels deep."""
    found = [code]
    if depth > 0:
        for inner in _codes_in(code):
            found += nested_codes(inner, depth - 1)
    return found


def _codes_in(code: types.CodeType) -> list[types.CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
