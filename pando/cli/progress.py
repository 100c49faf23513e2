"""The progress display of a run: items done, rate and remaining time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import trio

from .live_line import LiveLine

DRAW_SECONDS = 0.25
NOTHING_SECONDS = 10.0
"""After this long without any result, the line says so: the function may never give one."""
RATE_SECONDS = 5.0
"""Seconds over which the rate is measured."""
BOLD, RED, PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[m"


class Progress:
    """Count results, and show the progress if standard error is a terminal.

    Args:
        shown: whether to show it at all.
        total: the number of items, if known.
        workers: returns the number of workers that compute now.
        in_flight: returns the number of items that they have.
        waits_for_volunteers: whether only volunteers compute.
    """

    def __init__(
        self,
        *,
        shown: bool,
        total: int | None,
        workers: Callable[[], int],
        in_flight: Callable[[], int] = lambda: 0,
        waits_for_volunteers: bool = False,
    ) -> None:
        self._line = LiveLine()
        self._shown = shown and self._line.is_possible
        self._total = total
        self._workers = workers
        self._in_flight = in_flight
        self._silent_since: float | None = None
        self._waits_for_volunteers = waits_for_volunteers
        self._red = "" if os.environ.get("NO_COLOR") else RED
        self._done = 0
        self._failed = 0
        self._history: list[tuple[float, int]] = [(time.monotonic(), 0)]

    def count(self, done: int, failed: int) -> None:
        """Add the numbers of items that have a result, and of items that failed."""
        self._done += done
        self._failed += failed

    async def run(self) -> None:
        """Draw the line until cancelled, then erase it."""
        try:
            while self._shown:
                await trio.sleep(DRAW_SECONDS)
                self._line.draw(self.text())
        finally:
            self.hide()

    def hide(self) -> None:
        """Erase the line until it is drawn again."""
        self._line.erase()

    def text(self) -> str:
        """Return the current text of the line."""
        rate, workers = self._rate(), self._workers()
        done = f"{BOLD}{self._done:,}{PLAIN}"
        parts = [f"{done} of {self._total:,} done" if self._total else f"{done} done"]
        if self._failed:
            parts.append(f"{self._red}{self._failed:,} failed{PLAIN}")
        if self._waits_for_volunteers and not workers:
            parts.append("waiting for volunteers")
            return " · ".join(parts)
        if (seconds := self._silence()) > NOTHING_SECONDS:
            parts.append(f"nothing has come back yet, for {_duration(seconds)}")
        else:
            parts.append(f"{_readable(rate)}/s")
        parts.append(f"{workers} worker{'' if workers == 1 else 's'}")
        if self._total and rate > 0:
            parts.append(f"{_duration((self._total - self._done - self._failed) / rate)} left")
        return " · ".join(parts)

    def _silence(self) -> float:
        """For how many seconds the first items have been computed, if none has come back."""
        if self._done or self._failed or not self._in_flight():
            self._silent_since = None
            return 0.0
        if self._silent_since is None:
            self._silent_since = time.monotonic()
        return time.monotonic() - self._silent_since

    def _rate(self) -> float:
        now = time.monotonic()
        self._history.append((now, self._done))
        while now - self._history[0][0] > RATE_SECONDS and len(self._history) > 2:
            del self._history[0]
        (start, before), (end, after) = self._history[0], self._history[-1]
        return (after - before) / max(end - start, 1e-9)


def _readable(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def _duration(seconds: float) -> str:
    seconds = max(0, round(seconds))
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes}:{seconds % 60:02}"
