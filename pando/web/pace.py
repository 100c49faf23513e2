"""The pace at which requests for pages are answered, and who goes first where they wait."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass, field
from heapq import heappop, heappush

import trio

REQUESTS_PER_SECOND = 100.0
"""Requests that are answered a second, for as long as it takes; more wait for their turn."""
REQUESTS_AT_ONCE = 500
"""As many are answered at once before any waits: those of two classes that open the page, say."""


@dataclass(order=True)
class _Turn:
    """A request that waits.

    Those go first whose connection has asked least, among these those of whose address fewest
    wait, and then those that have come first. So a client that asks again and again waits, and
    not somebody who asks once, though it be from the same address.

    Attributes:
        asked: how many requests its connection has made before.
        waiting: how many of its address waited when it came.
        number: in the order in which they have come.
        scope: ends by its deadline when the turn has come.
        has_left: whether it waits no more.
    """

    asked: int
    waiting: int
    number: int
    scope: trio.CancelScope = field(default_factory=trio.CancelScope, compare=False)
    has_left: bool = field(default=False, compare=False)


class Pace:
    """Has requests wait, so that they do not take the time of the run's own messages.

    Each costs a part of a second; those at once are paid for in advance.
    """

    def __init__(self) -> None:
        self._paid_until = -math.inf
        self._line: list[_Turn] = []
        self._called: _Turn | None = None
        self._waiting: Counter[str] = Counter()
        self._numbers = itertools.count()

    async def wait(self, address: str, asked: int) -> None:
        """Wait for the turn of a request. Who stops waiting costs nothing.

        Args:
            address: where it comes from.
            asked: how many requests its connection has made before.
        """
        if not self._line and self._next_at <= trio.current_time():
            self._pay()
            return
        turn = _Turn(asked, self._waiting[address], next(self._numbers))
        self._waiting[address] += 1
        heappush(self._line, turn)
        self._call_first()
        try:
            with turn.scope:
                await trio.sleep_forever()
            self._pay()
        finally:
            turn.has_left = True
            self._waiting[address] -= 1
            if not self._waiting[address]:
                del self._waiting[address]
            self._call_first()

    @property
    def _next_at(self) -> float:
        """When the next request may be answered."""
        return self._paid_until - (REQUESTS_AT_ONCE - 1) / REQUESTS_PER_SECOND

    def _pay(self) -> None:
        self._paid_until = max(self._paid_until, trio.current_time()) + 1 / REQUESTS_PER_SECOND

    def _call_first(self) -> None:
        """Have the first in the line wait until its turn, and the others until they are first."""
        while self._line and self._line[0].has_left:
            heappop(self._line)
        if self._called is not None:
            self._called.scope.deadline = math.inf
        self._called = self._line[0] if self._line else None
        if self._called is not None:
            self._called.scope.deadline = self._next_at
