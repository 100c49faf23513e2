"""Show the join links of a run, as text and as a QR code."""

from __future__ import annotations

import io
import shutil
import sys

import trio

from ..running.server import MANAGEMENT
from .output import print_error, say

QR_CODE_AFTER_SECONDS = 1.0
"""Seconds after which the QR code appears; shorter runs show none."""


async def show_links(
    links: list[str], outlook: str = "", monitoring: str = "", management: str = ""
) -> None:
    """Print the links; on a terminal also the QR code of the first one, a moment later.

    Args:
        links: the links.
        outlook: how long they are good, to append to each.
        monitoring: the link by which the run can be watched.
        management: the same with the right to send devices away.
    """
    for link in links:
        say(f"volunteers join at {link}{outlook}")
    if monitoring:
        say(f"monitoring: {monitoring}")
    if management not in ("", monitoring):
        say(f"{MANAGEMENT}: {management}")
    if links and sys.stderr.isatty():
        await trio.sleep(QR_CODE_AFTER_SECONDS)
        code = make_qr_code(links[0])
        if fits_terminal(code):
            print_error(code)


def make_qr_code(link: str) -> str:
    """Return the QR code of a link, drawn with half blocks."""
    import segno

    drawn = io.StringIO()
    segno.make(link, error="l", micro=False).terminal(drawn, border=2, compact=True)
    return drawn.getvalue().rstrip("\n")


def fits_terminal(code: str) -> bool:
    """Check whether the terminal has room for a QR code and some lines of the run."""
    size = shutil.get_terminal_size()
    lines = code.splitlines()
    return len(lines) + 4 <= size.lines and len(lines) * 2 <= size.columns
