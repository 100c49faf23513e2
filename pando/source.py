"""The interface of an input: read items without blocking, and only on demand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol


class WouldBlock(Exception):  # noqa: N818 - as Trio names it
    """No item is available without waiting."""


class EndOfInput(Exception):  # noqa: N818
    """There are no more items."""


class Source(Protocol):
    """The input of a node."""

    def read_nowait(self, limit: int) -> Sequence[Any]:
        """Return between 1 and `limit` items.

        Raises:
            WouldBlock: no item is available; `wake` is called when there may be.
            EndOfInput: there are no more items.
            Exception: raised by the input itself, which it ends.
        """

    def remaining(self) -> int | None:
        """Return the number of items that have not been read, or None if it is unknown."""

    async def run(self, wake: Callable[[], None]) -> None:
        """Wait for items, and call `wake` whenever `read_nowait` may succeed again."""

    def close(self) -> None:
        """Stop reading."""
