"""The live line of `pando.map(…, progress=True)`: on a terminal, in a notebook, or nowhere."""

from __future__ import annotations

import importlib
import io
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import Console

    from ..reporting.shown import Information


SHORT_SECONDS = 100.0
BAR_COLUMNS, LEAST_BAR_COLUMNS = 30, 5


class ProgressDisplay(Protocol):
    """Shows how a map goes on, in the thread that asks for its results."""

    def show(self, information: Information, links: list[str]) -> None:
        """Show the newest figures; `links` are those by which other devices join."""

    def close(self) -> None:
        """Show nothing more; what is shown stays."""


def open_display() -> ProgressDisplay | None:
    """Return the display for where this program runs; None without terminal and notebook."""
    if _is_notebook():
        return NotebookDisplay()
    if sys.stderr is not None and sys.stderr.isatty():
        return TerminalDisplay()
    return None


def _is_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


def describe(information: Information) -> str:
    """Return how a run goes on, in one line."""
    root = information.root
    done = f"{root.done:,}" if root.total is None else f"{root.done:,} of {root.total:,}"
    workers = "1 worker" if root.workers == 1 else f"{root.workers:,} workers"
    rate = f"{root.throughput:,.0f}" if root.throughput >= 10 else f"{root.throughput:.2g}"
    parts = [f"{root.function}: {done} done"]
    if root.failed:
        parts.append(f"{root.failed:,} failed")
    if root.state == "over":
        parts.append(f"{root.elapsed:.1f} s")
    else:
        parts += [f"{rate}/s", workers]
        if root.time_left is not None:
            parts.append(f"{_duration(root.time_left)} left")
    return " · ".join(parts)


def _duration(seconds: float) -> str:
    """Return a time in seconds, or as clocks have it where it is longer."""
    if seconds < SHORT_SECONDS:
        return f"{seconds:.0f} s"
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:,}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


class TerminalDisplay:
    """One line at the end of a terminal, by rich.

    Args:
        console: writes to the terminal; standard error where none is given.
    """

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=console or Console(stderr=True), auto_refresh=False)

    def show(self, information: Information, links: list[str]) -> None:
        """Show the newest figures."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        root = information.root
        line = Table.grid(padding=(0, 1))
        text = Text(describe(information), no_wrap=True, overflow="ellipsis")
        room = min(BAR_COLUMNS, self._live.console.width - text.cell_len - 1)
        if root.total and room >= LEAST_BAR_COLUMNS:
            line.add_row(ProgressBar(total=root.total, completed=root.done, width=room), text)
        else:
            line.add_row(text)
        self._live.start()
        self._live.update(line, refresh=True)

    def close(self) -> None:
        """Leave the line as it is."""
        self._live.stop()


class NotebookDisplay:
    """A line of HTML below the cell, which is saved with the notebook.

    How other devices join stands below it, in an output of its own: whoever has unfolded that keeps
    it open while the line changes.
    """

    def __init__(self) -> None:
        self._line = _Output()
        self._invitation = _Output()

    def show(self, information: Information, links: list[str]) -> None:
        """Show the newest figures, and the code by which phones join."""
        self._line.show(render_line(information))
        invitation = render_invitation(links) if information.root.state != "over" else ""
        self._invitation.show(invitation)

    def close(self) -> None:
        """Leave the output as it is."""


class _Output:
    """A part of what is shown below a cell: nothing, until it has been something once."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._shown = ""

    def show(self, html: str) -> None:
        """Replace it by this HTML, where that is another one."""
        if html == self._shown:
            return
        self._shown = html
        ipython: Any = importlib.import_module("IPython.display")
        content = ipython.HTML(html)
        if self._handle is None:
            self._handle = ipython.display(content, display_id=True)
        else:
            self._handle.update(content)


def render_line(information: Information) -> str:
    """Return the line as HTML without programs: what others have said is text in it."""
    import html

    root = information.root
    bar = ""
    if root.total:
        bar = f'<progress max="{root.total}" value="{root.done}"></progress> '
    return f"<div>{bar}{html.escape(describe(information))}</div>"


@lru_cache(maxsize=1)
def _render_link(link: str) -> str:
    import html

    text = html.escape(link)
    return (
        f"<details><summary>Invite a device</summary>{_code(link)}<br>"
        f'<a href="{text}">{text}</a></details>'
    )


def render_invitation(links: list[str]) -> str:
    """Return how other devices join as HTML, with the code for phones; empty if none can."""
    return _render_link(links[0]) if links else ""


def _code(link: str) -> str:
    import segno

    drawn = io.BytesIO()
    segno.make(link, error="l", micro=False).save(
        drawn, kind="svg", xmldecl=False, scale=3, border=2, light="#fff"
    )
    return drawn.getvalue().decode()
