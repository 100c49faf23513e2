"""Standard error, shared by what a run says, what its workers write, and logs, line by line."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

_lock = threading.Lock()
_is_inside_line = False


def write(data: bytes, *, as_line: bool = False) -> None:
    """Write all of it, and nothing of others in between; do nothing where that is impossible.

    Args:
        data: what to write.
        as_line: whether it must begin a line, also where somebody has not ended theirs.
    """
    global _is_inside_line
    with _lock, suppress(OSError):
        if as_line and _is_inside_line:
            data = b"\n" + data
        _is_inside_line = not data.endswith(b"\n")
        while data:
            data = data[os.write(2, data) :]
