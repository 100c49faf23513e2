"""A run as it is watched in a terminal: what its live stream has said, and its picture."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..errors import one_line
from .formatting import clock, rate

MIN_ROWS = 4
EVENT_ROWS = 6
NARROW = 76
"""Columns of a terminal below which only what matters most is shown of a device."""
WIDE = 100
"""Columns from which on what devices tell on their report links has a column as well."""
NAME_COLUMNS = 12
STYLES = {
    "computing": "green",
    "silent": "bold red",
    "lost": "red",
    "left": "dim",
    "over": "default",
}
WORDS = {
    "starved": "waiting for items",
    "blocked": "waiting for the network",
    "loading": "loading the function",
}


class WatchedRun:
    """What is known of a run.

    Attributes:
        problem: why what is known is not up to date, if it is not.
    """

    def __init__(self) -> None:
        self.problem = ""
        self._root: dict[str, Any] = {}
        self._volunteers: dict[str, dict[str, Any]] = {}
        self._events: list[dict[str, Any]] = []

    @property
    def is_known(self) -> bool:
        """Whether anything is known."""
        return bool(self._root)

    @property
    def is_over(self) -> bool:
        """Whether the run is over."""
        return self._root.get("state") == "over"

    def take(self, message: dict[str, Any]) -> None:
        """Take a message of the live stream."""
        if message["type"] not in ("state", "changes"):
            return
        self.problem = ""
        self._root = message["root"]
        if message["type"] == "state":
            self._volunteers, self._events = {}, []
        for node in message.get("removed", []):
            self._volunteers.pop(node, None)
        self._volunteers.update(message["volunteers"])
        self._events = (self._events + message["events"])[-EVENT_ROWS:]

    def render(self, width: int, height: int, *, whole: bool = False) -> RenderableType:
        """Return the picture.

        Args:
            width: columns of the terminal.
            height: rows of the terminal.
            whole: whether all devices are shown, however many rows they take.
        """
        events = [self._render_event(event) for event in self._events]
        head = self._render_head()
        rows = max(MIN_ROWS, height - len(events) - len(head) - 7)
        volunteers = sorted(
            self._volunteers.values(),
            key=lambda v: (v["state"] in ("left", "lost"), -v["throughput"]),
        )
        shown = volunteers if whole else volunteers[:rows]
        parts: list[RenderableType] = [
            *head,
            self._render_table(shown, width),
        ]
        if len(shown) < len(volunteers):
            parts.append(Text(f"and {len(volunteers) - len(shown):,} more", style="dim"))
        return Group(*parts, Text(""), *events)

    def _render_head(self) -> list[RenderableType]:
        root = self._root
        state = "over after" if self.is_over else "running for"
        function = one_line(str(root["function"]))
        head = Text.assemble((function, "bold"), f"  {state} {clock(root['elapsed'])}")
        if self.problem:
            head.append(f"  {one_line(self.problem)}", style="bold red")
        total = root["total"]
        done = f"{root['done']:,}" if total is None else f"{root['done']:,} of {total:,}"
        workers = "1 worker" if root["workers"] == 1 else f"{root['workers']:,} workers"
        facts = [f"{done} done", f"{rate(root['throughput'])}/s", workers]
        if root["failed"]:
            facts.append(f"{root['failed']:,} failed")
        if root["timeLeft"] is not None and not self.is_over:
            facts.append(f"{clock(root['timeLeft'])} left")
        facts.append(f"{root['cpuTimeGiven'] / 1000:,.0f} s of processor time given by others")
        parts: list[RenderableType] = [head, Text(" · ".join(facts))]
        if total:
            line = Table.grid(expand=True)  # a bar alone does not end its line
            line.add_row(ProgressBar(total=total, completed=root["done"]))
            parts.append(line)
        if (reports := root.get("globalReports")) is not None:
            parts += _render_reports(reports)
        return parts

    def _render_table(self, volunteers: list[dict[str, Any]], width: int) -> Table:
        table = Table(expand=True, box=None, pad_edge=False, header_style="bold")
        table.add_column(
            "Device", ratio=1, min_width=NAME_COLUMNS, no_wrap=True, overflow="ellipsis"
        )
        table.add_column("State", no_wrap=True)
        titles = ["Items", "A second", "Average", "CPU", "Transfers", "Held"]
        if width < NARROW:
            del titles[2:]
        elif width >= WIDE and self._root.get("globalReports") is not None:
            titles.append("Report link")
        for title in titles:
            table.add_column(title, justify="right", no_wrap=True)
        own = (self._root["own"] or {}).get("id")
        for volunteer in volunteers:
            is_own = volunteer["id"] == own
            figures = (
                f"{volunteer['totalItems']:,.0f}",
                rate(volunteer["throughput"]),
                Text(one_line(str(volunteer["throughputStats"]["average"]))),
                f"{volunteer['cpuUsage']:.0f} %",
                f"{volunteer['dataTransferLoad']:.0f} %",
                f"{volunteer['held']:,}",
                _describe_report(volunteer),
            )
            table.add_row(
                Text("this root" if is_own else one_line(str(volunteer["deviceName"]))),
                _render_state(volunteer),
                *figures[: len(titles)],
            )
        return table

    def _render_event(self, event: dict[str, Any]) -> Text:
        words = " · ".join(filter(None, (event["name"], event["kind"], event["text"])))
        line = f"{clock(event['at'])}  {one_line(words)}"
        return Text(line, style="dim", no_wrap=True, overflow="ellipsis")


def _render_reports(reports: dict[str, Any]) -> list[RenderableType]:
    """Return what all report links together tell."""
    devices, stalled = reports["devices"], reports["stalled"]
    told = (
        f"Over report links: {'1 device' if devices == 1 else f'{devices:,} devices'}, "
        f"{rate(reports['throughput'])}/s, {reports['totalItems']:,.0f} in all."
    )
    lines: list[RenderableType] = [Text(told, no_wrap=True, overflow="ellipsis")]
    if stalled:
        verb = "stalls" if stalled == 1 else "stall"
        text = f"{stalled:,} {verb}: heard there, and not through the tree."
        if names := ", ".join(one_line(str(each["deviceName"])) for each in reports["missing"]):
            text = f"{text} Not in the tree: {names}."
        lines.append(Text(text, style="bold red", no_wrap=True, overflow="ellipsis"))
    return lines


def _describe_report(volunteer: dict[str, Any]) -> str:
    """Return what a device has told over its report link: its rate, and when."""
    report = volunteer.get("globalReport")
    if report is None:
        return ""
    at = clock(report["heardAt"])
    if report["state"] in ("left", "lost"):
        return f"lost at {at}"
    return f"{rate(report['throughput'])}/s at {at}"


def _render_state(volunteer: dict[str, Any]) -> Text:
    state = volunteer["state"]
    words = WORDS.get(state, one_line(str(state)))
    if (volunteer.get("globalReport") or {}).get("stalls"):
        return Text(f"stalls · {words}", style="bold red")
    return Text(words, style=STYLES.get(state, "yellow"))
