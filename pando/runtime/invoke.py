"""Calling the user's function, and describing what it raises, on every kind of worker."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable

from .. import values
from ..errors import MAX_ARGUMENTS_BYTES, FunctionError, UnsupportedValueError, sanitize_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..figures import Figures
    from ..functions.package import ExactPackage, FunctionPackage
    from .wire import Description, FailureTuple

    Function = Callable[[Any], Any]

CO_COROUTINE = 0x80


def take_keys(function: Function, package: FunctionPackage | ExactPackage) -> Function:
    """Return the function, wrapped to take keys with items where it draws random numbers."""
    if not package.keyed:
        return function
    from ..functions import seeding

    if is_coroutine_function(function):
        return seeding.with_keys_for_coroutines(function, package.seeded)
    return seeding.with_keys(function, package.seeded)


TRIO_IS_MISSING = "this function uses Trio; Pando runs coroutines under asyncio"
NO_DEBUGGER = (
    "workers have no terminal for a debugger; debug with `pando MODULE --local ITEM`, or call the "
    "function in a program of your own"
)


def refuse_breakpoints() -> None:
    """Let ``breakpoint()`` raise a hint, unless the user has chosen a debugger for it."""
    if "PYTHONBREAKPOINT" not in os.environ:
        sys.breakpointhook = _refuse_breakpoint


def _refuse_breakpoint(*arguments: object, **options: object) -> None:
    raise RuntimeError(NO_DEBUGGER)


def make_synchronous(function: Function) -> Function:
    """Make the function itself, or one that runs its coroutine to the end on an event loop."""
    if not is_coroutine_function(function):
        return function
    import asyncio

    runner = asyncio.Runner()

    def call(item: Any) -> Any:
        try:
            return runner.run(function(item))
        except (RuntimeError, AttributeError) as error:
            if _is_of_trio(error):
                raise RuntimeError(TRIO_IS_MISSING) from error
            raise

    return call


def _is_of_trio(error: BaseException) -> bool:
    """Tell whether Trio raised it, having found that its event loop does not run."""
    trace = error.__traceback__
    if "trio" not in sys.modules or trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    return str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0] == "trio"


def is_coroutine_function(function: Function) -> bool:
    """Tell whether calling it gives a coroutine.

    As `inspect.iscoroutinefunction`, without importing that module at each worker's start.
    """
    call = getattr(function, "__call__", None)  # noqa: B004
    return _has_coroutine_code(function) or _has_coroutine_code(call)


def _has_coroutine_code(function: Any) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    return bool(code and code.co_flags & CO_COROUTINE)


def describe_failure(error: BaseException) -> Description:
    """Describe an exception of the function, as text."""
    if isinstance(error, SystemExit):
        reason = f"the function called sys.exit({error.code!r})"
    elif type(error).__name__ == "BdbQuit" and not str(error):
        reason = NO_DEBUGGER
    else:
        reason = _text(error)
    try:
        import traceback  # which fails where the function has used up all files

        # The first frame is the caller's loop, which is none of the user's business.
        own = error.__traceback__.tb_next if error.__traceback__ else None
        text = "".join(traceback.format_exception(type(error), error, own))
    except Exception:
        text = ""
    return sanitize_text(type(error).__qualname__), sanitize_text(reason), sanitize_text(text)


def describe_arguments(error: BaseException) -> bytes:
    """Encode the arguments of a built-in exception; empty for others, and where they cannot be.

    With them the exception can be made again elsewhere.
    """
    if type(error).__module__ != "builtins" or not isinstance(error, Exception):
        return b""
    try:
        encoded = values.encode(list(error.args))
    except Exception:
        return b""
    return encoded if len(encoded) <= MAX_ARGUMENTS_BYTES else b""


def describe_load_error(error: BaseException) -> tuple[str, str]:
    """Describe why a function cannot be loaded, with a traceback where its own code failed."""
    if isinstance(error, FunctionError):
        return sanitize_text(str(error)), ""
    import traceback

    text = "".join(traceback.format_exception(error))
    return sanitize_text(f"the function cannot be loaded: {one_line(error)}"), sanitize_text(text)


def take_report() -> Figures | None:
    """Return what the function has reported since the last time, if it has."""
    # Not imported here: it is there where the function reports anything.
    reporting = sys.modules.get("pando.figures")
    figures: Figures | None = reporting.tally.take() if reporting else None
    return figures


def encode_results(
    results: list[Any], failures: dict[int, FailureTuple], encode: Callable[[list[Any]], bytes]
) -> bytes:
    """Encode results; those that cannot be serialized become failures instead."""
    try:
        return encode(results)
    except UnsupportedValueError:
        for place, error in values.find_unsupported(results).items():
            failures[place] = describe_unsupported(error)
            results[place] = None
        return encode(results)


def describe_unsupported(error: UnsupportedValueError) -> Description:
    """Describe why a result cannot be serialized."""
    return "UnsupportedValueError", sanitize_text(f"result: {error}"), ""


def one_line(error: BaseException) -> str:
    """Return an exception's type and the first line of its text."""
    return f"{type(error).__name__}: {_text(error)}".partition("\n")[0]


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(its text cannot be shown)"
