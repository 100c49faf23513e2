"""Signals that end a command: in order at the first, at once at the second.

Only the commands install handlers, and only here. A command that was ended by a signal ends by
that very signal in the end, so that shells, and whoever else waits for it, see what has happened.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from typing import NoReturn

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME_SECONDS = 0.1
"""Signals that come together are one: `timeout`, for one, sends each of its own twice."""


class Step(Enum):
    """What to do about a signal."""

    END_IN_ORDER = "end in order"
    END_AT_ONCE = "end at once"
    NOTHING = "nothing"


class SignalState:
    """Decides what a signal means; no I/O.

    Attributes:
        received: the signal that has begun the end in order, if one has.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._first = 0.0

    def receive(self, number: int, now: float) -> Step:
        """Take a signal that has come at a time, in seconds."""
        if self.received is None:
            self.received, self._first = number, now
            return Step.END_IN_ORDER
        return Step.END_AT_ONCE if now - self._first >= SAME_SECONDS else Step.NOTHING


class Signals:
    """The handlers of a command, while the ``with`` statement lasts.

    At first each signal ends the process at once, with nothing said: there is nothing to end in
    order yet. A signal that is ignored when the command starts stays ignored.

    Attributes:
        on_suspend: called before Ctrl-Z stops the process, while `ending_with` lasts.
    """

    def __init__(self) -> None:
        self._state = SignalState()
        self._before: dict[int, object] = {}
        self._end: Callable[[], object] = lambda: None
        self._kill: Callable[[], object] = lambda: None
        self.on_suspend: Callable[[], object] = lambda: None

    @property
    def received(self) -> int | None:
        """The signal that has ended what `ending_with` surrounds, if one has."""
        return self._state.received

    def __enter__(self) -> Signals:
        with suppress(ValueError):  # not in the main thread: somebody else's program
            for number in HANDLED:
                before = signal.getsignal(number)
                if before != signal.SIG_IGN:
                    _set(number)
                    self._before[number] = before
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @contextmanager
    def ending_with(
        self, end: Callable[[], object], kill: Callable[[], object] = lambda: None
    ) -> Iterator[None]:
        """In this block the first signal calls `end`; the second one ends the process at once.

        Args:
            end: begins an end in order; called in the main thread, between any two steps of it.
            kill: ends, at once, what would outlive this process.
        """
        self._end, self._kill = end, kill
        for number in self._before:
            signal.signal(number, self._handle)
        can_be_suspended = self._before and signal.getsignal(signal.SIGTSTP) == signal.SIG_DFL
        if can_be_suspended:
            signal.signal(signal.SIGTSTP, self._suspend)
        try:
            yield
        finally:
            for number in self._before:
                _set(number)
            if can_be_suspended:
                signal.signal(signal.SIGTSTP, signal.SIG_DFL)

    @contextmanager
    def raising_interrupt(self) -> Iterator[None]:
        """In this block SIGINT raises KeyboardInterrupt, as functions and debuggers expect it."""
        if signal.SIGINT in self._before:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            yield
        finally:
            if signal.SIGINT in self._before:
                _set(signal.SIGINT)

    def _handle(self, number: int, frame: object) -> None:
        step = self._state.receive(number, time.monotonic())
        if step is Step.END_IN_ORDER:
            self._end()
        elif step is Step.END_AT_ONCE:
            self._kill()
            end_by(number)

    def _suspend(self, number: int, frame: object) -> None:
        self.on_suspend()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)  # and here it goes on, when it does
        signal.signal(number, self._suspend)


def _set(number: int) -> None:
    """Let a signal end this process at once."""
    # What would end another process does nothing to the first one of a container.
    is_first = os.getpid() == 1
    signal.signal(number, (lambda number, frame: end_by(number)) if is_first else signal.SIG_DFL)


def end_by(number: int) -> NoReturn:
    """End this process by a signal; where that cannot be, with the status that stands for it."""
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)
    os._exit(128 + number)
