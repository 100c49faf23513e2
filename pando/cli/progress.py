"""The live line on a terminal: what is done, how fast, and for how long yet."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from rich.console import Console

DRAW_SECONDS = 0.25
RATE_SECONDS = 5.0
"""The rate shown is that of so many last seconds."""


class Progress:
    """Counts results, and draws them where standard error is a terminal.

    Args:
        shown: whether to draw at all.
        total: how many items there are, where that is known.
        workers: tells how many workers compute now.
    """

    def __init__(self, *, shown: bool, total: int | None, workers: Callable[[], int]) -> None:
        self._shown = shown and sys.stderr.isatty()
        self._total = total
        self._workers = workers
        self._done = 0
        self._failed = 0
        self._drawn = False
        self._hidden = False
        self._console: Console | None = None
        self._history: list[tuple[float, int]] = [(time.monotonic(), 0)]

    def count(self, done: int, failed: int) -> None:
        """So many more items have a result, or none."""
        self._done += done
        self._failed += failed

    async def run(self, scope: trio.CancelScope) -> None:
        """Draw until `scope` is cancelled, then leave the terminal as it was."""
        if not self._shown:
            return
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)
        with scope:
            try:
                while True:
                    await trio.sleep(DRAW_SECONDS)
                    self._draw()
            finally:
                self._erase()
                self._console = None

    @contextmanager
    def out_of_the_way(self) -> Iterator[None]:
        """While something else is written to the terminal, the line is not there."""
        was_drawn = self._drawn
        self._erase()
        self._hidden = True
        try:
            yield
        finally:
            self._hidden = False
        if was_drawn:
            self._draw()

    def _draw(self) -> None:
        self._erase()
        if self._console is not None and not self._hidden:
            self._console.print(self._line(), end="", overflow="ellipsis", no_wrap=True)
            self._drawn = True

    def _erase(self) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
            self._drawn = False

    def _line(self) -> str:
        rate = self._rate()
        parts = [f"[bold]{self._done:,}[/bold] done"]
        if self._total:
            parts[0] = f"[bold]{self._done:,}[/bold] of {self._total:,} done"
        if self._failed:
            parts.append(f"[red]{self._failed:,} failed[/red]")
        parts.append(f"{_readable(rate)}/s")
        workers = self._workers()
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
