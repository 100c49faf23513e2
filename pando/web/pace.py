"""The pace at which requests for pages are answered: so many a second for each address."""

from __future__ import annotations

import trio

REQUESTS_PER_SECOND = 100.0
"""Requests that an address may make a second, for as long as it likes; more wait."""
REQUESTS_AT_ONCE = 200
"""As many it may make at once before any wait: those of a class behind one router, say."""
MANY_ADDRESSES = 1000
"""From this number on, those are forgotten that have made no request lately."""


class _Line:
    """The requests of one address, in the order in which they have come.

    Each costs a hundredth of a second; the requests at once are paid for in advance.
    """

    def __init__(self) -> None:
        self._turn = trio.Lock()
        self._paid_at = trio.current_time()

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits, and all requests are paid for."""
        return not self._turn.locked() and self._paid_at <= trio.current_time()

    async def wait(self) -> None:
        """Wait for a turn. Who stops waiting costs nothing."""
        async with self._turn:
            now = trio.current_time()
            self._paid_at = max(self._paid_at, now) + 1 / REQUESTS_PER_SECOND
            await trio.sleep(max(0.0, self._paid_at - now - REQUESTS_AT_ONCE / REQUESTS_PER_SECOND))


class Pace:
    """Has requests wait, so that no address takes the time of the run's own messages."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    async def wait(self, address: str) -> None:
        """Wait for the turn of a request."""
        if address not in self._lines and len(self._lines) >= MANY_ADDRESSES:
            self._lines = {each: line for each, line in self._lines.items() if not line.is_idle}
        await self._lines.setdefault(address, _Line()).wait()
