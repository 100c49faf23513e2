"""What a run tells the person who has started it, a line at a time on standard error."""

from __future__ import annotations

import sys
from contextlib import suppress


def say(text: str) -> None:
    """Tell one sentence; where nobody can be told, nothing."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):  # the file is full, or closed
            sys.stderr.write(f"pando: {text}\n")
            sys.stderr.flush()
