"""Commands on a terminal, and what its screen shows."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
from collections.abc import Callable
from contextlib import suppress

import pyte

from .processes import COMMAND, environment, wait_until

LINES, COLUMNS = 24, 80


class Terminal:
    """A command on a terminal of its own, as its standard input and standard error.

    Args:
        program: the command, with its arguments.
        items: what its standard input is, instead of the terminal.
        shows_results: whether its standard output is the terminal, too, not a pipe.
    """

    def __init__(
        self,
        program: list[str],
        items: bytes | None = None,
        *,
        shows_results: bool = False,
        environment: dict[str, str],
    ) -> None:
        items_end, items_start = os.pipe()
        results, results_end = os.pipe()
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
            if items is not None:
                os.dup2(items_end, 0)
            if not shows_results:
                os.dup2(results_end, 1)
            os.closerange(3, 100)
            os.execvpe(program[0], program, {**environment, "TERM": "xterm"})
        os.close(items_end)
        os.close(results_end)
        if items:
            os.write(items_start, items)
        os.close(items_start)
        self._results = results
        self._screen = pyte.HistoryScreen(COLUMNS, LINES, history=1000)
        self._stream = pyte.ByteStream(self._screen)
        self.written = b""

    @staticmethod
    def of_pando(
        arguments: list[str], items: bytes | None = None, *, shows_results: bool = False
    ) -> Terminal:
        """The `pando` command, of a run on this machine alone."""
        return Terminal(
            [*COMMAND, *arguments], items, shows_results=shows_results, environment=environment()
        )

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for something to be seen."""

        def seen() -> bool:
            if select.select([self.terminal], [], [], 0.05)[0]:
                self._read()
            return condition()

        assert wait_until(seen), self.written

    def wait_for(self, text: str) -> None:
        """Wait until the terminal has been sent a text."""
        self.wait_until(lambda: text.encode() in self.written)

    def type(self, text: bytes) -> None:
        """Type on its keys."""
        os.write(self.terminal, text)

    def end(self) -> tuple[int, bytes]:
        """The exit status and the results."""
        results = b""
        while True:
            readable = select.select([self.terminal, self._results], [], [])[0]
            if self.terminal in readable and not self._read():
                while chunk := os.read(self._results, 4096):  # what came last is still there
                    results += chunk
                break
            if self._results in readable:
                chunk = os.read(self._results, 4096)
                results += chunk
                if not chunk:
                    while self._read():
                        pass
                    break
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self._results)
        os.close(self.terminal)
        return status, results

    def _read(self) -> bool:
        chunk = b""
        with suppress(OSError):
            chunk = os.read(self.terminal, 4096)
        self.written += chunk
        self._stream.feed(chunk)
        return bool(chunk)

    @property
    def rows(self) -> list[str]:
        """What the screen shows, without empty rows at its end, and what has scrolled off it."""
        scrolled = [
            "".join(row[column].data for column in range(COLUMNS)).rstrip()
            for row in self._screen.history.top
        ]
        shown = [row.rstrip() for row in self._screen.display]
        while shown and not shown[-1]:
            shown.pop()
        return scrolled + shown

    @property
    def last_row(self) -> str:
        """What the last row of the screen shows."""
        return str(self._screen.display[-1]).rstrip()
