"""Who watches a map from its own thread: the user's function, and the progress display."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from .progress_display import ProgressDisplay, open_display

if TYPE_CHECKING:
    from ..reporting.shown import Information

OnReport = Callable[[dict[str, Any]], object]
"""Takes what monitoring shows, as docs/monitoring.md describes it."""


class Watcher:
    """Takes what monitoring shows once an interval, in the thread that asks for results.

    Args:
        on_report: the user's function, if there is one.
        display: the progress display, if there is one.
    """

    def __init__(self, on_report: OnReport | None, display: ProgressDisplay | None) -> None:
        self._on_report = on_report
        self._display = display
        self._links: list[str] = []
        self._report: Information | None = None
        self._glance: Information | None = None

    @property
    def has_display(self) -> bool:
        """Whether there is a display, which wants to show more than one moment an interval."""
        return self._display is not None

    def keep_report(self, report: Information, links: list[str]) -> None:
        """Keep a report until `show` is called, in another thread.

        Args:
            report: the newest figures.
            links: those by which other devices join.
        """
        self._report, self._links = report, links

    def keep_glance(self, glance: Information, links: list[str]) -> None:
        """Keep the figures of a moment between two reports."""
        self._glance, self._links = glance, links

    def show(self) -> None:
        """Pass on the newest figures, if there are any that have not been."""
        report, self._report = self._report, None
        glance, self._glance = self._glance, None
        newest = report or glance
        if self._display is not None and newest is not None:
            self._display.show(newest, self._links)
        if self._on_report is not None and report is not None:
            self._on_report(report.to_builtins())

    def close(self) -> None:
        """Show nothing more."""
        if self._display is not None:
            self._display.close()


def make_watcher(on_report: OnReport | None, progress: bool) -> Watcher | None:
    """Return who watches a map; None where nobody does.

    Raises:
        UsageError: an argument has the wrong type.
    """
    if on_report is not None and not callable(on_report):
        raise UsageError(f"on_report must be a function, not {on_report!r}")
    if not isinstance(progress, bool):
        raise UsageError(f"progress must be True or False, not {progress!r}")
    display = open_display() if progress else None
    if on_report is None and display is None:
        return None
    return Watcher(on_report, display)
