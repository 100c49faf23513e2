"""The links by which volunteers join, as the command shows them."""

from __future__ import annotations

import io
import shutil
import sys

import trio

from .output import say, tell

CODE_AFTER_SECONDS = 1.0
"""When the code for phones appears: a run that is over sooner is none to join."""


async def show_links(links: list[str]) -> None:
    """Say where volunteers join; on a terminal, a moment later, also as a code for phones."""
    for link in links:
        say(f"volunteers join at {link}")
    if links and sys.stderr.isatty():
        await trio.sleep(CODE_AFTER_SECONDS)
        code = make_code(links[0])
        if fits(code):
            tell(code)


def make_code(link: str) -> str:
    """A link as a QR code, drawn with half blocks."""
    import segno

    drawn = io.StringIO()
    segno.make(link, error="l", micro=False).terminal(drawn, border=2, compact=True)
    return drawn.getvalue().rstrip("\n")


def fits(code: str) -> bool:
    """Whether the terminal shows it whole, with room for the run's own lines."""
    size = shutil.get_terminal_size()
    lines = code.splitlines()
    return len(lines) + 4 <= size.lines and len(lines) * 2 <= size.columns
