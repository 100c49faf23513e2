"""Source texts of functions and classes: where they are found, and what they compile to."""

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

from ..errors import FunctionError

FUTURE_FLAGS = functools.reduce(
    int.__or__, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
)
MAGICS = ("run_cell_magic", "run_line_magic")
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def read_source(filename: str) -> str:
    """Return the text of a source file, of a notebook's cell, or of ``python -c``.

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
    """Return what was given to ``python -c``, where that is what Python was started with."""
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
    """Parse a text; FunctionError where it is no longer Python."""
    try:
        return ast.parse(source, filename)
    except SyntaxError as error:
        raise FunctionError(f"{filename} has been edited since it was imported: {error}") from None


def sources_of(filename: str) -> Iterator[str]:
    """Return the texts that code with this file's name may be from."""
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
    """Return the names and texts of the cells of a notebook and the like, the newest first."""
    for filename, entry in reversed(list(linecache.cache.items())):
        if len(entry) == 4 and entry[1] is None:
            yield filename, "".join(entry[2])


def texts_of_magics() -> Iterator[str]:
    """Return what was given to magics such as ``%%time``: IPython passes it on as a string."""
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
    """Return the code of a text, compiled in the ways that it may have been.

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
    """Return a tree as code; it may wait at its top, as in notebooks."""
    allowed = flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code: types.CodeType = compile(tree, filename, "exec", allowed, dont_inherit=True)
    return code


def split_lines(text: str) -> list[str]:
    """Return the lines of a source as Python counts them: a form feed, for one, ends none."""
    return io.StringIO(text).readlines()


def future_flags(tree: ast.Module) -> int:
    """Return the compiler's flags for the `from __future__` imports of a file."""
    flags = 0
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            for alias in node.names:
                flags |= getattr(__future__, alias.name).compiler_flag
    return flags


def nested_codes(code: types.CodeType, depth: int = sys.maxsize) -> list[types.CodeType]:
    """Return a code object and those that are defined inside it, up to a depth."""
    found = [code]
    if depth > 0:
        for inner in codes_in(code):
            found += nested_codes(inner, depth - 1)
    return found


def codes_in(code: types.CodeType) -> list[types.CodeType]:
    """Return the code objects that are defined right inside of one."""
    return [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
