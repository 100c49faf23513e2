"""The environment variable DEBUG: which parts write to standard error what they do.

It holds patterns, separated by commas or spaces, such as ``pando:tree`` or ``pando:*``; one that
begins with a dash leaves parts out.
"""

from __future__ import annotations

import logging
import os
import re
from fnmatch import fnmatchcase

from .errors import printable

VARIABLE = "DEBUG"
MONITORING = ("pando:monitoring", "pando-computing:monitoring")
"""The names, ours and the original tool's, by which figures are written once an interval."""
FORMAT = "pando:%(part)s %(asctime)s %(message)s"
TIME_FORMAT = "%H:%M:%S"


def is_enabled(*names: str) -> bool:
    """Return whether DEBUG names one of these."""
    patterns = [text for text in re.split(r"[\s,]+", os.environ.get(VARIABLE, "")) if text]
    refused = [pattern[1:] for pattern in patterns if pattern.startswith("-")]
    wanted = [pattern for pattern in patterns if not pattern.startswith("-")]

    def matches(name: str, chosen: list[str]) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in chosen)

    return any(matches(name, wanted) and not matches(name, refused) for name in names)


def write_logs() -> None:
    """Have the parts that DEBUG names write their logs, unless the program has chosen handlers."""
    logger = logging.getLogger("pando")
    if not os.environ.get(VARIABLE) or logger.handlers or logging.getLogger().handlers:
        return
    handler = logging.StreamHandler()
    handler.addFilter(_is_wanted)
    handler.setFormatter(_PrintableFormatter(FORMAT, TIME_FORMAT))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)


class _PrintableFormatter(logging.Formatter):
    """Shows nothing that a terminal obeys, and no line that could be taken for another message."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _is_wanted(record: logging.LogRecord) -> bool:
    """Return whether the part that a record comes from is named; note which part that is."""
    part = [*record.name.split("."), "pando"][1]
    record.__dict__["part"] = part
    return is_enabled(f"pando:{part}")
