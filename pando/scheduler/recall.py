"""Recalling: what to call back from a busy borrower for one that has nothing to do."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import NamedTuple

from .credit import LONG_SECONDS, Credit
from .lease import Lease
from .lender import Lender


class Holder(NamedTuple):
    """A borrower that holds items: its credit, and the seconds since it was heard of."""

    borrower: Hashable
    credit: Credit
    silence: float


def choose_recall(lender: Lender, holders: Iterable[Holder]) -> Lease | None:
    """The lease to recall so that an idle borrower gets work; None where none is worth it.

    It is the newest lease of the borrower that will be busy longest, for its items are the last
    to be started there.

    Args:
        lender: who has lent the items.
        holders: those that may be asked.
    """
    best: Lease | None = None
    longest = LONG_SECONDS
    for holder in holders:
        leases = lender.leases_of(holder.borrower)
        held = lender.count_lent(holder.borrower)
        seconds = holder.credit.expected_seconds(held, holder.silence)
        # The oldest item that is missing is running already: nothing is gained by recalling it.
        if held > 1 and seconds > longest:
            recallable = [lease for lease in leases if not lease.recalled]
            if recallable:
                best, longest = recallable[-1], seconds
    return best
