"""The live line of a run: what is done, how fast, and how long the rest takes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import trio

from .live_line import LiveLine

DRAW_SECONDS = 0.25
RATE_SECONDS = 5.0
"""The rate is that of this many last seconds."""
BOLD, RED, PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[m"


class Progress:
    """Counts results, and draws them where standard error is a terminal.

    Args:
        shown: whether to draw at all.
        total: how many items there are, where that is known.
        workers: tells how many workers compute now.
        waits_for_volunteers: whether nothing is computed without volunteers.
    """

    def __init__(
        self,
        *,
        shown: bool,
        total: int | None,
        workers: Callable[[], int],
        waits_for_volunteers: bool = False,
    ) -> None:
        self._line = LiveLine()
        self._shown = shown and self._line.is_possible
        self._total = total
        self._workers = workers
        self._waits_for_volunteers = waits_for_volunteers
        self._red = "" if os.environ.get("NO_COLOR") else RED
        self._done = 0
        self._failed = 0
        self._history: list[tuple[float, int]] = [(time.monotonic(), 0)]

    def count(self, done: int, failed: int) -> None:
        """Add items that have a result, and items that failed."""
        self._done += done
        self._failed += failed

    async def run(self) -> None:
        """Draw until cancelled, then leave the terminal as it was."""
        try:
            while self._shown:
                await trio.sleep(DRAW_SECONDS)
                self._line.draw(self.text())
        finally:
            self.hide()

    def hide(self) -> None:
        """Leave the terminal as it was, until the line is drawn again."""
        self._line.erase()

    def text(self) -> str:
        """What the line says now."""
        rate, workers = self._rate(), self._workers()
        done = f"{BOLD}{self._done:,}{PLAIN}"
        parts = [f"{done} of {self._total:,} done" if self._total else f"{done} done"]
        if self._failed:
            parts.append(f"{self._red}{self._failed:,} failed{PLAIN}")
        if self._waits_for_volunteers and not workers:
            parts.append("waiting for volunteers")
            return " · ".join(parts)
        parts.append(f"{_readable(rate)}/s")
        parts.append(f"{workers} worker{'' if workers == 1 else 's'}")
        if self._total and rate > 0:
            parts.append(f"{_duration((self._total - self._done - self._failed) / rate)} left")
        return " · ".join(parts)

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
