"""A source: what a node reads its items from, without waiting, and only when it wants some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol


class WouldBlock(Exception):  # noqa: N818 - as Trio names it
    """No item can be read without waiting."""


class EndOfInput(Exception):  # noqa: N818
    """There are no more items."""


class Source(Protocol):
    """What a node needs of its input."""

    def read_nowait(self, limit: int) -> Sequence[Any]:
        """At least one item and at most `limit`.

        Raises:
            WouldBlock: there are none now; `wake` is called when there are.
            EndOfInput: there are no more.
            Exception: what the input itself raised. It ends the input.
        """

    def count_unread(self) -> int | None:
        """How many items have not been read, or None where nobody knows."""

    async def run(self, wake: Callable[[], None]) -> None:
        """Do the waiting; `wake` is called whenever `read_nowait` is worth another try."""

    def close(self) -> None:
        """Read no more."""
