"""One worker process, as its parent sees it: a channel, a clock for long items, an end."""

from __future__ import annotations

import signal
import subprocess
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec
import trio
import trio.lowlevel

from .. import messages, standard_error, values
from ..channel import ChannelClosedError
from ..errors import FunctionError
from ..runtime import framing
from ..runtime.running_item import RunningItem
from .environment import Environment
from .launcher import kill_group
from .process_exit import ProcessExit
from .time_limit import TimeLimit

GRACE_SECONDS = 0.3
"""How long an idle worker may take to end in order."""
DEATH_SECONDS = 0.2
"""How long the socket may stay open after the process has ended."""
OUTPUT_BYTES = 64 * 1024
"""What is read at once of a worker's output."""
MAX_LINE_BYTES = 2000
"""The longest last line that is kept."""
DRAIN_SECONDS = 0.05
"""How long output of a worker that has ended may take to come; others may hold its files open."""
MAX_POLL_SECONDS = 0.25
"""The longest pause between two looks at an item that has a time limit."""


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
                    await trio.to_thread.run_sync(standard_error.write, bytes(data))

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


class WorkerProcess:
    """A worker process and the channel to it.

    It is a `pando.channel.MessageChannel`; when the process dies while it runs an item, an
    `ItemCrashed` message is received before the end.

    Args:
        process: the process, which `use` ends.
        stream: the socket to it.
        running: which item it says that it runs.
        output: what it writes.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        stream: trio.SocketStream,
        running: RunningItem,
        output: Output,
    ) -> None:
        self._process = process
        self._exit = ProcessExit(process)
        self._output = output
        self._stream = stream
        self._running = running
        self._reader = framing.FrameReader()
        self._received: deque[messages.Message] = deque()
        self._timed_out: tuple[int, int] | None = None
        self._superseded: set[int] = set()
        self._limit: TimeLimit | None = None
        self._stood_still: tuple[int, int] | None = None
        self._bytes_received = 0
        self._is_receiving = False
        self._ended = False
        self.item_was_running = False

    def __repr__(self) -> str:
        return f"<WorkerProcess {self.pid}>"

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    async def send(self, message: messages.Message) -> None:
        if isinstance(message, messages.Recall) and message.is_superseded:
            self._superseded.add(message.lease)
        elif isinstance(message, messages.Lend) and self._superseded:
            self._end_superseded()
        try:
            framed = messages.encode_after(framing.HEADER.size, message)
            framing.write_header(framed)
            await self._stream.send_all(framed)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ChannelClosedError("the worker has ended") from None
        if self._limit is not None:
            self._limit.held.note_sent(message)

    def _end_superseded(self) -> None:
        """End the process if it runs an item that is not wanted any more: it is needed."""
        running = self._running.running()
        if running is not None and running[0] in self._superseded:
            self.kill()
        self._superseded.clear()

    async def receive(self) -> messages.Message:
        while not self._received:
            if self._ended:
                raise ChannelClosedError(self.describe_end())
            await self._receive_more()
        return self._received.popleft()

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def _receive_more(self) -> None:
        self._is_receiving = True
        try:
            data = await self._stream.receive_some(framing.RECEIVE_SIZE)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            data = b""
        self._is_receiving = False
        if data:
            self._bytes_received += len(data)
            received = [messages.decode(m) for m in self._reader.feed(bytes(data))]
            self._received.extend(received)
            if self._limit is not None:
                for message in received:
                    self._limit.held.note_received(message)
            return
        self._ended = True
        with trio.move_on_after(DEATH_SECONDS):
            await self._exit.wait()
            await trio.lowlevel.checkpoint()  # its last line may be there, too
        running = self._timed_out or self._stood_still or self._running.running()
        self.item_was_running = running is not None
        if running is not None:
            self._received.append(self._exit_message(*running))

    def _exit_message(self, lease: int, offset: int) -> messages.Message:
        """Return the message about the item that a worker was running when it ended."""
        if self._timed_out is None or self._limit is None:
            return messages.ItemCrashed(lease, offset, self.describe_end())
        failure = messages.Failure("TimeoutError", f"it took longer than {self._limit.seconds:g} s")
        nothing = msgspec.Raw(values.encode([None]))
        return messages.Results(lease, offset, 0.0, nothing, {0: failure})

    def describe_end(self) -> str:
        """Tell how the process ended, and what it wrote last."""
        status = self._process.returncode
        text = f"the worker exited with status {status}"
        if self._stood_still is not None and self._limit is not None:
            seconds = self._limit.standstill_seconds
            return f"the worker did nothing for {seconds:g} s with the items that it held"
        if status is None:
            text = "the worker closed its socket"
        elif status < 0:
            with suppress(ValueError):
                text = f"the worker was killed by {signal.Signals(-status).name}"
        line = self._output.last_line
        return f"{text}; the last line that it wrote: {line}" if line else text

    async def load(self, environment: Environment) -> None:
        """Tell the worker to load the function, and wait until it has.

        Raises:
            FunctionError: it cannot be loaded there.
            ChannelClosedError: the process ended before it had loaded it.
        """
        await self.send(
            messages.Load(
                [_as_bytes(entry) for entry in environment.path],
                [_as_bytes(argument) for argument in environment.arguments],
                _as_bytes(environment.folder),
                {name: _as_bytes(folder) for name, folder in environment.places.items()},
            )
        )
        answer = await self.receive()
        if isinstance(answer, messages.LoadFailed):
            error = FunctionError(answer.reason)
            if answer.traceback:
                error.add_note(answer.traceback)
            raise error

    async def use(
        self,
        serve: Callable[[WorkerProcess], Awaitable[None]],
        environment: Environment,
        timeout: float | None,
    ) -> None:
        """Load the function, let `serve` use the worker, and end it.

        Raises:
            FunctionError: the function cannot be loaded in it.
        """
        error: FunctionError | None = None
        interrupted = True
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._output.pass_on)
                try:
                    await self.load(environment)
                    nursery.start_soon(self.watch_process)
                    if timeout is not None:
                        nursery.start_soon(self.watch_items, self.limit_items(timeout))
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

    def limit_items(self, seconds: float) -> TimeLimit:
        """Set the time that an item may take; items sent before are not watched."""
        self._limit = TimeLimit(seconds)
        return self._limit

    async def watch_items(self, limit: TimeLimit) -> None:
        """End the process as soon as an item takes longer than the limit, wherever it is.

        So is one that does nothing with what it holds, such as a process that was stopped. Time in
        which this process did not run, because the machine slept or Ctrl-Z had stopped it, does not
        count: perhaps the worker did not run either.
        """
        pause = min(limit.seconds / 10, MAX_POLL_SECONDS)
        while True:
            due = trio.current_time() + pause
            await trio.sleep_until(due)
            now = trio.current_time()
            limit.skip(now - due)
            stages = self._running.stages()
            self._timed_out = limit.find_overdue(stages, now)
            if self._timed_out is None and self._is_receiving:
                self._stood_still = limit.find_standstill(stages, self._bytes_received, now)
            if self._timed_out is not None or self._stood_still is not None:
                self.kill()
                return

    async def watch_process(self) -> None:
        """Close the socket after the process has ended, should something hold it open."""
        await self._exit.wait()
        await trio.sleep(DEATH_SECONDS)
        await self._stream.aclose()

    def kill(self) -> None:
        """End the process, and those that the function has started, at once."""
        if self._process.returncode is None:
            kill_group(self._process.pid)

    async def end(self) -> None:
        """Close the socket, wait a moment for an orderly exit, then kill."""
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(self._stream)
            if not self._ended:
                with trio.move_on_after(GRACE_SECONDS):
                    await self._exit.wait()
            self.kill()
            await self._exit.wait()


def _as_bytes(name: str) -> bytes:
    """Return a file's name, which may be no proper Unicode, as a message can hold it."""
    return name.encode("utf-8", "surrogateescape")
