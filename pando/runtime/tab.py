"""What runs inside a browser's worker: the function, item after item, in Pyodide.

`frontend/src/compute/python.ts` calls this module; values come and go as `pando.values` encodes
them, and nothing is made of them in JavaScript.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgpack

from .. import values
from ..errors import MalformedValueError
from ..functions.package import FunctionPackage
from ..functions.restore import restore
from . import invoke
from .invoke import (
    describe_arguments,
    describe_failure,
    describe_load_error,
    encode_results,
    is_coroutine_function,
)
from .wire import split

if TYPE_CHECKING:
    from .invoke import Function
    from .wire import FailureTuple

FLUSH_SECONDS = 0.1
"""How long a finished result may wait for the rest of its batch."""
LONG_SECONDS = 0.004
"""Where items take so long, a result waits only if the next one is expected to be there in time."""
DECAY = 0.9
"""The share of a long item's time that is still expected after each later long item."""
LONGEST_SECONDS = 0.25
"""How long a batch may take before what is left of it goes back: other workers may be idle."""

Flush = Callable[[int, Any, Any, float], None]
"""Takes the count of results, the results and the failures, both encoded, and the time spent."""

_expected = 2 * FLUSH_SECONDS
"""How long the next long item may take: at first nobody knows."""
_function: Function = lambda item: item  # noqa: E731 - until `load`


def load(packed: Any) -> str | None:
    """Take the function of a package. Where that fails, the reason and a traceback, as JSON.

    Args:
        packed: the package, a JavaScript buffer.
    """
    global _function
    invoke.refuse_breakpoints()
    try:
        package = FunctionPackage.from_bytes(packed.to_bytes())
        _function = invoke.take_keys(restore(package), package)
    except BaseException as error:
        return json.dumps(describe_load_error(error))
    return None


def compute(items: Any, flush: Flush) -> Awaitable[None] | None:
    """Apply the function to each item, as long as a batch may take.

    Args:
        items: an encoded list, a JavaScript buffer.
        flush: is given results, encoded, as often as some are due.

    Returns:
        None when all is done; where the function is ``async def``, what to wait for.
    """
    results, encoded, function = _Results(flush), items.to_bytes(), _function
    try:
        decoded = values.decode(encoded)
    except MalformedValueError:
        decoded, function = split(memoryview(encoded)), _decoding(function)
    if is_coroutine_function(function):
        return _compute_coroutines(function, decoded, results)
    clock, add = time.perf_counter, results.values.append
    before = clock()
    due, end = before + FLUSH_SECONDS, before + LONGEST_SECONDS
    for item in decoded:
        try:
            add(function(item))
        except BaseException as error:
            results.fail(error)
        now = clock()
        if now >= due or now - before >= LONG_SECONDS:
            if len(results.values) == 1:
                due = now + FLUSH_SECONDS
            if now + _expect_after(now - before) >= due:
                results.flush()
                now = clock()
                due = now + FLUSH_SECONDS
            if now >= end:
                break
        before = now
    results.flush()
    return None


def _expect_after(seconds: float) -> float:
    """Tell how long the next item may take, after one that took so long."""
    global _expected
    _expected = max(seconds, DECAY * _expected)
    return _expected


def take_report() -> str | None:
    """Return what the function has reported since the last time, as JSON, if it has."""
    figures = invoke.take_report()
    return json.dumps(figures) if figures else None


def _decoding(function: Function) -> Function:
    """Return a function of encoded items, some of which cannot be decoded here."""
    if not is_coroutine_function(function):
        return lambda item: function(values.decode(item))

    async def decoding(item: Any) -> Any:
        return await function(values.decode(item))

    return decoding


async def _compute_coroutines(function: Function, items: list[Any], results: _Results) -> None:
    end = time.perf_counter() + LONGEST_SECONDS
    for item in items:
        try:
            results.values.append(await function(item))
        except BaseException as error:
            results.fail(error)
        results.flush()
        if time.perf_counter() >= end:
            break


class _Results:
    """Results that have not been sent."""

    def __init__(self, flush: Flush) -> None:
        self.values: list[Any] = []
        self._failures: dict[int, FailureTuple] = {}
        self._flush = flush
        self._since = time.perf_counter()

    def fail(self, error: BaseException) -> None:
        """The next item has no result."""
        kind, reason, text = describe_failure(error)
        if isinstance(error, MalformedValueError):
            text = ""  # it is not the function that has failed
        self._failures[len(self.values)] = (kind, reason, text, "", describe_arguments(error))
        self.values.append(None)

    def flush(self) -> None:
        """Send them."""
        if not self.values:
            return
        now = time.perf_counter()
        encoded = encode_results(self.values, self._failures, values.encode)
        failures = msgpack.packb(self._failures)
        self._flush(len(self.values), _to_js(encoded), _to_js(failures), now - self._since)
        self.values.clear()
        self._failures = {}
        self._since = time.perf_counter()


def _to_js(data: bytes) -> Any:
    """Return a JavaScript buffer with a copy of the bytes."""
    from pyodide.ffi import to_js

    return to_js(data)
