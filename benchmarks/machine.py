"""When and where it is measured."""

from __future__ import annotations

import datetime
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def describe_machine(*packages: str) -> str:
    """The day, the machine, its Python, and which versions of these packages it has."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    installed = ", ".join(f"{name} {version(name)}" for name in packages if is_installed(name))
    return (
        f"{datetime.datetime.now().astimezone():%Y-%m-%d}, {_processor()}, {cores} cores, "
        f"{platform.system()}, {platform.python_implementation()} {platform.python_version()}, "
        f"{installed}"
    )


def is_installed(package: str) -> bool:
    """Whether there is such a package here."""
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _processor() -> str:
    """The processor's name as its maker spells it, where it is told."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
