"""The first moments of a command, before anything has been imported.

Nothing is imported here but what the interpreter has built in: what is loaded before the signals
have their handlers is what Ctrl-C would show a traceback of.
"""

from __future__ import annotations

import _signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .signals import Signals


def run(command: Callable[[list[str], Signals], int], arguments: list[str] | None) -> int:
    """Run a command, given its arguments and its signals; return its exit status.

    Where a signal has ended it, do not return, but end this process by that signal.
    """
    raises_interrupt = _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler
    if raises_interrupt:
        try:
            _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        except ValueError:  # not in the main thread: somebody else's program
            raises_interrupt = False
    try:
        from .signals import Signals, end_by

        with Signals() as signals:
            try:
                status = command(sys.argv[1:] if arguments is None else arguments, signals)
                number = signals.received
            except KeyboardInterrupt:
                number = _signal.SIGINT
            if number is None:
                return status
            _run_exit_functions()
            end_by(number)
    finally:
        if raises_interrupt:
            _signal.signal(_signal.SIGINT, _signal.default_int_handler)


def _run_exit_functions() -> None:
    """Do what the interpreter does at its end, which a signal spares it."""
    import atexit

    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
