"""The round-trip time of a link, from numbers that its other end sends back; no I/O, no clock."""

from __future__ import annotations

import secrets
from collections import deque

MAX_SECONDS = 60.0
"""The longest time that is measured; after it another number is sent."""
SAMPLES = 5
"""Times whose median counts, so that one that waited for something else does not."""
NUMBER_BITS = 48


class RoundTrip:
    """Measures how long a number takes to the other end and back.

    The numbers are random: the other end can answer later than it might, but not sooner.
    """

    def __init__(self) -> None:
        self._number = 0
        self._sent = 0.0
        self._times: deque[float] = deque(maxlen=SAMPLES)

    @property
    def seconds(self) -> float | None:
        """The median of the last times; None before the first."""
        return sorted(self._times)[len(self._times) // 2] if self._times else None

    def begin(self, now: float) -> int:
        """Return the number to send; 0 where an earlier one is still on its way.

        Args:
            now: the time, in seconds.
        """
        if self._number and now - self._sent < MAX_SECONDS:
            return 0
        self._number, self._sent = secrets.randbits(NUMBER_BITS) | 1, now
        return self._number

    def end(self, number: int, now: float) -> None:
        """Take a number that has come back; one that was not sent is ignored.

        Args:
            number: it.
            now: the time, in seconds.
        """
        if number == self._number != 0:
            self._number = 0
            self._times.append(min(now - self._sent, MAX_SECONDS))
