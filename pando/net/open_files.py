"""File descriptors: connections take no more than leaves the run what it needs itself."""

from __future__ import annotations

import resource
from contextlib import suppress

from ..limits import RESERVED_FILES


def allow_files(connections: int) -> int:
    """Let this process have this many connections open, if it may.

    Returns:
        How many it may have open: fewer where the operating system gives it fewer file
        descriptors. Workers, pipes and files take theirs from those that are left, which are
        `RESERVED_FILES`, or a half of all where there are not twice as many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return connections
    wanted = connections + RESERVED_FILES
    if soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
            soft = max(soft, allowed)
    return min(connections, max(soft - RESERVED_FILES, soft // 2))
