"""What a command says where the operating system does not give it what it needs."""

from __future__ import annotations

import errno
import sys

MIN_FILES = 40
"""File descriptors without which no command can begin."""
FILES = "too few files may be open at once: see `ulimit -n`"
MEMORY = "there is too little memory: see `ulimit -v`"
THREADS = "no thread can be started: memory or processes are short, see `ulimit -v` and `ulimit -u`"
REASONS = {errno.EMFILE: FILES, errno.ENFILE: FILES, errno.ENOMEM: MEMORY}


def describe_limits() -> str:
    """Return what is too little for any command to begin, in a sentence; empty where nothing is."""
    import resource

    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY or files >= MIN_FILES:
        return ""
    return f"this program needs {MIN_FILES} file descriptors, and may have {files} (`ulimit -n`)"


def describe_shortage(error: BaseException) -> str:
    """Return what the operating system was short of, if that has raised an error; or nothing."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(describe_shortage, error.exceptions)), "")
    if isinstance(error, MemoryError):
        return MEMORY
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return THREADS
    return REASONS.get(error.errno or 0, "") if isinstance(error, OSError) else ""


def complain(sentence: str) -> int:
    """Print a sentence by as little as possible, and return the exit status."""
    name = sys.argv[0].rpartition("/")[2] if sys.argv else ""
    name = name if name.startswith("pando-") else "pando"
    if sys.stderr is not None:
        print(f"{name}: {sentence}", file=sys.stderr)
    return 1
