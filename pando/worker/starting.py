"""Start a worker process: the files that it shares with its parent, and its program."""

from __future__ import annotations

import errno
import functools
import os
import socket
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import trio
import trio.lowlevel

from ..errors import WorkerError
from ..runtime.running_item import RunningItem, create_running_item_file
from .environment import Environment, own_path
from .function_file import FunctionFile
from .process import Output, WorkerProcess, remember
from .processors import limit_threads

SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)
"""What the operating system may be short of for a while: descriptors, memory, processes."""

SEND_BUFFER_BYTES = 1024 * 1024
"""What a worker's socket should hold, of which the operating system gives what it allows: with
each time that it is full, one of both processes waits for the other."""


class WorkerShortageError(WorkerError):
    """A worker cannot be started now, and perhaps later."""


async def run_worker(
    function: FunctionFile,
    serve: Callable[[WorkerProcess], Awaitable[None]],
    *,
    environment: Environment,
    timeout: float | None = None,
    threads: int = 1,
) -> WorkerProcess:
    """Start a worker, let `serve` use it until it ends or `serve` returns, and end it.

    Args:
        function: what it is to run.
        serve: called once the function is loaded.
        environment: the Python to start.
        timeout: seconds that an item may take.
        threads: how many threads numeric libraries in the worker may start.

    Returns:
        The ended worker, which tells how it ended.

    Raises:
        FunctionError: the function cannot be loaded in it.
        WorkerError: the process cannot be started.
        WorkerShortageError: it cannot be started now.
    """
    if not environment.python:
        raise WorkerError("workers cannot be started: sys.executable is empty")
    with ExitStack() as lifeline:
        try:
            worker = await _start(function, environment, threads, lifeline)
        except OSError as error:
            kind = WorkerShortageError if error.errno in SHORTAGES else WorkerError
            raise kind(f"workers cannot be started: {error.strerror}") from None
        await worker.use(serve, environment, timeout)
        return worker


async def _start(
    function: FunctionFile, environment: Environment, threads: int, lifeline: ExitStack
) -> WorkerProcess:
    """Start the process. Its end of all files is closed here, and ours where it cannot start.

    The process ends when what `lifeline` holds is closed, be it because this process has ended.
    """
    with ExitStack() as theirs, ExitStack() as ours:
        our_socket, their_socket = socket.socketpair()
        for each in (our_socket, their_socket):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        theirs.enter_context(their_socket)
        ours.enter_context(our_socket)
        their_lifeline, our_lifeline = os.pipe()
        theirs.callback(os.close, their_lifeline)
        lifeline.callback(os.close, our_lifeline)
        our_output, their_output = os.pipe()
        theirs.callback(os.close, their_output)
        ours.callback(os.close, our_output)
        running_file = create_running_item_file()
        theirs.callback(os.close, running_file)
        function_file = function.open()
        theirs.callback(os.close, function_file)
        shared = (their_socket.fileno(), running_file, function_file, their_lifeline)
        running = RunningItem(running_file)
        process = await _start_process(shared, their_output, environment, threads)
        ours.pop_all()
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(our_socket))
    return WorkerProcess(process, stream, running, Output(our_output))


async def _start_process(
    shared: tuple[int, ...], output: int, environment: Environment, threads: int
) -> trio.Process:
    boot = f"import sys; sys.path[:] = {own_path()!r}; from pando.runtime.main import main; main()"
    start = functools.partial(
        trio.lowlevel.open_process,
        [environment.python, *environment.flags, "-c", boot, *map(str, shared)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=shared,
        start_new_session=True,  # so that no terminal can stop it
        # A map inside of the function computes here: it is not for others to see.
        env={**os.environ, **limit_threads(os.environ, threads), "PANDO_SERVE": "0"},
    )
    with trio.CancelScope(shield=True):  # a process that is being started must not be lost
        process: trio.Process = await start()
    remember(process.pid)
    return process
