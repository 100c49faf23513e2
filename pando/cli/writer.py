"""Write results without blocking the run."""

from __future__ import annotations

import select

import trio

from .output import write_all

ATOMIC_SIZE = select.PIPE_BUF
"""Bytes that can be written to a ready pipe without blocking."""


class ResultWriter:
    """Write to a file descriptor; a slow reader does not block the run."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._poll = select.poll()
        self._poll.register(file, select.POLLOUT)

    async def write(self, data: bytes) -> None:
        """Write all data.

        Raises:
            ClosedOutputError: the reader has closed the pipe.
            OutputError: writing fails.
        """
        if len(data) <= ATOMIC_SIZE and self._ready():
            write_all(self._file, data)
            await trio.lowlevel.checkpoint()
        else:
            await trio.to_thread.run_sync(write_all, self._file, data, abandon_on_cancel=True)

    def _ready(self) -> bool:
        return any(event & select.POLLOUT for _, event in self._poll.poll(0))
