"""The join links that the command shows, and their QR code."""

from __future__ import annotations

import sys

import pytest
import trio
import trio.testing

from pando.cli import links

LINK = "http://192.168.1.7:5000/#wo-T9S3Y1ggTvM1E"


class Terminal:
    """Standard error of a person."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return True


async def test_no_qr_code_without_a_terminal_that_fits_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await links.show_links([LINK])
    assert capsys.readouterr().err == f"pando: volunteers join at {LINK}\n"


@pytest.mark.parametrize(("lines", "shown"), [(40, True), (12, False)])
async def test_one_code_on_a_terminal_that_has_room(
    lines: int,
    shown: bool,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("LINES", str(lines))
    monkeypatch.setenv("COLUMNS", "80")
    with trio.move_on_after(links.QR_CODE_AFTER_SECONDS / 2):
        await links.show_links([LINK, "http://[fd00::2]:5000/#wo-T9S3Y1ggTvM1E"])
    assert "█" not in terminal.text, "who knows whether the run lasts"
    terminal.text = ""
    await links.show_links([LINK, "http://[fd00::2]:5000/#wo-T9S3Y1ggTvM1E"])
    assert ("█" in terminal.text) is shown
    assert terminal.text.count("volunteers join at") == 2
    assert not shown or links.make_qr_code(LINK) in terminal.text


async def test_nothing_where_nothing_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    await links.show_links([])
    assert not terminal.text
