"""Pauses: devices that a node lends nothing to for a while, for their conduct. No I/O."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..scheduler import Allocator, Borrower, Conducts
from .actions import Action, Tell
from .job import Job

logger = logging.getLogger(__name__)


class Pauses:
    """The pauses of a node's borrowers; `pando.scheduler.conduct` says what leads to one.

    Args:
        allocator: lends them nothing meanwhile.
        clock: gives the time, in seconds.
    """

    def __init__(self, allocator: Allocator[Job], clock: Callable[[], float]) -> None:
        self._allocator = allocator
        self._clock = clock
        self._conducts = Conducts()
        self._paused: dict[Borrower, None] = {}

    def __bool__(self) -> bool:
        """Whether somebody is paused."""
        return bool(self._paused)

    def recognize(self, borrower: Borrower) -> None:
        """Give a borrower that comes the conduct of its device; own workers are not known by it."""
        if not borrower.source.is_local:
            borrower.conduct = self._conducts.of(borrower.source.device)

    def begin_if_due(self, borrower: Borrower, now: float) -> None:
        """Lend nothing to a borrower whose conduct says so."""
        if borrower.conduct.paused_until > now:
            self._paused[borrower] = None
            self._allocator.pause(borrower)

    def end_due(self, now: float) -> None:
        """Lend to those again whose pause is over."""
        for borrower in [each for each in self._paused if each.conduct.paused_until <= now]:
            del self._paused[borrower]
            self._allocator.resume(borrower)

    def forget(self, borrower: Borrower) -> None:
        """Forget the pause of a borrower that is gone."""
        self._paused.pop(borrower, None)

    def refuse(self, borrower: Borrower, now: float, wasted: float = 0.0) -> None:
        """Pause a borrower that has given items back unasked, or has not answered in time."""
        borrower.conduct.refused(now, wasted)
        self.begin_if_due(borrower, now)

    def set_aside_if(self, borrower: Borrower, reason: str, actions: list[Action]) -> None:
        """Set a borrower aside, if there is a reason for that; this machine's workers never."""
        if reason and not borrower.source.is_local:
            text = f"{borrower.name} is set aside for a while: {reason}"
            logger.info("%s", text)
            actions.append(Tell(text))
            if borrower in self._allocator.borrowers:
                self.begin_if_due(borrower, self._clock())
