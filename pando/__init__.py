"""Personal volunteer computing: map a function over a stream on all the devices around you.

    for result in pando.map(function, items):
        ...

The names below are the whole public interface. Each one is loaded on first use, so that workers
and the command's help page import only what they need.
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False  # type checkers recognize the name; importing `typing` is slow
if TYPE_CHECKING:
    from typing import Any

    from .errors import (
        FunctionError,
        ItemError,
        PandoError,
        RootUnreachableError,
        RunClosedError,
        UnsupportedValueError,
        UsageError,
        WorkerError,
    )
    from .figures import report
    from .functions.exports import function
    from .running.async_results import AsyncResults
    from .running.mapping import amap, map  # noqa: A004
    from .running.opening import open_run
    from .running.results import Results
    from .running.run import Run, RunStatistics
    from .running.serve_options import ServeOptions
    from .running.streams import ResultStream
    from .running.sync_run import SyncRun, run
    from .values import register_type
    from .volunteering import volunteer

_LAZY_EXPORTS = {
    "FunctionError": "errors",
    "ItemError": "errors",
    "PandoError": "errors",
    "RootUnreachableError": "errors",
    "RunClosedError": "errors",
    "UnsupportedValueError": "errors",
    "UsageError": "errors",
    "WorkerError": "errors",
    "function": "functions.exports",
    "amap": "running.mapping",
    "map": "running.mapping",
    "AsyncResults": "running.async_results",
    "Results": "running.results",
    "report": "figures",
    "ResultStream": "running.streams",
    "SyncRun": "running.sync_run",
    "run": "running.sync_run",
    "Run": "running.run",
    "RunStatistics": "running.run",
    "open_run": "running.opening",
    "ServeOptions": "running.serve_options",
    "register_type": "values",
    "volunteer": "volunteering",
}

__all__ = [
    "AsyncResults",
    "FunctionError",
    "ItemError",
    "PandoError",
    "ResultStream",
    "Results",
    "RootUnreachableError",
    "Run",
    "RunClosedError",
    "RunStatistics",
    "ServeOptions",
    "SyncRun",
    "UnsupportedValueError",
    "UsageError",
    "WorkerError",
    "amap",
    "function",
    "map",
    "open_run",
    "register_type",
    "report",
    "run",
    "volunteer",
]


def __getattr__(name: str) -> Any:
    module = _LAZY_EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .importing import import_quickly

    value = globals()[name] = getattr(import_quickly(f"{__name__}.{module}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY_EXPORTS])
