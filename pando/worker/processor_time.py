"""The processor time of worker processes, as the operating system counts it."""

from __future__ import annotations

from collections.abc import Iterable


class ProcessorTime:
    """Adds up the processor time of processes that come and go.

    What a process has used after the last reading before its end is not known.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._seen: dict[int, float] = {}

    @property
    def is_used(self) -> bool:
        """Whether it has been read."""
        return bool(self._seen)

    def read(self, pids: Iterable[int]) -> float:
        """Return the seconds that all processes so far have used, with children that have ended.

        Args:
            pids: the processes that run now.
        """
        import psutil  # imported late: runs shorter than an interval do without

        seen: dict[int, float] = {}
        for pid in pids:
            before = self._seen.get(pid, 0.0)
            try:
                times = psutil.Process(pid).cpu_times()
            except psutil.Error:  # it has just ended
                seen[pid] = before
                continue
            children = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
            seen[pid] = max(before, times.user + times.system + children)
            self._seconds += seen[pid] - before
        self._seen = seen
        return self._seconds
