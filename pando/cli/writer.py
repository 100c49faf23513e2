"""Writing results while a run goes on."""

from __future__ import annotations

import select

import trio

from .output import write_all

ATOMIC_SIZE = select.PIPE_BUF
"""Bytes that a pipe which is ready for writing takes without waiting."""


class ResultWriter:
    """Writes to a file descriptor without ever holding up the run behind a slow reader."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._poll = select.poll()
        self._poll.register(file, select.POLLOUT)

    async def write(self, data: bytes) -> None:
        """Write all of it.

        Raises:
            ClosedOutputError: nobody reads any more.
            OutputError: it cannot be written.
        """
        if len(data) <= ATOMIC_SIZE and self._ready():
            write_all(self._file, data)
            await trio.lowlevel.checkpoint()
        else:
            await trio.to_thread.run_sync(write_all, self._file, data, abandon_on_cancel=True)

    def _ready(self) -> bool:
        return any(event & select.POLLOUT for _, event in self._poll.poll(0))
