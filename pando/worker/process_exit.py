"""Wait for the end of a process that `subprocess` has started."""

from __future__ import annotations

import os
import subprocess

import trio
import trio.lowlevel

POLL_SECONDS = 0.02
"""The pause between two looks where the system cannot tell when a process ends."""


class ProcessExit:
    """The end of a process, which any number of tasks may wait for."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._turn = trio.Lock()  # one task at a time may wait for a file

    async def wait(self) -> None:
        """Wait until the process has ended, and `returncode` says how."""
        async with self._turn:
            if self._process.poll() is None:
                await self._wait_for_file()
            while self._process.poll() is None:  # noqa: ASYNC110 - nothing tells of it
                await trio.sleep(POLL_SECONDS)

    async def _wait_for_file(self) -> None:
        """Wait for the file that becomes readable with the end; return at once without one."""
        try:
            file = os.pidfd_open(self._process.pid)
        except (AttributeError, OSError):  # not Linux, an old one, or a sandbox
            return
        try:
            await trio.lowlevel.wait_readable(file)
        finally:
            os.close(file)
