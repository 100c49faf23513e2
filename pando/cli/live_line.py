"""A status line on the last row of the terminal.

The last row is excluded from scrolling, so that no output overwrites the line, be it of this
process, of the function or of a program that reads the results.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from .error_stream import ErrorStream

SAVE, RESTORE = "\x1b7", "\x1b8"
"""Save and restore the position of the cursor."""
MAKE_ROOM = "\x1bD\x1b[A"
"""Move down and up again: on the last row this scrolls, so that the cursor leaves it."""
SCROLL_EVERYWHERE = "\x1b[r"
ERASE = "\x1b[2K"
WITHOUT_WRAPPING, WITH_WRAPPING = "\x1b[?7l", "\x1b[?7h"
LEAST_ROWS = 4


class LiveLine:
    """The status line on the terminal of a file descriptor.

    It is drawn only while this process has the terminal: not in the background, and not while a
    full-screen program such as a pager runs.
    """

    def __init__(self, file: int = 2) -> None:
        self._file = file
        self._drawn_at: os.terminal_size | None = None

    @property
    def is_possible(self) -> bool:
        """Whether the file is a terminal that can show the line."""
        can_be_moved_in = os.environ.get("TERM", "dumb") != "dumb"
        return can_be_moved_in and os.isatty(self._file) and self._size().lines >= LEAST_ROWS

    def draw(self, text: str) -> None:
        """Replace the line by a text, which may have colours."""
        size = self._size()
        if size.lines < LEAST_ROWS or not self._is_ours():
            return
        room = "" if size == self._drawn_at else MAKE_ROOM
        region = f"\x1b[1;{size.lines - 1}r"
        line = f"\x1b[{size.lines};1H{ERASE}{WITHOUT_WRAPPING}{text}{WITH_WRAPPING}"
        text = f"{room}{SAVE}{region}{line}{RESTORE}"
        if isinstance(sys.stderr, ErrorStream):
            if not sys.stderr.draw(text):
                return  # the terminal is slow
        else:
            self._write_now(text)
        self._drawn_at = size

    def erase(self) -> None:
        """Erase the line, and restore scrolling, before anything else happens.

        Signal handlers call it, so it does not wait for a thread.
        """
        if self._drawn_at is not None:
            rows = self._drawn_at.lines
            self._drawn_at = None
            self._write_now(f"{SAVE}{SCROLL_EVERYWHERE}\x1b[{rows};1H{ERASE}{RESTORE}")

    def _size(self) -> os.terminal_size:
        try:
            return os.get_terminal_size(self._file)
        except OSError:
            return os.terminal_size((0, 0))

    def _is_ours(self) -> bool:
        import termios

        try:
            in_foreground = os.tcgetpgrp(self._file) == os.getpgrp()
        except OSError:  # not the controlling terminal
            in_foreground = True
        try:
            reads_lines = bool(termios.tcgetattr(self._file)[3] & termios.ICANON)
        except termios.error:
            reads_lines = True
        return in_foreground and reads_lines

    def _write_now(self, text: str) -> None:
        """Write the text in one call, so that no other output comes in between."""
        with suppress(OSError):
            os.write(self._file, text.encode("utf-8", "replace"))
