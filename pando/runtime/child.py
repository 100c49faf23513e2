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
from contextlib import suppress

from .. import values
from ..errors import MalformedValueError, portable
from ..functions import loading
from . import framing, speech
from .batch import Batch
from .calling import describe_refusal, encode_results, refuse_breakpoints, take_report
from .computing import read_function
from .progress import LEASE, NOTHING, OFFSET, Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from .computing import Computer
    from .speech import Failure

FLUSH_SECONDS = 0.025
"""How long a finished result may wait for the rest of its batch."""
EXIT_SECONDS = 0.5
"""How long the function may go on after the parent has hung up."""


class Child:
    """A worker process's state, shared by its two threads."""

    def __init__(self, link: socket, progress: Progress) -> None:
        self._link = link
        self._progress = progress
        self._function: Computer
        self._waiting: deque[Batch] = deque()
        self._current: Batch | None = None
        self._state = threading.Condition()
        self._sending = threading.Lock()
        self._hung_up = False
        self._forked = False
        os.register_at_fork(after_in_child=self._after_fork)

    # ---- the main thread ----

    def run(self) -> None:
        """Load the function, then compute until the parent hangs up."""
        reader = framing.FrameReader()
        received: list[bytes] = []
        while not received:
            data = self._link.recv(framing.RECEIVE_SIZE)
            if not data:
                return
            received = reader.feed(data)
        if not self._load(*speech.read_load(received.pop(0))):
            return
        listen = functools.partial(self._listen_or_die, reader, received)
        self._send(speech.write("ready"))
        threading.Thread(target=listen, daemon=True).start()
        while (batch := self._next_batch()) is not None:
            self._compute(batch)
            self._finish(batch)

    def _load(self, packed: bytes, path: list[str], arguments: list[str], folder: str) -> bool:
        """Load the function; whether that was possible.

        What Pando needs for that is imported first, from its own place: the user may have modules
        of the same names.
        """
        try:
            load = read_function(packed)
            sys.path[:] = path
            sys.argv[:] = arguments
            with suppress(OSError):
                os.chdir(folder)
            loading.began()
            self._function = load()
            loading.ended()
            return True
        except BaseException as error:
            self._send(speech.write("refused", *describe_refusal(error)))
        return False

    def _next_batch(self) -> Batch | None:
        with self._state:
            while not self._waiting:
                if self._hung_up:
                    return None
                self._state.wait()
            batch = self._current = self._waiting.popleft()
            batch.since = time.perf_counter()
            self._progress.cells[LEASE] = batch.lease
            return batch

    def _compute(self, batch: Batch) -> None:
        self._function.compute(batch, self._progress)
        if self._forked:
            os._exit(0)
        self._progress.cells[OFFSET] = NOTHING

    def _finish(self, batch: Batch) -> None:
        with self._state:
            self._current = None
        self._send_report()
        self._flush(batch)

    def _send_report(self) -> None:
        """Send what the function has reported; before its results, to be there with them."""
        figures = take_report()
        if figures:
            self._send(speech.write("reported", *figures))

    # ---- the listening thread ----

    def _listen_or_die(self, reader: framing.FrameReader, received: list[bytes]) -> None:
        """A worker that no longer listens would keep its items for ever."""
        try:
            self._listen(reader, received)
        except BaseException as error:
            sys.__excepthook__(type(error), error, error.__traceback__)
            os._exit(1)

    def _listen(self, reader: framing.FrameReader, received: list[bytes]) -> None:
        poll = select.poll()
        poll.register(self._link, select.POLLIN)
        while True:
            for data in received:
                self._handle(*speech.read(data))
            received = []
            batch = self._current
            if not poll.poll(FLUSH_SECONDS * 1000 if self._may_have_to_flush(batch) else None):
                if batch is not None:
                    self._flush(batch)
                continue
            try:
                data = self._link.recv(framing.RECEIVE_SIZE)
            except OSError:
                data = b""
            if not data:
                self._exit_soon()
            received = reader.feed(data)

    def _may_have_to_flush(self, batch: Batch | None) -> bool:
        """Whether results may wait for others of their batch; a single one never does."""
        return any(each.size > 1 for each in (batch, *self._waiting) if each is not None)

    def _handle(self, tag: str, lease: int, encoded: memoryview) -> None:
        if tag == "lend":
            try:
                batch = Batch(lease, self._function.decode(encoded))
            except MalformedValueError:
                self._return_malformed(lease, encoded)
                return
            with self._state:
                self._waiting.append(batch)
                self._state.notify()
        elif tag == "recall":
            self._recall(lease)

    def _return_malformed(self, lease: int, encoded: memoryview) -> None:
        """Fail the items that cannot be decoded here, and give the others of their lease back."""
        for place, item in enumerate(speech.split(encoded)):
            try:
                values.decode(item)
            except MalformedValueError as error:
                failure: Failure = ("MalformedValueError", portable(str(error)), "")
                results = speech.write_results(lease, place, 0.0, speech.NO_RESULT, {0: failure})
                self._send(results)
            else:
                self._send(speech.write("returned", lease, place, 1))

    def _recall(self, lease: int) -> None:
        """Give back what has not been started of a lease."""
        with self._state:
            batch = self._current
            if batch is not None and batch.lease == lease:
                kept = self._function.cut(batch, self._progress)
            else:
                batch = next((b for b in self._waiting if b.lease == lease), None)
                if batch is None:
                    return
                self._waiting.remove(batch)
                kept = 0
        if kept < batch.size:
            self._send(speech.write("returned", lease, kept, batch.size - kept))
            batch.size = kept

    def _exit_soon(self) -> NoReturn:
        """The parent has hung up: end in order where the function is not running, or else soon."""
        with self._state:
            self._hung_up = True
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
            encoded = encode_results(results, failures, self._function.encode)
            seconds = now - batch.since
            message = speech.write_results(batch.lease, start, seconds, encoded, failures)
            try:
                self._write(message)
            except OSError:
                self._die_without_link(batch)
            batch.sent = end
            batch.since = now

    def _send(self, message: bytes) -> None:
        with self._sending:
            self._write(message)

    def _write(self, message: bytes) -> None:
        try:
            self._link.sendall(framing.frame(message))
        except (BrokenPipeError, ConnectionResetError):
            return  # the listening thread notices that the parent is gone

    def _die_without_link(self, batch: Batch) -> NoReturn:
        """The function has closed the link: end, so that an item of its batch is blamed."""
        cells = self._progress.cells
        if cells[OFFSET] == NOTHING:
            cells[OFFSET] = batch.sent
        os._exit(1)

    def _after_fork(self) -> None:
        """In a process that the function has forked: it must not speak for this one."""
        self._forked = True
        self._link.close()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self._current is not None:
            del self._current.items[:]


def _die_with(lifeline: int) -> None:
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
    """Run a worker. The arguments are file descriptors: the link, the progress, the lifeline."""
    link_file, progress_file, lifeline = map(int, sys.argv[1:4])
    del sys.argv[1:]
    for file in (link_file, progress_file, lifeline):
        os.set_inheritable(file, False)
    _die_with(lifeline)
    signal.signal(signal.SIGTERM, _stay)
    link = socket(fileno=link_file)
    progress = Progress(progress_file)
    os.close(progress_file)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)
    refuse_breakpoints()
    # The collector need not look at what is here before the function is, least of all at the end.
    gc.freeze()
    Child(link, progress).run()
