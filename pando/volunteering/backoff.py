"""Pauses between attempts to connect to a root; no I/O."""

from __future__ import annotations

import random

FIRST_PAUSE_SECONDS = 0.25
SHORT_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 15.0
SHORT_PAUSES_SECONDS = 30.0
"""Seconds without the root during which pauses stay short."""


class Backoff:
    """Exponential backoff with jitter.

    Pauses double up to one second for half a minute, because a restarted root comes back soon, and
    then up to 15 s, because a volunteer may wait for days. Half of each pause is random, so that
    the volunteers of a restarted root do not all connect at once.

    Args:
        now: the current time, in seconds.
    """

    def __init__(self, now: float) -> None:
        self._pause = FIRST_PAUSE_SECONDS
        self._last_contact = now

    def reset(self) -> None:
        """Begin with the shortest pause again, since the root has answered."""
        self._pause = FIRST_PAUSE_SECONDS

    def note_contact(self, now: float) -> None:
        """Note that the device has been part of a run until now."""
        self._last_contact = now

    def next_pause(self, now: float) -> float:
        """Return the seconds to pause before the next attempt."""
        pause = self._pause * random.uniform(0.5, 1)
        waits_long = now - self._last_contact > SHORT_PAUSES_SECONDS
        longest = LONGEST_PAUSE_SECONDS if waits_long else SHORT_PAUSE_SECONDS
        self._pause = min(self._pause * 2, longest)
        return pause
