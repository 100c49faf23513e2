"""Modules and helpers that several tests of the command use."""

from __future__ import annotations

import subprocess

ECHO = "def pando(x):\n    return x\n"
TYPES = "def pando(x):\n    return f'{type(x).__name__} {x!r}'\n"


def errors_of(done: subprocess.CompletedProcess[bytes]) -> str:
    """What a command wrote to standard error."""
    return done.stderr.decode()
