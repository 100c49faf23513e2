"""Speculation: which item to lend a second time, so that nothing waits for the slowest.

A borrower that would otherwise be idle is lent what holds up most: the lowest item that has taken
many times what others take. The first answer counts. A borrower that is silent about an item for
so long need not be broken, so nobody is blamed; it keeps the item until somebody else has it done.
If the second borrower takes too long as well, the older of the two leases ends and a third
borrower is lent the item; each time it is waited for twice as long, so that an item which takes
long by itself is not passed on for ever. Thus any number of silent borrowers delay a run, and none
stops it. The method is that of the backup tasks of MapReduce (Dean and Ghemawat, 2004).

Nothing is lent twice to one device: what is slow there is slow there.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import NamedTuple

from .attempts import Source
from .borrower import Borrower
from .credit import Credit
from .lease import Lease
from .lender import Lender

SLOW_FACTOR = 5.0
"""An item holds up once it has taken so many times what other devices take."""
LEAST_SECONDS = 0.5
"""No item holds up that has been lent for less."""
MAX_DOUBLINGS = 20


class Doubling(NamedTuple):
    """Lend the lowest missing items of a lease to this borrower, too, at most `limit`."""

    borrower: Borrower
    lease: Lease
    limit: int


def choose_doubling(
    lender: Lender,
    credits: Mapping[Borrower, Credit],
    idle: Collection[Borrower],
    now: float,
) -> Doubling | None:
    """Return what is to be lent a second time; None where nothing holds up.

    Args:
        lender: who has lent the items.
        credits: of all borrowers, with what their items take.
        idle: the borrowers that have nothing; this node's own workers are preferred.
        now: the time, in seconds.
    """
    typical = _TypicalSeconds(credits)
    found: tuple[int, Borrower, Lease, int] | None = None
    for holder in credits:
        for lease in lender.leases_of(holder):
            index = lease.start + lease.missing[0][0]
            if found is not None and index >= found[0]:
                continue
            times = lender.holdings.times_doubled(index)
            if lender.holdings.newest(index, lease) is not lease or lender.is_final(index):
                continue
            seconds = typical.elsewhere(holder.source)
            if seconds is None or now - lease.since < _patience(seconds, lease, holder, times):
                continue
            borrower = _choose_borrower(lender, lease, index, idle)
            if borrower is not None:
                found = index, borrower, lease, times
    if found is None:
        return None
    index, borrower, lease, times = found
    size = credits[borrower].batch_size(borrowers=max(1, len(credits)))
    return Doubling(borrower, lease, max(1, size >> min(times, MAX_DOUBLINGS)))


def _patience(seconds: float, lease: Lease, holder: Borrower, times: int) -> float:
    """Return how long a lease may take, in seconds, before it holds up."""
    turns = 1 + (lease.position - 1) // holder.credit.workers
    return float(max(LEAST_SECONDS, SLOW_FACTOR * turns * seconds) * 2 ** min(times, MAX_DOUBLINGS))


def _choose_borrower(
    lender: Lender, lease: Lease, index: int, idle: Collection[Borrower]
) -> Borrower | None:
    """Return the idle borrower that had best have an item, too; None where none can."""
    holders = lender.holdings.devices_of(index, lease)
    able = [
        borrower
        for borrower in idle
        if borrower.source.device not in holders and lender.size_of(index) <= borrower.max_bytes
    ]
    had = lender.holdings.devices_before(index)
    return min(
        able,
        key=lambda each: (
            each.source.device in had,
            each.conduct.blemishes,
            not each.source.is_local,
        ),
        default=None,
    )


class _TypicalSeconds:
    """What an item takes on other devices than a given one."""

    def __init__(self, credits: Mapping[Borrower, Credit]) -> None:
        self._known = [
            (borrower.source.device, credit.item_seconds)
            for borrower, credit in credits.items()
            if credit.item_seconds is not None
        ]
        self._by_device: dict[Hashable, float | None] = {}

    def elsewhere(self, source: Source) -> float | None:
        """Return the median over borrowers of other devices, in seconds, where one is known."""
        device = source.device
        if device not in self._by_device:
            others = [seconds for other, seconds in self._known if other != device]
            self._by_device[device] = sorted(others)[(len(others) - 1) // 2] if others else None
        return self._by_device[device]
