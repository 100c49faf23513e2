"""The functions that are computed.

Their module imports next to nothing: a worker that is started anew imports it, and its start is to
be measured, not that of what else a benchmark needs.
"""

from __future__ import annotations

import time


def square(number: int) -> int:
    """As good as no work: what is measured is the way there and back."""
    return number * number


def spin_1ms(item: int) -> int:
    """Keep a core busy for one millisecond of processor time."""
    return _spin(item, 0.001)


def spin_50ms(item: int) -> int:
    """Keep a core busy for 50 milliseconds of processor time."""
    return _spin(item, 0.050)


def _spin(item: int, seconds: float) -> int:
    # Processor time, not time on the wall: a worker that is pushed off its core by whoever hands
    # out the items has not worked meanwhile, and the measurement must show that.
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return item


def spin_rounds(rounds: int) -> int:
    """Keep a core busy for so many rounds; where processor time is not told, as in browsers."""
    state = 1
    for _ in range(rounds):
        state = _turn(state)
    return state


def _turn(state: int) -> int:
    for _ in range(100):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
    return state


def echo(payload: bytes) -> bytes:
    """No work, but the whole payload is sent both ways."""
    return payload
