"""`progress=True`: a line on a terminal, HTML in a notebook, nothing elsewhere."""

from __future__ import annotations

import importlib
import io
import sys
import types
from pathlib import Path

import nbclient
import nbformat
import pytest

import pando
from pando.reporting.monitor import Monitor
from pando.reporting.run_figures import RunFigures
from pando.reporting.shown import Information
from pando.running.progress_display import (
    NotebookDisplay,
    TerminalDisplay,
    describe,
    render_invitation,
    render_line,
)

from ..processes import environment, run_script
from ..terminals import Terminal

pytestmark = pytest.mark.process

SLOW = """\
import pando, time

def nap(x):
    time.sleep(0.02)
    return x

options = pando.ServeOptions(port=0, listen="127.0.0.1", reporting_interval=0.2)
results = list(pando.map(nap, range(60), workers=1, progress=True, serve=options))
assert results == list(range(60))
"""


def information(**figures: object) -> Information:
    monitor = Monitor("<b>f</b>", b"12345678", 0.0, 3.0)
    return monitor.tick(RunFigures(**figures), 2.0)  # type: ignore[arg-type]


def test_the_line_tells_what_is_known() -> None:
    assert describe(information(done=20, total=60, workers=1)) == (
        "<b>f</b>: 20 of 60 done · 10/s · 1 worker · 4 s left"
    )
    assert describe(information(done=20, failed=2, workers=3)) == (
        "<b>f</b>: 20 done · 2 failed · 10/s · 3 workers"
    )
    assert (
        describe(information(done=60, total=60, is_over=True)) == "<b>f</b>: 60 of 60 done · 2.0 s"
    )


@pytest.mark.parametrize(
    ("seconds", "left"), [(4, "4 s"), (99, "99 s"), (100, "1:40"), (3725, "1:02:05")]
)
def test_a_long_time_is_told_as_clocks_have_it(seconds: int, left: str) -> None:
    total = 20 + 10 * seconds
    assert describe(information(done=20, total=total)).endswith(f" {left} left")


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_it_is_one_line_however_narrow_the_terminal_is(width: int) -> None:
    from rich.console import Console

    console = Console(width=width, file=io.StringIO(), record=True, force_terminal=False)
    display = TerminalDisplay(console)
    display.show(information(done=20, total=1_000_000, workers=12), [])
    display.close()
    (line,) = console.export_text().splitlines()
    assert "<b>f</b>: 20 of 1,000,000 done" in line
    assert len(line) <= width


def test_html_has_texts_escaped_the_code_for_phones_and_no_program() -> None:
    line = render_line(information(done=20, total=60))
    assert "&lt;b&gt;f&lt;/b&gt;" in line
    assert '<progress max="60" value="20">' in line
    invitation = render_invitation(["http://h/#<script>", "http://h2/"])
    assert "<svg" in invitation
    assert "http://h/#&lt;script&gt;" in invitation
    assert "<script" not in invitation
    assert render_invitation([]) == ""


def test_without_terminal_or_notebook_nothing_is_shown(tmp_path: Path) -> None:
    done = run_script(tmp_path / "script.py", SLOW)
    assert done.returncode == 0, done.stderr
    assert (done.stdout, [line for line in done.stderr.splitlines() if "nap" in line]) == ("", [])


def test_a_terminal_shows_one_line_that_stays(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SLOW)
    terminal = Terminal([sys.executable, str(script)], environment=environment())
    status, _ = terminal.end()
    lines = [row for row in terminal.rows if "nap:" in row]
    assert status == 0
    assert len(lines) == 1
    assert "60 of 60 done" in lines[0]


def test_a_notebook_keeps_what_was_shown_last() -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SLOW)])
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    line, invitation = (
        output["data"]["text/html"]
        for output in notebook.cells[0].outputs
        if output.output_type == "display_data"
    )
    assert "nap: 60 of 60 done" in line
    assert invitation == "", "nobody can join any more"


def test_an_invitation_is_shown_once_so_that_it_stays_unfolded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    displayed: list[Output] = []

    class Output:
        def __init__(self, html: str) -> None:
            self.shown = [html]

        def update(self, html: str) -> None:
            self.shown.append(html)

    def display(html: str, *, display_id: bool) -> Output:
        assert display_id
        displayed.append(Output(html))
        return displayed[-1]

    ipython = types.SimpleNamespace(HTML=str, display=display)
    monkeypatch.setattr(importlib, "import_module", lambda name: ipython)
    notebook = NotebookDisplay()
    notebook.show(information(done=1, total=60), [])
    assert len(displayed) == 1, "there is no link yet"
    for done in (2, 3):
        notebook.show(information(done=done, total=60), ["http://h/#x"])
    notebook.show(information(done=60, total=60, is_over=True), ["http://h/#x"])
    line, invitation = displayed
    assert [text.count("of 60 done") for text in line.shown] == [1, 1, 1, 1]
    assert len(invitation.shown) == 2
    assert "<svg" in invitation.shown[0]
    assert invitation.shown[1] == ""


def test_the_line_is_shown_before_the_first_interval_ends(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    slower = SLOW.replace("sleep(0.02)", "sleep(0.1)")
    script.write_text(slower.replace("reporting_interval=0.2", "reporting_interval=1000"))
    terminal = Terminal([sys.executable, str(script)], environment=environment())
    terminal.wait_until(lambda: any("nap:" in row and "/s" in row for row in terminal.rows))
    assert terminal.end()[0] == 0
    (line,) = (row for row in terminal.rows if "nap:" in row)
    assert "60 of 60 done" in line


def test_progress_is_true_or_false() -> None:
    with pytest.raises(pando.UsageError, match="progress must be True or False, not 1"):
        pando.map(abs, [1], progress=1)  # type: ignore[arg-type]
