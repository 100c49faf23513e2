"""Messages for the person who runs Pando, one sentence at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress

from .errors import printable

SPARING_SECONDS = 1.0
"""The shortest time between two sentences that the same source causes."""
MAX_SOURCES = 1000
"""Sources that are remembered."""
Notifier = Callable[[str], None]
"""Takes one sentence for the person who runs the program."""


def to_standard_error(text: str) -> None:
    """Write one sentence to standard error; do nothing if that is not possible."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):  # the disk is full, or the file closed
            sys.stderr.write(f"pando: {printable(text)}\n")
            sys.stderr.flush()


class SparingNotifier:
    """Tells of what others cause no more than once a second for each of them, and counts the rest.

    Args:
        say: takes what is told.
        clock: the time, in seconds.
    """

    def __init__(self, say: Notifier, clock: Callable[[], float]) -> None:
        self._say = say
        self._clock = clock
        self._told: dict[str, tuple[float, int]] = {}

    def say(self, source: str, text: str) -> None:
        """Tell something, unless this source has caused something else just now.

        Args:
            source: who has caused it, such as an address.
            text: one sentence.
        """
        now = self._clock()
        told, more = self._told.pop(source, (-SPARING_SECONDS, 0))
        if now - told < SPARING_SECONDS:
            self._told[source] = told, more + 1
            return
        self._told[source] = now, 0
        if len(self._told) > MAX_SOURCES:
            del self._told[next(iter(self._told))]
        self._say(f"{text} (and {more:,} more from there)" if more else text)


def to_nobody(text: str) -> None:
    """Discard a sentence."""
