"""Start a command: install signal handlers before anything else is imported.

Only built-in modules are imported here, because Ctrl-C would show a traceback of every import that
precedes the handlers.
"""

from __future__ import annotations

import _signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .signals import Signals


def run(
    command: Callable[[list[str], Signals], int],
    arguments: list[str] | None,
    *,
    leaves_at_sigterm: bool = False,
) -> int:
    """Run a command and return its exit status; if a signal has ended it, end by that signal.

    Args:
        command: takes the arguments and the signal handlers; returns the exit status.
        arguments: the arguments; None for those of this process.
        leaves_at_sigterm: whether SIGTERM ends the command successfully, with status 0.
    """
    if leaves_at_sigterm and _signal.getsignal(_signal.SIGTERM) == _signal.SIG_DFL:
        try:
            _signal.signal(_signal.SIGTERM, _exit_at_once)
        except ValueError:  # not in the main thread
            leaves_at_sigterm = False
    raises_interrupt = _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler
    if raises_interrupt:
        try:
            _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        except ValueError:  # not in the main thread: called by another program
            raises_interrupt = False
    try:
        from .signals import Signals, end_by

        with Signals(leaves_at_sigterm=leaves_at_sigterm) as signals:
            try:
                status = _run_with_what_is_there(
                    command, sys.argv[1:] if arguments is None else arguments, signals
                )
                number = signals.received
            except KeyboardInterrupt:
                number = _signal.SIGINT
            if number is None or (leaves_at_sigterm and number == _signal.SIGTERM):
                return status
            _run_exit_functions()
            end_by(number)
    finally:
        if raises_interrupt:
            _signal.signal(_signal.SIGINT, _signal.default_int_handler)


def _run_with_what_is_there(
    command: Callable[[list[str], Signals], int], arguments: list[str], signals: Signals
) -> int:
    """Run a command; where files, memory or threads are short, say so instead of a traceback."""
    from .shortage import complain, describe_limits, describe_shortage

    if limit := describe_limits():
        return complain(limit)
    try:
        return command(arguments, signals)
    except Exception as error:
        if not (sentence := describe_shortage(error)):
            raise
        return complain(sentence)


def _exit_at_once(number: int, frame: object) -> None:
    import posix

    posix._exit(0)


def _run_exit_functions() -> None:
    """Run exit functions and flush, as the interpreter would; ending by a signal skips that."""
    import atexit

    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
