"""What the sources with a reader share: a buffer that it fills as far as it is allowed to."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from ..source import WouldBlock


class BufferedSource:
    """A source with a reader, which fills a buffer up to an allowed number of items.

    That number counts from the first item, so that a repeated request for the same items does not
    allow more of them.
    """

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._end: Exception | None = None
        self._taken = 0
        self._allowed = 0

    def remaining(self) -> int | None:
        return None

    def read_nowait(self, limit: int) -> list[Any]:
        # A reading thread may append at any time, but does nothing else to the list.
        if not self._items:
            end = self._end
            if end is not None and not self._items:
                raise end
            self._allow(self._taken + limit)
            if not self._items:
                raise WouldBlock
        items = self._items[:limit]
        del self._items[: len(items)]
        self._taken += len(items)
        if len(items) < limit:
            self._allow(self._taken + limit - len(items))
        return items

    @property
    def has_buffered(self) -> bool:
        """Whether `read_nowait` has items or the end to return."""
        return bool(self._items) or self._end is not None

    def current_reader(self) -> Hashable:
        """Return the thread or task that reads the input if it is the caller, else None."""
        raise NotImplementedError

    def _allow(self, count: int) -> None:
        """Let the reader go on until it has read `count` items since the start."""
        raise NotImplementedError
