"""Deadlines: what borrowers have not answered for too long is lent to others. No I/O."""

from __future__ import annotations

import logging

from .. import messages
from ..scheduler import Allocator, Borrower
from .actions import Action, Send
from .job import Job
from .pauses import Pauses

logger = logging.getLogger(__name__)


class Deadlines:
    """Takes leases back from borrowers that give no results.

    Args:
        allocator: knows the borrowers.
        pauses: pauses those that do not answer.
        job_of: the job of each current lease, by its number.
        patience: seconds for which a borrower may give no results; None where it has any time.

    Attributes:
        patience: as it was given.
    """

    def __init__(
        self,
        allocator: Allocator[Job],
        pauses: Pauses,
        job_of: dict[int, Job],
        patience: float | None,
    ) -> None:
        self._allocator = allocator
        self._pauses = pauses
        self._job_of = job_of
        self.patience = patience

    def revoke_due(self, now: float, late: float, actions: list[Action]) -> None:
        """Let the oldest lease of each borrower that is overdue be lent to another.

        Args:
            now: the time, in seconds.
            late: seconds for which this process did not run; nobody could have answered then.
            actions: what is to be done is added to these.
        """
        if self.patience is None:
            return
        for borrower in self._allocator.borrowers:
            borrower.answered += late
            if now - borrower.answered >= self.patience:
                self._revoke_oldest(borrower, now, actions)

    def _revoke_oldest(self, borrower: Borrower, now: float, actions: list[Action]) -> None:
        oldest: tuple[int, Job] | None = None
        for job in self._allocator.backlogs:
            for lease in job.lender.leases_of(borrower)[:1]:
                if oldest is None or lease.number < oldest[0]:
                    oldest = lease.number, job
        if oldest is None:
            return
        number, job = oldest
        count = job.lender.revoke(borrower, number)
        del self._job_of[number]
        logger.info("%r does not answer; %d of its items are reassigned", borrower, count)
        actions.append(Send(borrower, messages.Recall(number)))
        borrower.answered = now
        self._allocator.requeue(borrower)
        self._pauses.refuse(borrower, now)
