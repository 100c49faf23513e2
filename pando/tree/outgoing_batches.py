"""Outgoing batches: what a node sends of a lease, and what becomes of what cannot be sent. No I/O.

1. A batch that turns out too large is given back, and made again smaller; its large items are
   lent alone, to borrowers that take so much.
2. An item that nobody here takes fails.
3. An item that cannot be serialized fails, and the others of its batch are lent again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from .. import messages
from ..errors import UnsupportedValueError, truncate
from ..scheduler import MAX_BATCH_BYTES, Allocator, Borrower, Lease
from .actions import Action, Send
from .codec import Codec
from .incoming_results import failure_bytes
from .job import Job

logger = logging.getLogger(__name__)

MAX_BATCH_OVERSHOOT_BYTES = 4 * MAX_BATCH_BYTES
"""A batch that turns out larger than this is made again, smaller."""
ANNOUNCE_SECONDS = 10.0
"""How long a child that has joined may take to say how large a value it can take."""


class OutgoingBatches:
    """Makes messages of leases.

    Args:
        codec: how items are encoded.
        allocator: knows who is here.
        clock: gives the time, in seconds.
        job_of: the job of each lease that has been sent, by its number.
    """

    def __init__(
        self,
        codec: Codec,
        allocator: Allocator[Job],
        clock: Callable[[], float],
        job_of: dict[int, Job],
    ) -> None:
        self._codec = codec
        self._allocator = allocator
        self._clock = clock
        self._job_of = job_of

    def send(self, job: Job, borrower: Borrower, lease: Lease, actions: list[Action]) -> None:
        """Encode a batch for its borrower; what cannot be sent as it is goes back to the lender."""
        try:
            encoded = self._codec.encode(self._with_keys(job, lease.items, lease.start))
        except UnsupportedValueError:
            self._fail_items(job, borrower, lease, self._codec.find_unsupported(lease.items))
            return
        many = len(lease.items) > 1
        if len(encoded) > (
            min(borrower.max_bytes, MAX_BATCH_OVERSHOOT_BYTES) if many else borrower.max_bytes
        ):
            job.window.measured(len(lease.items), len(encoded))
            self._part_large(job, borrower, lease)
            return
        job.window.measured(len(lease.items), len(encoded))
        self._job_of[lease.number] = job
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s is lent to %r", repr(lease), borrower)
        message = messages.Lend(lease.number, msgspec.Raw(encoded), lease.is_copy)
        lease.since = self._clock()
        actions.append(Send(borrower, message))
        if self._allocator.is_idle(borrower):
            borrower.heard = borrower.answered = lease.since

    @staticmethod
    def _with_keys(job: Job, items: Sequence[Any], start: int) -> Sequence[Any]:
        """Return what is sent of items: with their keys, where they need some."""
        return items if job.add_keys is None else job.add_keys(items, start)

    def _part_large(self, job: Job, borrower: Borrower, lease: Lease) -> None:
        """Give back a batch that is too large, and have its large items lent alone."""
        bound = min(borrower.max_bytes, MAX_BATCH_OVERSHOOT_BYTES)
        sizes = {}
        for place, item in enumerate(lease.items):
            size = len(self._codec.encode(self._with_keys(job, [item], lease.start + place)))
            if size > bound or len(lease.items) == 1:
                sizes[place] = size
        job.lender.set_sizes(lease, sizes)
        self.fail_too_large()

    def fail_too_large(self) -> None:
        """Fail the items that nobody here can take."""
        borrowers, now = self._allocator.borrowers, self._clock()
        if not borrowers:
            return  # who comes next may be able to
        if any(
            not each.has_announced and now - each.since < ANNOUNCE_SECONDS for each in borrowers
        ):
            return
        most = max(each.max_bytes for each in borrowers)

        def explain(size: int) -> messages.Failure:
            reason = f"the item has {size:,} bytes, and nobody here takes more than {most:,}"
            return messages.Failure("UnsupportedValueError", reason)

        for job in self._allocator.backlogs:
            failed = job.lender.fail_larger(most, explain)
            if failed:
                logger.info("%d items are too large for all that are here", failed)

    @staticmethod
    def _fail_items(
        job: Job, borrower: Borrower, lease: Lease, errors: dict[int, UnsupportedValueError]
    ) -> None:
        """Fail the items of a lease that cannot be serialized, and give the others back."""
        for place, error in errors.items():
            failure = messages.Failure("UnsupportedValueError", truncate(str(error)))
            job.lender.add_results(
                borrower, lease.number, place, [None], {0: failure}, failure_bytes(failure)
            )
        for low, high in list(lease.missing):
            job.lender.give_back(borrower, lease.number, low, high - low)
