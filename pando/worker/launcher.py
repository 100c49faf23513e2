"""Start worker processes, each with the files that it shares with this process.

Nothing here waits for an event loop or imports Trio, which takes longer than all else that a map
imports: the first worker of a map starts meanwhile (see `Launcher.launch_ahead`).
"""

from __future__ import annotations

import errno
import functools
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress

from ..errors import FunctionError, WorkerError
from ..functions.serialized import SerializedFunction
from ..runtime.running_item import RunningItem, create_running_item_file
from .environment import Environment, interpreter_flags, own_path
from .function_file import FunctionFile
from .processors import count_cores, limit_threads

SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)
"""What the operating system may be short of for a while: descriptors, memory, processes."""

SEND_BUFFER_BYTES = 1024 * 1024
"""What a worker's socket should hold, of which the operating system gives what it allows: with
each time that it is full, one of both processes waits for the other."""
_running: set[int] = set()
"""The workers of this process that have not ended, by their number."""


def forget(pid: int) -> None:
    """Note that a worker has ended."""
    _running.discard(pid)


def kill_all() -> None:
    """End all workers of this process at once, and what they have started, from any thread."""
    for pid in list(_running):
        kill_group(pid)


def kill_group(pid: int) -> None:
    """End a process and those that it has started, at once."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


class WorkerShortageError(WorkerError):
    """A worker cannot be started now, and perhaps later."""


class LaunchedWorker:
    """A process that has been started, and this side of what it shares.

    Args:
        function_file: a descriptor of the function that it is to run, which is closed.
        command: the interpreter and its options.
        threads: how many threads numeric libraries in it may start.

    Attributes:
        process: the process, which leads a group of its own.
        connection: the socket to it.
        running: which item it says that it runs.
        output: a descriptor of what it writes.
    """

    def __init__(self, function_file: int, command: list[str], threads: int) -> None:
        with ExitStack() as theirs, ExitStack() as ours:
            theirs.callback(os.close, function_file)
            self.connection, their_socket = socket.socketpair()
            for each in (self.connection, their_socket):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            theirs.enter_context(their_socket)
            ours.enter_context(self.connection)
            their_lifeline, self._lifeline = os.pipe()
            theirs.callback(os.close, their_lifeline)
            ours.callback(os.close, self._lifeline)
            self.output, their_output = os.pipe()
            theirs.callback(os.close, their_output)
            ours.callback(os.close, self.output)
            running_file = create_running_item_file()
            theirs.callback(os.close, running_file)
            self.running = RunningItem(running_file)
            ours.callback(self.running.close)
            shared = (their_socket.fileno(), running_file, function_file, their_lifeline)
            self.process = _start(command, shared, their_output, threads)
            ours.pop_all()
        _running.add(self.process.pid)

    def release(self) -> None:
        """Let go of the process, which ends then if it still runs."""
        os.close(self._lifeline)
        self.running.close()
        forget(self.process.pid)

    def discard(self) -> None:
        """End the process, which nobody has used."""
        kill_group(self.process.pid)
        self.process.wait()
        self.connection.close()
        os.close(self.output)
        self.release()


class Launcher:
    """Starts the workers of a pool: it knows what they run, and where.

    Args:
        function: what they compute; in its exact form as long as that can be loaded.
        count: how many workers there will be at once.
        environment: the Python that they run in, and what they find; as here by default.
    """

    def __init__(
        self, function: SerializedFunction, count: int, environment: Environment | None = None
    ) -> None:
        self.count = count
        self._function = function
        self._given = environment
        self._threads = max(1, count_cores() // max(1, count))
        self._lock = threading.Lock()
        self._file: FunctionFile | None = None
        self._ahead: LaunchedWorker | None = None
        self._exact_failed: FunctionError | None = None

    @functools.cached_property
    def environment(self) -> Environment:
        """What workers find: by default what this process has when the first of them is used."""
        return self._given or Environment()

    @property
    def uses_exact(self) -> bool:
        """Whether workers get the exact form of the function."""
        return self._function.has_exact and self._exact_failed is None

    def launch(self) -> LaunchedWorker:
        """Start a worker, or return the one that was started ahead. May be called in any thread.

        Raises:
            FunctionError: the function has no form for it.
            WorkerError: the process cannot be started.
            WorkerShortageError: it cannot be started now.
        """
        with self._lock:
            ahead, self._ahead = self._ahead, None
            return ahead or self._launch()

    def launch_ahead(self) -> None:
        """Start the first worker, for `launch` to return, unless there is none to start.

        What is in the way is found again by `launch`.
        """
        with self._lock, suppress(FunctionError, WorkerError):
            if self.count and self._ahead is None:
                self._ahead = self._launch()

    def _launch(self) -> LaunchedWorker:
        python, flags = sys.executable, interpreter_flags()
        if self._given is not None:
            python, flags = self._given.python, self._given.flags
        if not python:
            raise WorkerError("workers cannot be started: sys.executable is empty")
        exact = self._function.exact() if self.uses_exact else None
        packed = exact or self._function.portable()
        try:
            file = self._share(packed)
            return LaunchedWorker(file.open(), [python, *flags], self._threads)
        except OSError as error:
            kind = WorkerShortageError if error.errno in SHORTAGES else WorkerError
            raise kind(f"workers cannot be started: {error.strerror}") from None

    def _share(self, packed: bytes) -> FunctionFile:
        """Put a form of the function where workers read it: the last one is still there."""
        if self._file is None or self._file.packed != packed:
            file = FunctionFile(packed)
            if self._file is not None:
                self._file.close()
            self._file = file
        return self._file

    def give_up_exact(self, error: FunctionError) -> bool:
        """Note that workers cannot load the exact form; return whether they can have the other."""
        if self._exact_failed is None:
            self._exact_failed = error
        try:
            self._function.portable()
        except FunctionError:
            return False
        return True

    @property
    def failure(self) -> FunctionError | None:
        """Why workers cannot load the exact form, if they have tried."""
        return self._exact_failed

    def close(self) -> None:
        """Start no more. Workers that have been started go on, except one that nobody has used."""
        with self._lock:
            if self._ahead is not None:
                self._ahead.discard()
                self._ahead = None
            if self._file is not None:
                self._file.close()
                self._file = None


def _start(
    command: list[str], shared: tuple[int, ...], output: int, threads: int
) -> subprocess.Popen[bytes]:
    boot = f"import sys; sys.path[:] = {own_path()!r}; from pando.runtime.main import main; main()"
    return subprocess.Popen(
        [*command, "-c", boot, *map(str, shared)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=shared,
        start_new_session=True,  # so that no terminal can stop it
        # A map inside of the function computes here: it is not for others to see.
        env={**os.environ, **limit_threads(os.environ, threads), "PANDO_SERVE": "0"},
    )
