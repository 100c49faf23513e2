"""What runs inside a worker process: the function, item after item.

Two threads. The main one computes, so that the function finds itself in the main thread, as it
would in a script. The other one reads messages, gives back what is recalled, and sends finished
results while a long batch goes on. This module imports neither Trio nor the web part.
"""

from __future__ import annotations

import _signal as signal  # `signal` imports `enum`, which takes long
import fcntl
import functools
import gc
import os
import select
import sys
import threading
import time
from _socket import socket  # the part in C, without what `socket` imports around it
from collections import deque

from .. import values
from ..errors import MalformedValueError, sanitize_text
from ..functions import loading
from ..functions.placing import use_places
from . import framing, wire
from .batch import Batch
from .coding import decode_items, encode_results
from .invoke import describe_load_error, refuse_breakpoints, take_report
from .loader import read_function
from .running_item import LEASE, NOTHING, OFFSET, RunningItem
from .shared_file import read_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from .loader import FunctionRunner
    from .wire import FailureTuple

    Prepared = Callable[[], FunctionRunner]

FLUSH_SECONDS = 0.025
"""How long a finished result may wait for the rest of its batch."""
EXIT_SECONDS = 0.5
"""How long the function may go on after the parent has closed the socket."""


class WorkerMain:
    """A worker process's state, shared by its two threads."""

    def __init__(self, connection: socket, running: RunningItem, function_file: int) -> None:
        self._socket = connection
        self._running = running
        self._function_file = function_file
        self._function: FunctionRunner
        self._waiting: deque[Batch] = deque()
        self._current: Batch | None = None
        self._state = threading.Condition()
        self._sending = threading.Lock()
        self._closing = False
        self._forked = False
        os.register_at_fork(after_in_child=self._after_fork)

    # ---- the main thread ----

    def run(self) -> None:
        """Load the function, then compute until the parent closes the socket."""
        prepared = self._prepare()
        reader = framing.FrameReader()
        received: list[bytes] = []
        while not received:
            data = self._socket.recv(framing.RECEIVE_SIZE)
            if not data:
                return
            received = reader.feed(data)
        if not self._load(prepared, *wire.read_load(received.pop(0))):
            return
        listen = functools.partial(self._reader_main, reader, received)
        self._send(wire.write("ready"))
        threading.Thread(target=listen, daemon=True).start()
        while (batch := self._next_batch()) is not None:
            self._compute(batch)
            self._finish(batch)

    def _prepare(self) -> Prepared | BaseException:
        """Read the function, and import what Pando needs to load it, or return why that failed.

        That is done before anything of the user's is known here, from Pando's own place: the user
        may have modules of the same names.
        """
        try:
            return read_function(read_file(self._function_file))
        except BaseException as error:
            return error

    def _load(
        self,
        prepared: Prepared | BaseException,
        path: list[str],
        arguments: list[str],
        folder: str,
        places: dict[str, str],
    ) -> bool:
        """Load the function; whether that was possible."""
        try:
            if isinstance(prepared, BaseException):
                raise prepared
            sys.path[:] = path
            if places:
                use_places(places)
            sys.argv[:] = arguments
            try:  # noqa: SIM105 - `contextlib` takes long to import
                os.chdir(folder)
            except OSError:
                pass
            loading.began()
            self._function = prepared()
            loading.ended()
            return True
        except BaseException as error:
            self._send(wire.write("refused", *describe_load_error(error)))
        return False

    def _next_batch(self) -> Batch | None:
        with self._state:
            while not self._waiting:
                if self._closing:
                    return None
                self._state.wait()
            batch = self._current = self._waiting.popleft()
            batch.since = time.perf_counter()
            self._running.cells[LEASE] = batch.lease
            return batch

    def _compute(self, batch: Batch) -> None:
        self._function.compute(batch, self._running)
        if self._forked:
            os._exit(0)
        self._running.cells[OFFSET] = NOTHING

    def _finish(self, batch: Batch) -> None:
        with self._state:
            self._current = None
        self._send_report()
        self._flush(batch)

    def _send_report(self) -> None:
        """Send what the function has reported; before its results, to be there with them."""
        figures = take_report()
        if figures:
            self._send(wire.write("reported", *figures))

    # ---- the listening thread ----

    def _reader_main(self, reader: framing.FrameReader, received: list[bytes]) -> None:
        """Read messages; exit if that fails, since the items would never be given back."""
        try:
            self._listen(reader, received)
        except BaseException as error:
            sys.__excepthook__(type(error), error, error.__traceback__)
            os._exit(1)

    def _listen(self, reader: framing.FrameReader, received: list[bytes]) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while True:
            for data in received:
                self._handle(*wire.read(data))
            received = []
            batch = self._current
            if not poll.poll(FLUSH_SECONDS * 1000 if self._may_have_to_flush(batch) else None):
                if batch is not None:
                    self._flush(batch)
                continue
            try:
                data = self._socket.recv(framing.RECEIVE_SIZE)
            except OSError:
                data = b""
            if not data:
                self._exit_soon()
            received = reader.feed(data)

    def _may_have_to_flush(self, batch: Batch | None) -> bool:
        """Tell whether results may wait for others of their batch; a single one never does."""
        return any(each.size > 1 for each in (batch, *self._waiting) if each is not None)

    def _handle(self, tag: str, lease: int, encoded: memoryview) -> None:
        if tag == "lend":
            try:
                decode = self._function.decode
                batch = Batch(lease, decode_items(lease, encoded, decode, self._running))
            except MalformedValueError:
                self._return_malformed(lease, encoded)
                return
            with self._state:
                self._waiting.append(batch)
                self._state.notify()
        elif tag == "recall":
            self._recall(lease)

    def _return_malformed(self, lease: int, encoded: memoryview) -> None:
        """Fail the items that cannot be decoded here, and give the others of their lease back.

        Those are returned in stretches: a lease may be of thousands of items.
        """
        start = place = 0
        for place, item in enumerate(wire.split(encoded)):
            try:
                values.decode(item)
            except MalformedValueError as error:
                self._give_back(lease, start, place)
                start = place + 1
                failure: FailureTuple = ("MalformedValueError", sanitize_text(str(error)), "")
                results = wire.write_results(lease, place, 0.0, wire.NO_RESULT, {0: failure})
                self._send(*results)
        self._give_back(lease, start, place + 1)

    def _give_back(self, lease: int, start: int, end: int) -> None:
        if start < end:
            self._send(wire.write("returned", lease, start, end - start))

    def _recall(self, lease: int) -> None:
        """Give back what has not been started of a lease."""
        with self._state:
            batch = self._current
            if batch is not None and batch.lease == lease:
                kept = self._function.truncate_batch(batch, self._running)
            else:
                batch = next((b for b in self._waiting if b.lease == lease), None)
                if batch is None:
                    return
                self._waiting.remove(batch)
                kept = 0
        if kept < batch.size:
            self._send(wire.write("returned", lease, kept, batch.size - kept))
            batch.size = kept

    def _exit_soon(self) -> NoReturn:
        """Exit, since the parent has closed the socket: in order if the function is idle."""
        with self._state:
            self._closing = True
            self._waiting.clear()
            self._state.notify()
        time.sleep(EXIT_SECONDS)
        os._exit(0)

    # ---- both ----

    def _flush(self, batch: Batch) -> None:
        """Send the results that have not been sent."""
        with self._sending:
            start, end = batch.sent, len(batch.results)
            if start == end:
                return
            now = time.perf_counter()
            results = batch.results[start:end]
            failures = {i - start: f for i, f in batch.failures.items() if start <= i < end}
            encoded = encode_results(
                batch.lease, start, results, failures, self._function.encode, self._running
            )
            seconds = now - batch.since
            message = wire.write_results(batch.lease, start, seconds, encoded, failures)
            try:
                self._write(*message)
            except OSError:
                self._exit_without_socket(batch)
            batch.sent = end
            batch.since = now

    def _send(self, *message: bytes) -> None:
        """Send a message, given in pieces."""
        with self._sending:
            self._write(*message)

    def _write(self, *message: bytes) -> None:
        try:
            self._socket.sendall(framing.frame(*message))
        except (BrokenPipeError, ConnectionResetError):
            return  # the listening thread notices that the parent is gone

    def _exit_without_socket(self, batch: Batch) -> NoReturn:
        """Exit, since the function has closed the socket; an item of its batch is blamed."""
        cells = self._running.cells
        if cells[OFFSET] == NOTHING:
            cells[OFFSET] = batch.sent
        os._exit(1)

    def _after_fork(self) -> None:
        """In a process that the function has forked: it must not speak for this one."""
        self._forked = True
        self._socket.close()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self._current is not None:
            del self._current.items[:]


def _exit_with_parent(lifeline: int) -> None:
    """Let the kernel end this process when the parent's end of a pipe closes, whatever it does.

    The listening thread notices a parent's death too, but not while the function holds Python's
    lock, as a long match of a regular expression does.
    """
    if hasattr(fcntl, "F_SETOWN"):
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)


def _stay(number: int, frame: object) -> None:
    """Do nothing about SIGTERM: it is the parent that decides when a worker ends.

    A batch system sends it to all processes of a job at once. This is a handler, and not
    `signal.SIG_IGN`, so that programs that the function starts can be ended.
    """


def main() -> None:
    """Run a worker.

    The arguments are file descriptors: the socket, the running item, the function,
    the lifeline.
    """
    files = [int(argument) for argument in sys.argv[1:]]
    socket_file, running_file, function_file, lifeline = files
    del sys.argv[1:]
    for file in files:
        os.set_inheritable(file, False)
    _exit_with_parent(lifeline)
    signal.signal(signal.SIGTERM, _stay)
    connection = socket(fileno=socket_file)
    running = RunningItem(running_file)
    os.close(running_file)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)
    refuse_breakpoints()
    # The collector need not look at what is here before the function is, least of all at the end.
    gc.freeze()
    WorkerMain(connection, running, function_file).run()
