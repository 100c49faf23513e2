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
import trio.lowlevel

from .. import messages, values
from ..channel import ChannelClosedError
from ..errors import FunctionError, WorkerError
from ..runtime import framing
from ..runtime.progress import Progress, create_file
from .environment import Environment, own_path

GRACE_SECONDS = 0.3
"""How long an idle worker may take to end in order."""
DEATH_SECONDS = 0.2
"""How long the link may stay open behind a process that has ended."""
OUTPUT_BYTES = 64 * 1024
"""What is read at once of a worker's output."""
MAX_LINE_BYTES = 2000
"""The longest last line that is kept."""
DRAIN_SECONDS = 0.05
"""How long output of a worker that has ended may take to come; others may hold its files open."""
MAX_POLL_SECONDS = 0.25
"""The longest pause between two looks at an item that has a time limit."""

_running: set[int] = set()
"""The workers of this process that have not ended, by their number."""


def kill_all() -> None:
    """End all workers of this process at once, and what they have started, from any thread."""
    for pid in list(_running):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


class Output:
    """What a worker writes: passed on to standard error, and its last line kept."""

    def __init__(self, file: int) -> None:
        self._stream = trio.lowlevel.FdStream(file)
        self._tail = b""

    async def pass_on(self) -> None:
        """Pass everything on until the worker, and what it has started, have ended."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while data := await self._stream.receive_some(OUTPUT_BYTES):
                self._tail = (self._tail + data)[-MAX_LINE_BYTES:]
                with trio.CancelScope(shield=True):  # what was read must not be lost
                    await trio.to_thread.run_sync(_write_to_standard_error, bytes(data))

    @property
    def last_line(self) -> str:
        """The last line that is not empty."""
        lines = [line for line in self._tail.splitlines() if line.strip()]
        return lines[-1].decode(errors="replace").strip() if lines else ""

    async def close(self) -> None:
        """Pass on what is there, and read no more."""
        with trio.move_on_after(DRAIN_SECONDS):
            await self.pass_on()
        await trio.aclose_forcefully(self._stream)


def _write_to_standard_error(data: bytes) -> None:
    with suppress(OSError):
        while data:
            data = data[os.write(2, data) :]


class WorkerProcess:
    """A worker process and the channel to it.

    Use it as ``async with start_worker(…) as worker``. It is a `pando.channel.Channel`; when the
    process dies while it runs an item, a `Struck` message is received before the end.
    """

    def __init__(
        self, process: trio.Process, link: trio.SocketStream, progress: Progress, output: Output
    ) -> None:
        self._process = process
        self._output = output
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
            await trio.lowlevel.checkpoint()  # its last line may be there, too
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
        """How the process ended, and what it wrote last."""
        status = self._process.returncode
        text = f"the worker exited with status {status}"
        if status is None:
            text = "the worker closed its link"
        elif status < 0:
            with suppress(ValueError):
                text = f"the worker was killed by {signal.Signals(-status).name}"
        line = self._output.last_line
        return f"{text}; the last line that it wrote: {line}" if line else text

    async def load(self, function: bytes, environment: Environment) -> None:
        """Send the function, and wait until it is loaded.

        Raises:
            FunctionError: it cannot be loaded there.
            ChannelClosedError: the process ended before it had loaded it.
        """
        await self.send(
            messages.Load(
                function,
                [_as_bytes(entry) for entry in environment.path],
                [_as_bytes(argument) for argument in environment.arguments],
                _as_bytes(environment.folder),
            )
        )
        answer = await self.receive()
        if isinstance(answer, messages.Refused):
            error = FunctionError(answer.reason)
            if answer.traceback:
                error.add_note(answer.traceback)
            raise error

    async def use(
        self,
        function: bytes,
        serve: Callable[[WorkerProcess], Awaitable[None]],
        environment: Environment,
        timeout: float | None,
    ) -> None:
        """Load the function, let `serve` use the worker, and end it."""
        error: FunctionError | None = None
        interrupted = True
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._output.pass_on)
                try:
                    await self.load(function, environment)
                    nursery.start_soon(self.watch_process)
                    if timeout is not None:
                        nursery.start_soon(self.watch_items, timeout)
                    await serve(self)
                    interrupted = False
                except ChannelClosedError:
                    interrupted = False
                except FunctionError as refusal:  # raised below: no group is to be made of it
                    error = refusal
                finally:
                    if interrupted:
                        self.kill()
                    await self.end()
                    nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await self._output.close()
        if error is not None:
            raise error

    async def watch_items(self, timeout: float) -> None:
        """End the process as soon as an item has been running for `timeout` seconds.

        Time in which this process did not run, because the machine slept or Ctrl-Z had stopped it,
        does not count: perhaps the worker did not run either.
        """
        pause = min(timeout / 10, MAX_POLL_SECONDS)
        self._timeout = timeout
        seen, since = None, trio.current_time()
        while True:
            due = trio.current_time() + pause
            await trio.sleep_until(due)
            now = trio.current_time()
            since += now - due
            running = self._progress.running()
            if running != seen or running is None:
                seen, since = running, now
            elif now - since >= timeout:
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
            _running.discard(self.pid)
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
    output_ours, output_theirs = os.pipe()
    progress_file = create_file()
    shared = (theirs.fileno(), progress_file, lifeline_theirs)
    try:
        process = await _start_process(shared, output_theirs, environment, threads)
        progress = Progress(progress_file)
    except BaseException:
        ours.close()
        os.close(lifeline_ours)
        os.close(output_ours)
        raise
    finally:
        theirs.close()
        for file in (progress_file, lifeline_theirs, output_theirs):
            os.close(file)
    link = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
    worker = WorkerProcess(process, link, progress, Output(output_ours))
    try:
        await worker.use(function, serve, environment, timeout)
    finally:
        os.close(lifeline_ours)
    return worker


async def _start_process(
    shared: tuple[int, int, int], output: int, environment: Environment, threads: int
) -> trio.Process:
    if not environment.python:
        raise WorkerError("workers cannot be started: this Python does not know its own program")
    boot = f"import sys; sys.path[:] = {own_path()!r}; from pando.runtime.child import main; main()"
    start = functools.partial(
        trio.lowlevel.open_process,
        [environment.python, *environment.flags, "-c", boot, *map(str, shared)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=shared,
        start_new_session=True,  # so that no terminal can stop it
        # A map inside of the function computes here: it is not for others to see.
        env={"OMP_NUM_THREADS": str(threads), **os.environ, "PANDO_SERVE": "0"},
    )
    try:
        with trio.CancelScope(shield=True):  # a process that is being started must not be lost
            process: trio.Process = await start()
    except OSError as error:
        raise WorkerError(f"workers cannot be started: {error}") from None
    _running.add(process.pid)
    return process


def _as_bytes(name: str) -> bytes:
    """A file's name, which may be no proper Unicode, as a message can hold it."""
    return name.encode("utf-8", "surrogateescape")
