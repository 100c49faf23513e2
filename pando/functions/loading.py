"""Whether this process is a worker that loads the function just now."""

from __future__ import annotations

import sys

from ..errors import FunctionError

_is_loading = False


def began() -> None:
    """A worker begins to load the function."""
    global _is_loading
    _is_loading = True


def ended() -> None:
    """The function is loaded: maps inside of it may begin."""
    global _is_loading
    _is_loading = False


def check() -> None:
    """See that no map begins because a module with one is imported to load the function.

    Raises:
        FunctionError: this is so; the message names the file and the line.
    """
    if not _is_loading:
        return
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("pando."):
        frame = frame.f_back
    raise FunctionError(
        f"{frame.f_code.co_filename}, line {frame.f_lineno}: a run begins here when a worker "
        "imports this module to load the function; put it under `if __name__ == "
        '"__main__":`, or into a function'
    )
