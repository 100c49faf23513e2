"""Signals that end a command: in order at the first one, at once at the second.

Signal handlers are installed only here, and only by the commands. A command that a signal has
ended kills itself by the same signal, so that shells and other parents see the cause.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from typing import NoReturn

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME_SECONDS = 0.1
"""Signals within this time count as one: `timeout`, for example, sends each one twice."""


class Step(Enum):
    """The reaction to a signal."""

    END_IN_ORDER = "end in order"
    END_AT_ONCE = "end at once"
    NOTHING = "nothing"


class SignalState:
    """Decide how to react to signals; no I/O.

    Attributes:
        received: the first signal, if any.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._first = 0.0

    def receive(self, number: int, now: float) -> Step:
        """Handle a signal.

        Args:
            number: the signal.
            now: the current time, in seconds.
        """
        if self.received is None:
            self.received, self._first = number, now
            return Step.END_IN_ORDER
        return Step.END_AT_ONCE if now - self._first >= SAME_SECONDS else Step.NOTHING


class Signals:
    """Install signal handlers for the duration of a ``with`` statement.

    Outside of `ending_with` each signal ends the process at once and silently, since there is
    nothing to end in order. A signal that is ignored when the command starts stays ignored.

    Args:
        leaves_at_sigterm: whether SIGTERM ends the command successfully, with status 0.

    Attributes:
        on_suspend: called before Ctrl-Z stops the process in a block of `ending_with`.
    """

    def __init__(self, *, leaves_at_sigterm: bool = False) -> None:
        self._leaves_at_sigterm = leaves_at_sigterm
        self._state = SignalState()
        self._before: dict[int, object] = {}
        self._end: Callable[[], object] = lambda: None
        self._kill: Callable[[], object] = lambda: None
        self.on_suspend: Callable[[], object] = lambda: None

    @property
    def received(self) -> int | None:
        """The signal that has ended the block of `ending_with`, if any."""
        return self._state.received

    def __enter__(self) -> Signals:
        with suppress(ValueError):  # not in the main thread: called by another program
            for number in HANDLED:
                before = signal.getsignal(number)
                if before != signal.SIG_IGN:
                    self._set(number)
                    self._before[number] = before
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @contextmanager
    def ending_with(
        self, end: Callable[[], object], kill: Callable[[], object] = lambda: None
    ) -> Iterator[None]:
        """Call `end` at the first signal in the block, and end the process at the second one.

        Args:
            end: starts an end in order; called in the main thread, between any two instructions.
            kill: kills the child processes, which would outlive this one.
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
                self._set(number)
            if can_be_suspended:
                signal.signal(signal.SIGTSTP, signal.SIG_DFL)

    @contextmanager
    def raising_interrupt(self) -> Iterator[None]:
        """Raise KeyboardInterrupt at SIGINT in the block, as functions and debuggers expect.

        Python ignores what is raised in a callback, of a weak reference for example, or in
        ``__del__``. A KeyboardInterrupt that is ignored so is raised again after it.
        """
        if signal.SIGINT not in self._before:
            yield
            return
        hook = sys.unraisablehook

        def interrupt_again(unraisable: sys.UnraisableHookArgs) -> None:
            if issubclass(unraisable.exc_type, KeyboardInterrupt):
                threading.Thread(target=_interrupt_soon, daemon=True).start()
            else:
                hook(unraisable)

        sys.unraisablehook = interrupt_again
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            yield
        finally:
            self._set(signal.SIGINT)
            sys.unraisablehook = hook

    def _handle(self, number: int, frame: object) -> None:
        step = self._state.receive(number, time.monotonic())
        if step is Step.END_IN_ORDER:
            self._end()
        elif step is Step.END_AT_ONCE:
            self._kill()
            end_by(number)

    def _set(self, number: int) -> None:
        """Let a signal end this process at once."""
        # The default action of a signal does not end the first process of a container.
        needs_handler = os.getpid() == 1 or (self._leaves_at_sigterm and number == signal.SIGTERM)
        signal.signal(number, self._end_at_once if needs_handler else signal.SIG_DFL)

    def _end_at_once(self, number: int, frame: object = None) -> NoReturn:
        if self._leaves_at_sigterm and number == signal.SIGTERM:
            os._exit(0)
        end_by(number)

    def _suspend(self, number: int, frame: object) -> None:
        self.on_suspend()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)  # returns when the process is continued
        signal.signal(number, self._suspend)


def _interrupt_soon() -> None:
    """Send SIGINT to this process when the main thread has left a callback, most likely."""
    time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)


def end_by(number: int) -> NoReturn:
    """End this process by a signal, or else with the exit status that shells give for it."""
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)
    os._exit(128 + number)
