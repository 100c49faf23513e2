"""Monitoring as lines of JSON, one each reporting interval: on standard error, or in a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from .. import debug, standard_error
from ..errors import UsageError
from .monitoring import RunMonitoring

if TYPE_CHECKING:
    from ..reporting.shown import Information

LAST_LINE_SECONDS = 0.5
"""Maximum seconds for writing the last line."""


class LineWriter:
    """Writes the newest line in a thread; drops and counts those for which there is no time.

    Args:
        monitoring: counts the lines that are dropped.
        write: writes a whole line, and may take long.
    """

    def __init__(self, monitoring: RunMonitoring, write: Callable[[bytes], object]) -> None:
        self._monitoring = monitoring
        self._write = write
        self._line: bytes | None = None
        self._posted = trio.Event()
        self._is_writing = False

    def put(self, information: Information) -> None:
        """Have a line written."""
        if self._is_writing:
            self._monitoring.dropped_lines += 1
            return
        self._is_writing = True
        self._line = information.to_json() + b"\n"
        self._posted.set()

    async def run(self) -> None:
        """Write lines until cancelled; one that is being written then is left to its thread."""
        while True:
            await self._posted.wait()
            self._posted = trio.Event()
            line, self._line = self._line, None
            if line is not None:
                await trio.to_thread.run_sync(self._write, line, abandon_on_cancel=True)
                self._is_writing = False

    async def finish(self) -> None:
        """Write the line that waits, unless that takes long."""
        line, self._line = self._line, None
        if line is not None:
            with trio.move_on_after(LAST_LINE_SECONDS):
                await trio.to_thread.run_sync(self._write, line, abandon_on_cancel=True)


class MonitoringLines:
    """The lines of a run: on standard error where DEBUG asks for them, and in a file.

    Args:
        monitoring: what is known of the run.
        log: the file, if there is one.

    Raises:
        UsageError: the file cannot be written.
    """

    def __init__(self, monitoring: RunMonitoring, log: str | os.PathLike[str] | None) -> None:
        self._file: int | None = None
        self._writers: list[LineWriter] = []
        if log is not None:
            try:
                self._file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            except OSError as error:
                raise UsageError(f"{os.fspath(log)}: {error.strerror}") from None
            self._writers.append(LineWriter(monitoring, self._write_to_file))
        if debug.is_enabled(*debug.MONITORING):
            self._writers.append(LineWriter(monitoring, _write_to_standard_error))
        monitoring.sinks += [writer.put for writer in self._writers]

    def start(self, nursery: trio.Nursery) -> None:
        """Write lines as long as the nursery is open."""
        for writer in self._writers:
            nursery.start_soon(writer.run)

    async def close(self) -> None:
        """Write the last line, and close the file."""
        with trio.CancelScope(shield=True):
            for writer in self._writers:
                await writer.finish()
        if self._file is not None:
            os.close(self._file)

    def _write_to_file(self, line: bytes) -> None:
        while line and self._file is not None:
            line = line[os.write(self._file, line) :]


def _write_to_standard_error(line: bytes) -> None:
    standard_error.write(line, as_line=True)
