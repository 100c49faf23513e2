"""Rebuild the exception that a function raised elsewhere, as the cause of an `ItemError`."""

from __future__ import annotations

import builtins

from .. import values
from ..errors import PandoError, escape


def rebuild_exception(name: str, arguments: bytes) -> Exception | None:
    """Return a built-in exception with its arguments, or None if that is not possible.

    What a volunteer sends is not trusted: only built-in classes are instantiated, and only with
    plain values.

    Args:
        name: the name of the class.
        arguments: the encoded list of its arguments; empty if they are unknown. Python prints
            them as they are, so what a terminal obeys is escaped in them.
    """
    kind = vars(builtins).get(name)
    if not (arguments and isinstance(kind, type) and issubclass(kind, Exception)):
        return None
    try:
        decoded = values.decode(arguments)
        if not isinstance(decoded, list):
            return None
        return kind(*(escape(each) if isinstance(each, str) else each for each in decoded))
    except (PandoError, TypeError, ValueError, OverflowError):
        return None
