"""One worker process, as its parent sees it: a channel, a clock for long items, an end."""

from __future__ import annotations

import functools
import os
import signal
import socket
import subprocess
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec
import trio

from .. import messages, values
from ..channel import ChannelClosedError
from ..errors import FunctionError, WorkerError
from ..runtime import framing
from ..runtime.progress import Progress, create_file
from .environment import Environment

GRACE_SECONDS = 0.3
"""How long an idle worker may take to end in order."""
DEATH_SECONDS = 0.2
"""How long the link may stay open behind a process that has ended."""
MAX_POLL_SECONDS = 0.25
"""The longest pause between two looks at an item that has a time limit."""


class WorkerProcess:
    """A worker process and the channel to it.

    Use it as ``async with start_worker(…) as worker``. It is a `pando.channel.Channel`; when the
    process dies while it runs an item, a `Struck` message is received before the end.
    """

    def __init__(self, process: trio.Process, link: trio.SocketStream, progress: Progress) -> None:
        self._process = process
        self._link = link
        self._progress = progress
        self._reader = framing.FrameReader()
        self._received: deque[messages.Message] = deque()
        self._timed_out: tuple[int, int] | None = None
        self._timeout: float | None = None
        self._ended = False
        self.item_was_running = False

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    async def send(self, message: messages.Message) -> None:
        try:
            await self._link.send_all(framing.frame(messages.encode(message)))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ChannelClosedError("the worker has ended") from None

    async def receive(self) -> messages.Message:
        while not self._received:
            if self._ended:
                raise ChannelClosedError(self.describe_end())
            await self._receive_more()
        return self._received.popleft()

    async def aclose(self) -> None:
        await self._link.aclose()

    async def _receive_more(self) -> None:
        try:
            data = await self._link.receive_some(framing.RECEIVE_SIZE)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            data = b""
        if data:
            self._received.extend(messages.decode(m) for m in self._reader.feed(bytes(data)))
            return
        self._ended = True
        with trio.move_on_after(DEATH_SECONDS):
            await self._process.wait()
        running = self._timed_out or self._progress.running()
        self.item_was_running = running is not None
        if running is not None:
            self._received.append(self._last_words(*running))

    def _last_words(self, lease: int, offset: int) -> messages.Message:
        """What a worker would say if it could: which item it was running when it ended."""
        if self._timed_out is None:
            return messages.Struck(lease, offset, self.describe_end())
        failure = messages.Failure("TimeoutError", f"it took longer than {self._timeout:g} s")
        nothing = msgspec.Raw(values.encode([None]))
        return messages.Results(lease, offset, 0.0, nothing, {0: failure})

    def describe_end(self) -> str:
        """How the process ended, in words."""
        status = self._process.returncode
        if status is None:
            return "the worker closed its link"
        if status < 0:
            with suppress(ValueError):
                return f"the worker was killed by {signal.Signals(-status).name}"
        return f"the worker exited with status {status}"

    async def load(self, function: bytes) -> None:
        """Send the function, and wait until it is loaded.

        Raises:
            FunctionError: it cannot be loaded there.
            ChannelClosedError: the process ended before it had loaded it.
        """
        await self.send(messages.Load(function))
        answer = await self.receive()
        if isinstance(answer, messages.Refused):
            error = FunctionError(answer.reason)
            if answer.traceback:
                error.add_note(answer.traceback)
            raise error

    async def watch_items(self, timeout: float) -> None:
        """End the process as soon as an item has been running for `timeout` seconds."""
        pause = min(timeout / 10, MAX_POLL_SECONDS)
        self._timeout = timeout
        seen, since = None, trio.current_time()
        while True:
            await trio.sleep(pause)
            running = self._progress.running()
            if running != seen or running is None:
                seen, since = running, trio.current_time()
            elif trio.current_time() - since >= timeout:
                self._timed_out = running
                self.kill()
                return

    async def watch_process(self) -> None:
        """Close the link behind a process that has ended, should something hold it open."""
        await self._process.wait()
        await trio.sleep(DEATH_SECONDS)
        await self._link.aclose()

    def kill(self) -> None:
        """End the process, and those that the function has started, at once."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def end(self) -> None:
        """Hang up, wait a moment for an orderly end, then kill."""
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(self._link)
            if not self._ended:
                with trio.move_on_after(GRACE_SECONDS):
                    await self._process.wait()
            self.kill()
            await self._process.wait()
            self._progress.close()


async def run_worker(
    function: bytes,
    serve: Callable[[WorkerProcess], Awaitable[None]],
    *,
    environment: Environment,
    timeout: float | None = None,
    threads: int = 1,
) -> WorkerProcess:
    """Start a worker, let `serve` use it until it ends or `serve` returns, and end it.

    Args:
        function: the packed function.
        serve: called once the function is loaded.
        environment: the Python to start.
        timeout: seconds that an item may take.
        threads: how many threads numeric libraries in the worker may start.

    Returns:
        The ended worker, which tells how it ended.

    Raises:
        FunctionError: the function cannot be loaded in it.
        WorkerError: the process cannot be started.
    """
    ours, theirs = socket.socketpair()
    lifeline_theirs, lifeline_ours = os.pipe()
    progress_file = create_file()
    shared = (theirs.fileno(), progress_file, lifeline_theirs)
    try:
        process = await _start_process(shared, environment, threads)
        progress = Progress(progress_file)
    except BaseException:
        ours.close()
        os.close(lifeline_ours)
        raise
    finally:
        theirs.close()
        os.close(progress_file)
        os.close(lifeline_theirs)
    link = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
    worker = WorkerProcess(process, link, progress)
    interrupted = True
    try:
        await worker.load(function)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker.watch_process)
            if timeout is not None:
                nursery.start_soon(worker.watch_items, timeout)
            await serve(worker)
            nursery.cancel_scope.cancel()
        interrupted = False
    except ChannelClosedError:
        interrupted = False
    finally:
        if interrupted:
            worker.kill()
        await worker.end()
        os.close(lifeline_ours)
    return worker


async def _start_process(
    shared: tuple[int, int, int], environment: Environment, threads: int
) -> trio.Process:
    if not environment.python:
        raise WorkerError("workers cannot be started: this Python does not know its own program")
    path = list(environment.path)
    boot = f"import sys; sys.path[:] = {path!r}; from pando.runtime.child import main; main()"
    start = functools.partial(
        trio.lowlevel.open_process,
        [environment.python, "-c", boot, *map(str, shared)],
        stdin=subprocess.DEVNULL,
        stdout=2,
        pass_fds=shared,
        process_group=0,
        # A map inside of the function computes here: it is not for others to see.
        env={"OMP_NUM_THREADS": str(threads), **os.environ, "PANDO_SERVE": "0"},
    )
    try:
        with trio.CancelScope(shield=True):  # a process that is being started must not be lost
            process: trio.Process = await start()
    except OSError as error:
        raise WorkerError(f"workers cannot be started: {error}") from None
    return process
