"""Run a worker from its start to its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from .launcher import Launcher
from .process import Output, WorkerProcess


async def run_worker(
    launcher: Launcher,
    serve: Callable[[WorkerProcess], Awaitable[None]],
    *,
    timeout: float | None = None,
) -> WorkerProcess:
    """Start a worker, let `serve` use it until it ends or `serve` returns, and end it.

    Args:
        launcher: starts it.
        serve: called once the function is loaded.
        timeout: seconds that an item may take.

    Returns:
        The ended worker, which tells how it ended.

    Raises:
        FunctionError: the function cannot be loaded in it.
        WorkerError: the process cannot be started.
        WorkerShortageError: it cannot be started now.
    """
    with trio.CancelScope(shield=True):  # a process that is being started must not be lost
        launched = await trio.to_thread.run_sync(launcher.launch)
    try:
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(launched.connection))
        output = Output(launched.output)
        worker = WorkerProcess(launched.process, stream, launched.running, output)
        await worker.use(serve, launcher.environment, timeout)
        return worker
    finally:
        launched.release()
