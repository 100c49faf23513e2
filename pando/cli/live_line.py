"""A line at the bottom of the terminal that stays there, whatever is printed above it.

The terminal is told to scroll without its last row, so that whatever else is printed, by this
process, by the function or by a program that results are piped to, never meets the line.
"""

from __future__ import annotations

import os
from contextlib import suppress

SAVE, RESTORE = "\x1b7", "\x1b8"
"""Remember the cursor, and bring it back."""
MAKE_ROOM = "\x1bD\x1b[A"
"""Down and up again: on the last row this scrolls, so that the cursor is not on it."""
SCROLL_EVERYWHERE = "\x1b[r"
ERASE = "\x1b[2K"
WITHOUT_WRAPPING, WITH_WRAPPING = "\x1b[?7l", "\x1b[?7h"
LEAST_ROWS = 4


class LiveLine:
    """The line, on the terminal behind a file descriptor.

    It is drawn only while the terminal is ours: not in the background, and not while a program
    that fills the screen, such as a pager, reads the keys.
    """

    def __init__(self, file: int = 2) -> None:
        self._file = file
        self._drawn_at: os.terminal_size | None = None

    @property
    def is_possible(self) -> bool:
        """Whether there is a terminal that can show it."""
        can_be_moved_in = os.environ.get("TERM", "dumb") != "dumb"
        return can_be_moved_in and os.isatty(self._file) and self._size().lines >= LEAST_ROWS

    def draw(self, text: str) -> None:
        """Show a text, which may have colours, instead of the last one."""
        size = self._size()
        if size.lines < LEAST_ROWS or not self._is_ours():
            return
        room = "" if size == self._drawn_at else MAKE_ROOM
        self._drawn_at = size
        region = f"\x1b[1;{size.lines - 1}r"
        line = f"\x1b[{size.lines};1H{ERASE}{WITHOUT_WRAPPING}{text}{WITH_WRAPPING}"
        self._write(f"{room}{SAVE}{region}{line}{RESTORE}")

    def erase(self) -> None:
        """Leave the terminal as it was."""
        if self._drawn_at is not None:
            rows = self._drawn_at.lines
            self._drawn_at = None
            self._write(f"{SAVE}{SCROLL_EVERYWHERE}\x1b[{rows};1H{ERASE}{RESTORE}")

    def _size(self) -> os.terminal_size:
        try:
            return os.get_terminal_size(self._file)
        except OSError:
            return os.terminal_size((0, 0))

    def _is_ours(self) -> bool:
        import termios

        try:
            in_foreground = os.tcgetpgrp(self._file) == os.getpgrp()
        except OSError:  # it does not control this process
            in_foreground = True
        try:
            reads_lines = bool(termios.tcgetattr(self._file)[3] & termios.ICANON)
        except termios.error:
            reads_lines = True
        return in_foreground and reads_lines

    def _write(self, text: str) -> None:
        """Write it at once, so that nothing comes in between."""
        with suppress(OSError):
            os.write(self._file, text.encode("utf-8", "replace"))
