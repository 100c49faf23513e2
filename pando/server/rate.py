"""A token bucket: so many bytes a second, with no clock but the times it is given."""

from __future__ import annotations


class TokenBucket:
    """Bytes that may pass. It holds what comes in one second, and may go into debt.

    Args:
        rate: bytes a second.
        now: the time, in seconds.
    """

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._level = rate
        self._at = now

    def spend(self, size: int, now: float) -> None:
        """Let bytes pass, whatever the level."""
        self._refill(now)
        self._level -= size

    def seconds_to_wait(self, now: float) -> float:
        """Seconds until bytes may pass again; 0 where they may now."""
        self._refill(now)
        return 0.0 if self._level > 0 else (1 - self._level) / self._rate

    def _refill(self, now: float) -> None:
        self._level = min(self._rate, self._level + (now - self._at) * self._rate)
        self._at = now
