"""What a function is called in messages and on pages."""

from __future__ import annotations

import functools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def function_name(function: Callable[..., Any]) -> str:
    """Return the name of a function, of what a partial calls, or of a callable object's type."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None) or type(function).__name__
    return str(name)
