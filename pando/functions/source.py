"""Where a function's source stands: from an object to a segment of a file, and back to code."""

from __future__ import annotations
import __future__

import ast
import functools
import io
import linecache
import sys
import types
from collections.abc import Iterator
from contextlib import suppress
from typing import TypeGuard

from ..errors import FunctionError
from .package import Segment
from .rebuild import shape

FUTURE_FLAGS = functools.reduce(
    int.__or__, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
)
MAGICS = ("run_cell_magic", "run_line_magic")
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
    if filename == "<string>" and (text := command_text()) is not None:
        return text
    raise FunctionError(
        f"its source cannot be read ({filename}); put it into a file, which workers can be sent"
    )


def command_text() -> str | None:
    """What was given to ``python -c``, where that is what Python was started with."""
    arguments = sys.orig_argv[1:]
    while arguments:
        option = arguments.pop(0)
        if not option.startswith("-") or option in ("-", "--"):
            return None
        if option.startswith("--"):
            continue
        for place, letter in enumerate(option[1:], 1):
            if letter in "cm":
                text = option[place + 1 :] or (arguments[0] if arguments else None)
                return text if letter == "c" else None
            if letter in "WX":
                if not option[place + 1 :]:
                    arguments = arguments[1:]
                break
    return None


@functools.lru_cache(maxsize=64)
def _compile(source: str, filename: str) -> types.CodeType:
    tree = parse(source, filename)
    try:
        return compile(tree, filename, "exec", dont_inherit=True)
    except SyntaxError:  # it waits at its top, as in notebooks
        return compile_tree(tree, filename, 0)


@functools.lru_cache(maxsize=64)
def parse(source: str, filename: str) -> ast.Module:
    """The tree of a text; FunctionError where it is no Python any more."""
    try:
        return ast.parse(source, filename)
    except SyntaxError as error:
        raise FunctionError(f"{filename} has been edited since it was imported: {error}") from None


def sources_of(filename: str) -> Iterator[str]:
    """The texts that code with this file's name may be from."""
    try:
        yield read_source(filename)
    except FunctionError:
        if not filename.startswith("<"):
            raise
        texts = list(texts_of_magics())
        if not texts:
            raise
        yield from texts


def cells() -> Iterator[tuple[str, str]]:
    """The cells of a notebook and the like, the newest first: names in place of files, texts."""
    for filename, entry in reversed(list(linecache.cache.items())):
        if len(entry) == 4 and entry[1] is None:
            yield filename, "".join(entry[2])


def texts_of_magics() -> Iterator[str]:
    """What was given to magics such as ``%%time``: IPython passes it on as a string."""
    for _, text in cells():
        if not any(name in text for name in MAGICS):
            continue
        with suppress(SyntaxError):
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in MAGICS:
                    last = node.args[-1] if node.args else None
                    if isinstance(last, ast.Constant):
                        yield str(last.value)


def compilations(source: str, filename: str) -> Iterator[list[types.CodeType]]:
    """The code of a text, compiled in the ways that it may have been.

    As a whole; each statement alone, as IPython does (where a name is imported by the same text,
    some versions of Python make other code of its methods' calls); and by pytest, with its own
    assertions.
    """
    yield nested_codes(_compile(source, filename))
    tree = parse(source, filename)
    alone = []
    for statement in tree.body:
        module = ast.Module([statement], type_ignores=[])
        with suppress(SyntaxError, ValueError):
            alone += nested_codes(compile_tree(module, filename, future_flags(tree)))
    yield alone
    rewriting = sys.modules.get("_pytest.assertion.rewrite")
    if rewriting is not None:
        rewritten = ast.parse(source, filename)
        with suppress(Exception):  # it is pytest's own business
            rewriting.rewrite_asserts(rewritten, source.encode(), filename, None)
            yield nested_codes(compile_tree(rewritten, filename, 0))


def compile_tree(tree: ast.Module, filename: str, flags: int) -> types.CodeType:
    """A tree as code; it may wait at its top, as in notebooks."""
    allowed = flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code: types.CodeType = compile(tree, filename, "exec", allowed, dont_inherit=True)
    return code


def segment_of_function(function: types.FunctionType) -> Segment:
    """The segment that a function or lambda was compiled from.

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
    """The same code, compiled from what the source is now."""
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
    """Whether a node has the name and the line of a function's code."""
    if isinstance(node, ast.Lambda):
        return code.co_name == "<lambda>" and node.lineno == code.co_firstlineno
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name == code.co_name and first_line(node) == code.co_firstlineno
    return False


def _node_around(nodes: list[FunctionNode], code: types.CodeType) -> FunctionNode:
    """Which of several lambdas on a line some code was compiled from: the innermost around it."""
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


def future_flags(tree: ast.Module) -> int:
    """The compiler's flags for the `from __future__` imports of a file."""
    flags = 0
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            for alias in node.names:
                flags |= getattr(__future__, alias.name).compiler_flag
    return flags


def first_line(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    """The line where a statement begins, with its decorators."""
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def make_segment(
    node: FunctionNode | ast.ClassDef,
    tree: ast.Module,
    source: str,
    filename: str,
    flags: int,
    free: list[str],
) -> Segment:
    """The segment of a statement or a lambda of a file."""
    owner = _owner(node, tree)
    if isinstance(node, ast.Lambda):
        text = ast.get_source_segment(source, node) or ""
        return Segment(text, filename, node.lineno, node.col_offset, flags, free, owner)
    first = node.lineno if not isinstance(node, ast.ClassDef) else first_line(node)
    lines = split_lines(source)[first - 1 : node.end_lineno]
    return Segment("".join(lines), filename, first, 0, flags, free, owner)


def _owner(node: FunctionNode | ast.ClassDef, tree: ast.Module) -> str:
    """The name of the innermost class that a function stands in."""
    line, end = node.lineno, node.end_lineno or 0
    around = [
        outer
        for outer in ast.walk(tree)
        if isinstance(outer, ast.ClassDef) and outer is not node
        if outer.lineno <= line and end <= (outer.end_lineno or 0)
    ]
    return max(around, key=lambda outer: outer.lineno).name if around else ""


def mangle(name: str, owner: str) -> str:
    """A name as it is inside a class, where it may be private."""
    if name.startswith("__") and not name.endswith("__"):
        return f"_{owner.lstrip('_')}{name}" if owner.strip("_") else name
    return name


def split_lines(text: str) -> list[str]:
    """The lines of a source as Python counts them: a form feed, for one, ends none."""
    return io.StringIO(text).readlines()


def parse_segment(segment: Segment) -> FunctionNode | ast.ClassDef:
    """A segment's node, with the lines of the file it was cut from."""
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
    """The names in a class's annotations, where these are strings: dataclasses look at them."""
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
    """The code of a function, with a segment's free names, that returns the segment's class."""
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
    """The code of ``def __outer__(*free): BODY``, which makes the free names free."""
    outer = _parse_statement("def __outer__(): pass")
    assert isinstance(outer, ast.FunctionDef)
    outer.args.args = [ast.arg(name) for name in segment.free]
    outer.body = body
    module = ast.fix_missing_locations(ast.Module([outer], type_ignores=[]))
    code = compile(module, segment.filename, "exec", segment.flags, dont_inherit=True)
    return codes_in(code)[0]


def _renamed(code: types.CodeType, old: str, new: str) -> types.CodeType:
    """Some code, with another beginning of its qualified name and of those inside it."""
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
    """Whether two code objects are the same but for where they were compiled."""
    return shape(one) == shape(other)


def nested_codes(code: types.CodeType, depth: int = sys.maxsize) -> list[types.CodeType]:
    """A code object and those that are defined inside it, so many levels deep."""
    found = [code]
    if depth > 0:
        for inner in codes_in(code):
            found += nested_codes(inner, depth - 1)
    return found


def codes_in(code: types.CodeType) -> list[types.CodeType]:
    """The code objects that are defined right inside of one."""
    return [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
