"""How much of this machine workers may use: processors, and threads of numeric libraries."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)
"""By these, numeric libraries are told how many threads to start."""
SLURM_VARIABLE = "SLURM_CPUS_PER_TASK"
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def count_cores(
    environment: Mapping[str, str] = os.environ,
    *,
    cgroups: Path = CGROUPS,
    own_cgroups: Path = OWN_CGROUPS,
) -> int:
    """How many processes can compute at once here.

    That is the least of what the machine has, what this process may be scheduled on, what its
    control groups (versions 1 and 2) let it use, and what SLURM has given to its task.
    """
    counts = [_count_schedulable()]
    counts += [math.ceil(quota) for quota in _quotas(cgroups, own_cgroups)]
    given = environment.get(SLURM_VARIABLE, "")
    if given.isdecimal():
        counts.append(int(given))
    return max(1, min(counts))


def limit_threads(environment: Mapping[str, str], threads: int) -> dict[str, str]:
    """The variables that keep numeric libraries to a number of threads, or to fewer if chosen."""
    limits = {}
    for name in THREAD_VARIABLES:
        chosen = environment.get(name, "").partition(",")[0].strip()
        wanted = int(chosen) if chosen.isdecimal() else 0
        limits[name] = str(min(threads, wanted or threads))
    return limits


def _count_schedulable() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(cgroups: Path, own_cgroups: Path) -> Iterator[float]:
    """The processors that the control groups around this process allow, each that says so."""
    try:
        lines = own_cgroups.read_text().splitlines()
    except OSError:
        return  # not Linux
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            folder, read = cgroups, _quota_of_version_2
        elif "cpu" in controllers.split(","):
            folder, read = cgroups / controllers, _quota_of_version_1
            if not folder.is_dir():
                folder = cgroups / "cpu"
        else:
            continue
        # In a container, its own group is mounted as the topmost one, under another path.
        own = folder / group.lstrip("/")
        for place in (own, *own.parents):
            quota = read(place)
            if quota is not None:
                yield quota
            if place == folder:
                break


def _quota_of_version_2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_of_version_1(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 and period > 0 else None
