"""Compile the code of ``-c`` to a function: Python statements that end in an expression of x."""

from __future__ import annotations

import ast
import linecache
import textwrap
from collections.abc import Callable
from typing import Any

from ..errors import UsageError

FILENAME = "<pando -c>"
EXAMPLE = "as in: pando -c 'import math; math.sqrt(x)' 1 2 3"


def make_function(code: str) -> Callable[[Any], Any]:
    """Compile code to a function of x.

    Top-level imports run once, everything else runs for each item. The source text is kept, so
    that the function can be sent to workers and shown in tracebacks.

    Raises:
        UsageError: the code is not valid Python, does not end in an expression, or an import of
            it fails.
    """
    text = _make_source(code)
    # An entry without a modification time is never looked up in the file system.
    linecache.cache[FILENAME] = (len(text), None, text.splitlines(keepends=True), FILENAME)
    namespace: dict[str, Any] = {"__name__": "pando_c"}
    try:
        exec(compile(text, FILENAME, "exec", dont_inherit=True), namespace)
    except SyntaxError as error:  # such as a `return` in the wrong place
        raise UsageError(_describe(error)) from None
    except Exception as error:
        raise UsageError(f"an import of the code fails: {type(error).__name__}: {error}") from None
    function: Callable[[Any], Any] = namespace["pando"]
    return function


def _make_source(code: str) -> str:
    """Return the source of a module that defines the function `pando`."""
    try:
        statements = ast.parse(textwrap.dedent(code).strip(), FILENAME).body
    except (SyntaxError, ValueError) as error:  # a null character is a ValueError
        raise UsageError(_describe(error)) from None
    if not statements or not isinstance(statements[-1], ast.Expr):
        raise UsageError(f"the code of -c must end in an expression of x, {EXAMPLE}")
    result = ast.Return(statements.pop().value)  # type: ignore[attr-defined]
    imports = [node for node in statements if isinstance(node, ast.Import | ast.ImportFrom)]
    body = [node for node in statements if node not in imports]
    body.append(result)
    template = "async def pando(x): pass" if any(map(_awaits, body)) else "def pando(x): pass"
    function = ast.parse(template).body[0]
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    function.body = body
    module = ast.Module([*imports, function], type_ignores=[])
    return ast.unparse(ast.fix_missing_locations(module)) + "\n"


def _awaits(statement: ast.stmt) -> bool:
    return any(isinstance(node, ast.Await) for node in ast.walk(statement))


def _describe(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return f"the code of -c: {type(error).__name__}: {error.msg}: {(error.text or '').strip()}"
    return f"the code of -c: {error}"
