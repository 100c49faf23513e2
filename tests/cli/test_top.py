"""`pando-top`: a run in a terminal, over the stream of the page."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from pando.cli.top_command import parse_link
from pando.cli.watched_run import WatchedRun
from pando.errors import UsageError

from ..processes import GENEROUS_SECONDS, environment
from ..roots import Party
from ..terminals import Terminal

pytestmark = [pytest.mark.process, pytest.mark.socket]

TOP = [sys.executable, "-m", "pando.cli.top"]


def run_top(*arguments: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TOP, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=GENEROUS_SECONDS,
        env={**environment(), "COLUMNS": "120", **variables},
        check=False,
    )


@pytest.mark.parametrize(
    ("link", "url", "token"),
    [
        ("localhost:5000", "ws://localhost:5000/monitoring/live", ""),
        ("localhost", "ws://localhost:5000/monitoring/live", ""),
        ("http://h:1/monitoring#T-o", "ws://h:1/monitoring/live", "T-o"),
        ("http://[::1]:1/", "ws://[::1]:1/monitoring/live", ""),
        ("https://h.org/run/monitoring#t", "wss://h.org/run/monitoring/live", "t"),
    ],
)
def test_links(link: str, url: str, token: str) -> None:
    assert parse_link(link) == (url, token)


@pytest.mark.parametrize("link", ["ftp://h/", "http://", "http://h:x/", "http://[::1/"])
def test_links_that_are_none(link: str) -> None:
    with pytest.raises(UsageError, match="not a link"):
        parse_link(link)


def test_the_link_of_a_page_at_a_public_server_is_told_apart() -> None:
    with pytest.raises(UsageError, match="open this link in a browser"):
        parse_link(f"https://pando.example.org/r/{'x' * 22}/monitoring#token")


@pytest.fixture
def party(tmp_path: Path):
    with Party(tmp_path) as party:
        yield party


@pytest.mark.parametrize("way", ["argument", "standard input", "environment"])
def test_without_a_terminal_the_state_is_printed_once(way: str, party: Party) -> None:
    root = party.root("--workers=1", "--reporting-interval=0.3", items=100_000)
    match way:
        case "argument":
            done = run_top(root.link)
        case "standard input":
            done = run_top("-", stdin=f"{root.link}\n")
        case _:
            done = run_top(PANDO_LINK=root.link)
    assert (done.returncode, done.stderr) == (0, "")
    assert "running for" in done.stdout
    assert "this root" in done.stdout


def test_a_terminal_shows_the_run_until_it_is_over(party: Party) -> None:
    root = party.root("--workers=1", "--reporting-interval=0.2", items=400)
    terminal = Terminal([*TOP, root.link], shows_results=True, environment=environment())
    terminal.wait_until(lambda: any("running for" in row for row in terminal.rows))
    root.finish()
    assert terminal.end()[0] == 0
    assert any("over after" in row for row in terminal.rows), terminal.rows
    assert any("400 of" in row or "400 done" in row for row in terminal.rows)


def test_what_cannot_be_reached_or_opened_is_one_sentence(party: Party) -> None:
    assert "cannot be watched" in run_top("localhost:1").stderr
    assert run_top().returncode == 2
    assert run_top("a", "b").stderr == "pando: one link, please\n"
    root = party.root("--workers=1", "--public-url=http://localhost/", items=100_000)
    refused = run_top(f"{root.link}monitoring#wrong")
    assert refused.returncode == 2
    assert "this link does not open the monitoring" in refused.stderr


def watched(total: int | None = None) -> WatchedRun:
    """A run with 100 devices."""
    run = WatchedRun()
    one = {
        "id": "x", "deviceName": "[red]x[/red]", "state": "silent", "totalItems": 1,
        "throughput": 1.0, "throughputStats": {"average": "1.00"}, "cpuUsage": 1,
        "dataTransferLoad": 0, "held": 0,
    }  # fmt: skip
    root = {
        "function": "f", "state": "running", "elapsed": 61, "total": total, "done": 5,
        "throughput": 1, "workers": 1, "failed": 1, "timeLeft": None, "cpuTimeGiven": 0,
        "own": None,
    }  # fmt: skip
    volunteers = {str(place): {**one, "id": str(place)} for place in range(100)}
    run.take({"type": "state", "root": root, "volunteers": volunteers, "events": []})
    return run


def draw(run: WatchedRun, width: int) -> list[str]:
    """Return the lines on a terminal of this width, whatever does not fit left out."""
    from rich.console import Console
    from rich.screen import Screen

    console = Console(width=width, height=20, file=io.StringIO(), record=True)
    console.print(Screen(run.render(width, 20)))
    return console.export_text().splitlines()


def test_many_devices_are_cut_to_the_terminal_and_markup_is_text() -> None:
    lines = draw(watched(), 100)
    assert any("[red]x[/red]" in line for line in lines)
    assert any("and 89 more" in line for line in lines)
    assert len(lines) <= 20


@pytest.mark.parametrize("width", [50, 80, 120])
@pytest.mark.parametrize("total", [None, 50])
def test_columns_have_their_titles_and_names_their_place(width: int, total: int | None) -> None:
    lines = draw(watched(total), width)
    (titles,) = (line for line in lines if line.startswith("Device"))
    assert titles.split()[:3] == ["Device", "State", "Items"]
    assert ("Transfers" in titles) is (width >= 80)
    assert any(line.startswith("[red]x[/red]") for line in lines)
    assert any("1 worker " in line for line in lines)


def reporting(stalled: int = 1, missing: list[str] | None = None) -> WatchedRun:
    """A run in which one device computes, and another one stalls."""
    run = WatchedRun()
    one = {
        "id": "1", "deviceName": "upper", "state": "computing", "totalItems": 5,
        "throughput": 1.0, "throughputStats": {"average": "1.00"}, "cpuUsage": 1,
        "dataTransferLoad": 0, "held": 0,
    }  # fmt: skip
    told = {"state": "computing", "throughput": 12.5, "heardAt": 61.0, "stalls": False}
    volunteers = {
        "1": {**one, "globalReport": told},
        "2": {
            **one, "id": "2", "deviceName": "lower", "state": "silent",
            "globalReport": {**told, "stalls": bool(stalled)},
        },
        "3": {**one, "id": "3", "deviceName": "new", "globalReport": None},
        "4": {**one, "id": "4", "deviceName": "old", "globalReport": {**told, "state": "lost"}},
    }  # fmt: skip
    root = {
        "function": "f", "state": "running", "elapsed": 61, "total": None, "done": 5,
        "throughput": 1, "workers": 1, "failed": 0, "timeLeft": None, "cpuTimeGiven": 0,
        "own": None,
        "globalReports": {
            "devices": 2, "workers": 2, "throughput": 25.0, "totalItems": 1234,
            "stalled": stalled, "missing": [{"deviceName": name} for name in missing or []],
        },
    }  # fmt: skip
    run.take({"type": "state", "root": root, "volunteers": volunteers, "events": []})
    return run


def row(lines: list[str], name: str) -> str:
    (found,) = (line for line in lines if line.startswith(name))
    return found


def test_what_report_links_tell_is_shown_beside_the_tree() -> None:
    lines = draw(reporting(), 120)
    assert "Over report links: 2 devices, 25/s, 1,234 in all." in lines[2]
    assert "1 stalls: heard there, and not through the tree." in lines[3]
    assert row(lines, "Device").split()[-2:] == ["Report", "link"]
    assert "computing" in row(lines, "upper")
    assert row(lines, "upper").endswith("12/s at 1:01")
    assert "stalls · silent" in row(lines, "lower")
    assert row(lines, "new").split()[-1] == "0"
    assert row(lines, "old").endswith("lost at 1:01")


@pytest.mark.parametrize("width", [50, 80])
def test_a_small_terminal_still_says_what_stalls(width: int) -> None:
    lines = draw(reporting(), width)
    assert "stalls · silent" in row(lines, "lower")
    assert "Report" not in row(lines, "Device")
    assert all(len(line) <= width for line in lines)


def test_devices_that_the_tree_does_not_know_are_named_in_one_line() -> None:
    lines = draw(reporting(2, ["[b]x[/b]\x1b[2J", *(f"device {n}" for n in range(100))]), 100)
    told = row(lines, "2 stall: heard there, and not through the tree. Not in the tree: [b]x[/b]")
    assert told.endswith("…")
    assert lines.index(told) + 1 == lines.index(row(lines, "Device"))


def test_where_nothing_stalls_nothing_is_marked() -> None:
    lines = draw(reporting(0), 120)
    assert not [line for line in lines if "stall" in line]


def test_without_report_links_they_have_no_place() -> None:
    assert not [line for line in draw(watched(), 120) if "eport link" in line]
