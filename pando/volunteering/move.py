"""The next place of a session, found while it has one, since its parent takes no children any more.

The device asks the root as when it joined. The link to the parent stays until the new one stands;
then what is running is delivered on it, it ends, and the device computes at its new place. Where no
other place is found nothing changes: the one that it has is as good as before, until its link ends.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import trio

from ..errors import PandoError, one_line
from .session import Session

logger = logging.getLogger(__name__)

Join = Callable[[Session], Awaitable[bool]]
"""Joins the run of a session once more, and computes there; returns whether the run has ended."""


def first_of(group: BaseExceptionGroup[PandoError]) -> PandoError:
    """Return the first error of a group, as nurseries raise it; it may be in groups itself."""
    first = group.exceptions[0]
    return first_of(first) if isinstance(first, BaseExceptionGroup) else first


class Moves:
    """The moves of a device, one after the other.

    Args:
        join: joins once more. It calls `change_over` before it computes at the new place.
    """

    def __init__(self, join: Join) -> None:
        self._join = join
        self._move: Move | None = None

    def begin(self, session: Session, nursery: trio.Nursery) -> None:
        """Look for another place, in a task of its own, unless that is being done."""
        if self._move is None or self._move.is_over:
            self._move = Move(self._join, session)
            nursery.start_soon(self._move.run)

    async def change_over(self, session: Session) -> None:
        """A place stands: if the session still has another one, leave that in order."""
        if self._move is not None:
            self._move.stands = True
            await session.leave_parent()

    def take(self) -> Move | None:
        """The stay at a place has ended: return the move to the next one, where that stands."""
        move = self._move
        if move is None or not move.stands:
            self.cancel()
            return None
        self._move = None
        return move

    def cancel(self) -> None:
        """Look for no other place any more."""
        if self._move is not None:
            self._move.cancel()
            self._move = None


class Move:
    """One move, from its first question to the root to the end of the stay at the new place.

    Attributes:
        stands: whether it has led to a place.
    """

    def __init__(self, join: Join, session: Session) -> None:
        self.stands = False
        self._join = join
        self._session = session
        self._scope = trio.CancelScope()
        self._over = trio.Event()
        self._has_ended = False
        self._problem: PandoError | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has led nowhere, or its place is lost."""
        return self._over.is_set()

    async def run(self) -> None:
        """Find a place, and stay there."""
        with self._scope:
            try:
                self._has_ended = await self._join(self._session)
            except* PandoError as group:
                self._problem = problem = first_of(group)
                logger.debug("%r has moved in vain: %s", self._session, one_line(str(problem)))
        self._over.set()

    def cancel(self) -> None:
        """Give it up."""
        self._scope.cancel()

    async def finish(self) -> bool:
        """Wait for the end of the stay at the new place; return whether the run has ended.

        Raises:
            PandoError: what has ended it.
        """
        await self._over.wait()
        if self._problem is not None:
            raise self._problem
        return self._has_ended
