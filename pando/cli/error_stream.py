"""Standard error for an event loop: a reader that is slow, or does not read, holds nothing up.

A terminal that is stopped by Ctrl-S, a pager, or a slow connection reads nothing for a while. What
is written meanwhile waits, in memory and then in a temporary file, and a thread writes it.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .signals import Signals

CHUNK_BYTES = 64 * 1024
MEMORY_BYTES = 1024 * 1024
"""Bytes that wait in memory; more of them wait in a file."""
LAST_SECONDS = 0.5
"""How long a command that a signal ends waits for the reader of its last words."""


class ErrorStream(io.TextIOBase):
    """A text stream to a file descriptor that never blocks who writes.

    Args:
        file: the file descriptor.

    Attributes:
        skipped: drawings that were not written, because the reader was slow.
    """

    def __init__(self, file: int = 2) -> None:
        super().__init__()
        self.skipped = 0
        self._file = file
        self._waiting = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES)  # noqa: SIM115
        self._written = self._end = 0
        self._is_broken = False
        self._is_closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="pando stderr", daemon=True)
        self._thread.start()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def fileno(self) -> int:
        return self._file

    def isatty(self) -> bool:
        return os.isatty(self._file)

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        """Have a text written, after all that has been written before."""
        self._append(text.encode("utf-8", "backslashreplace"))
        return len(text)

    def draw(self, text: str) -> bool:
        """Have a text written if nothing waits; otherwise it is out of date by its turn.

        Return whether it is written.
        """
        is_written = self._append(text.encode("utf-8", "replace"), only_if_idle=True)
        self.skipped += not is_written
        return is_written

    def finish(self, seconds: float | None) -> None:
        """Wait until all is written, or for a time, and stop the thread."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join(seconds)
        if not self._thread.is_alive():
            self._waiting.close()

    def _append(self, data: bytes, *, only_if_idle: bool = False) -> bool:
        with self._changed:
            if only_if_idle and self._written < self._end:
                return False
            if self._is_broken:
                return True
            try:
                self._waiting.seek(self._end)
                self._waiting.write(data)
            except OSError:  # the disk is full: there is nothing to be done, and nobody to tell
                return False
            self._end += len(data)
            self._changed.notify_all()
        return True

    def _run(self) -> None:
        while chunk := self._next_chunk():
            view = memoryview(chunk)
            try:
                while view:
                    view = view[os.write(self._file, view) :]
            except BlockingIOError:
                threading.Event().wait(0.01)  # another program has made the file non-blocking
            except OSError:  # the reader is gone, or the disk is full
                self._is_broken = True
            with self._changed:
                self._written = (
                    self._end if self._is_broken else self._written + len(chunk) - len(view)
                )
                if self._written == self._end:
                    self._written = self._end = 0
                    self._waiting.seek(0)
                    self._waiting.truncate()
                self._changed.notify_all()

    def _next_chunk(self) -> bytes:
        """Return what is to be written next, as soon as there is something; empty at the end."""
        with self._changed:
            while self._written == self._end and not self._is_closing:
                self._changed.wait()
            self._waiting.seek(self._written)
            return self._waiting.read(min(CHUNK_BYTES, self._end - self._written))


@contextmanager
def background_stderr(signals: Signals) -> Iterator[None]:
    """In this block, nothing that writes to `sys.stderr` waits for its reader.

    At the end it waits until all is written, for as long as that takes; not after a signal, which
    ends the process soon.
    """
    before = sys.stderr
    with suppress(OSError, ValueError):
        before.flush()
    stream = ErrorStream()
    sys.stderr = stream
    try:
        yield
    finally:
        stream.finish(None if signals.received is None else LAST_SECONDS)
        sys.stderr = before
