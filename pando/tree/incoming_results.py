"""Incoming results: what a node does with a message of results. No I/O.

They are data from another process or device. What can be decoded goes to the lender; what cannot
is looked at value by value, so that one bad value costs its own item alone.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from .. import messages
from ..errors import MalformedValueError, UnavailableValueError, one_line, truncate
from ..scheduler import MAX_SECONDS, Allocator, Borrower
from .actions import Action
from .codec import Codec
from .job import Job
from .pauses import Pauses
from .uplink import split_values

logger = logging.getLogger(__name__)

SMOOTHING = 0.2
"""Weight of the newest results in a node's mean time of an item."""
ONE_VALUE = b"\x91"
"""The beginning of an array of one value."""


def failure_bytes(failure: messages.Failure) -> int:
    """Return the memory that a failure takes while its results wait for their turn, in bytes."""
    return sum(
        map(
            sys.getsizeof,
            (
                failure.type,
                failure.reason,
                failure.traceback,
                failure.device,
                failure.arguments,
            ),
        )
    )


class IncomingResults:
    """Takes results in for the lenders of a node's jobs.

    Args:
        codec: how results are decoded.
        allocator: is told how long items take.
        pauses: sets devices aside that send malformed results.
        names_workers: whether a failure without a device gets the name of the borrower.

    Attributes:
        item_seconds: the mean time of an item, over all borrowers.
        results: how many results have come.
        seconds: the time that computing them has taken.
    """

    def __init__(
        self, codec: Codec, allocator: Allocator[Job], pauses: Pauses, *, names_workers: bool
    ) -> None:
        self.item_seconds = 0.0
        self.results = 0
        self.seconds = 0.0
        self._codec = codec
        self._allocator = allocator
        self._pauses = pauses
        self._names_workers = names_workers

    def add(
        self,
        job: Job,
        borrower: Borrower,
        message: messages.Results,
        now: float,
        actions: list[Action],
    ) -> None:
        """Take in what a borrower has sent; actions are added to those given.

        Raises:
            MalformedValueError: the message makes no sense.
        """
        try:
            values = self._codec.decode(message.values)
        except MalformedValueError:
            self._add_readable(job, borrower, message, now, actions)
            return
        failures = message.failures
        if not values or (failures and not 0 <= min(failures) <= max(failures) < len(values)):
            raise MalformedValueError("results that do not fit together")
        size = len(memoryview(message.values))
        if failures:
            failures = dict(failures)
            for place, failure in failures.items():
                size += failure_bytes(failure)
                if self._names_workers and not failure.device:
                    failures[place] = msgspec.structs.replace(failure, device=borrower.name)
        lender = job.lender
        if lender.add_results(borrower, message.lease, message.offset, values, failures, size):
            self._count(job, borrower, len(values), message.seconds)
            job.window.measured(len(values), size)

    def _count(self, job: Job, borrower: Borrower, count: int, seconds: float) -> None:
        """Take note of what computing some items has taken."""
        borrower.results += count
        if borrower.conduct.blemishes:
            borrower.conduct.delivered()
        self._allocator.completed(job, borrower, count, seconds)
        seconds = min(seconds, MAX_SECONDS)
        borrower.seconds += seconds
        self.results += count
        self.seconds += seconds
        self.item_seconds += SMOOTHING * (seconds / count - self.item_seconds)

    def _add_readable(
        self,
        job: Job,
        borrower: Borrower,
        message: messages.Results,
        now: float,
        actions: list[Action],
    ) -> None:
        """Take the results of a message one by one, since not all of them can be decoded.

        Who has sent them may only have passed them on, and is not sent away for it. A value that
        needs what is not here fails its item, as it would anywhere. A malformed one is as good as
        a lost worker: another borrower has the item next.
        """
        encoded = split_values(message.values)
        seconds = message.seconds / max(1, len(encoded))
        for place, each in enumerate(encoded):
            offset = message.offset + place
            failures = {0: message.failures[place]} if place in message.failures else {}
            values: Sequence[Any] = [None]
            try:
                values = self._codec.decode(msgspec.Raw(ONE_VALUE + bytes(each)))
            except UnavailableValueError as error:
                reason = f"the result cannot be read here: {error}"
                failures = {0: messages.Failure("UnavailableValueError", truncate(reason))}
            except MalformedValueError as error:
                reason = f"a malformed result: {one_line(str(error))}"
                if job.lender.record_crash(borrower, message.lease, offset, reason, now):
                    logger.info("%r has sent %s", borrower, reason)
                    self._pauses.set_aside_if(
                        borrower, borrower.conduct.sent_malformed(now, borrower.results), actions
                    )
                continue
            size = len(memoryview(each)) + sum(map(failure_bytes, failures.values()))
            if job.lender.add_results(borrower, message.lease, offset, values, failures, size):
                self._count(job, borrower, 1, seconds)
