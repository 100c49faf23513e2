"""A signal that one task waits for, again and again."""

from __future__ import annotations

import trio


class Signal:
    """Remembers that it was set until somebody has waited for it."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = trio.Event()

    def set(self) -> None:
        """Wake up who waits, or who will wait next."""
        self._event.set()

    async def wait(self) -> None:
        """Wait until it is set, and reset it."""
        await self._event.wait()
        self._event = trio.Event()
