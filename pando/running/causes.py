"""The exception that a function raised elsewhere, made again as the cause of its item's error."""

from __future__ import annotations

import builtins

from .. import values
from ..errors import PandoError


def rebuild_exception(name: str, arguments: bytes) -> Exception | None:
    """A built-in exception with its arguments; None where it is none, or cannot be made again.

    What a volunteer sends is not trusted: only classes that Python itself has built in are made,
    and only of plain values.

    Args:
        name: the name of its class.
        arguments: its arguments, encoded as one list; empty where they are not known.
    """
    kind = vars(builtins).get(name)
    if not (arguments and isinstance(kind, type) and issubclass(kind, Exception)):
        return None
    try:
        decoded = values.decode(arguments)
        return kind(*decoded) if isinstance(decoded, list) else None
    except (PandoError, TypeError, ValueError, OverflowError):
        return None
