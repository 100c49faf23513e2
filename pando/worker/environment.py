"""Where workers run: which Python, and what it finds besides its own packages."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Environment:
    """A Python to start workers with, and its import path; by default this process's own."""

    python: str = field(default_factory=lambda: sys.executable)
    path: tuple[str, ...] = field(
        default_factory=lambda: tuple(entry or os.getcwd() for entry in sys.path)
    )
