"""Personal volunteer computing: map a function over a stream on all the devices around you.

    for result in pando.map(function, items):
        ...

The names below are all there is to import. They are loaded when they are first used, so that a
worker, or the command's help, does not wait for what it does not need.
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False  # type checkers know it by its name; `typing` itself takes long to import
if TYPE_CHECKING:
    from typing import Any

    from .errors import (
        FunctionError,
        ItemError,
        PandoError,
        RunClosedError,
        UnsupportedValueError,
        UsageError,
        WorkerError,
    )
    from .figures import report
    from .functions.convention import function
    from .running.mapping import amap, map  # noqa: A004
    from .running.results import AsyncResults, Results
    from .running.run import Run, RunStatistics, open_run
    from .running.serve_options import ServeOptions
    from .running.streams import ResultStream
    from .running.sync_run import SyncRun, run
    from .values import register_type
    from .volunteering import volunteer

_HOMES = {
    "FunctionError": "errors",
    "ItemError": "errors",
    "PandoError": "errors",
    "RunClosedError": "errors",
    "UnsupportedValueError": "errors",
    "UsageError": "errors",
    "WorkerError": "errors",
    "function": "functions.convention",
    "amap": "running.mapping",
    "map": "running.mapping",
    "AsyncResults": "running.results",
    "Results": "running.results",
    "report": "figures",
    "ResultStream": "running.streams",
    "SyncRun": "running.sync_run",
    "run": "running.sync_run",
    "Run": "running.run",
    "RunStatistics": "running.run",
    "open_run": "running.run",
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
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
