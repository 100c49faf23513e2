"""Holdings: who holds which items, under which leases.

An item has at most one current lease. Or two, while it is lent a second time (`double`): then the
first answer ends the other lease for that item, and what one of both borrowers gives back stays
with the other.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Hashable, Iterator, Sequence
from typing import Any

import msgspec

from .attempts import Source
from .lease import Lease

Stretch = tuple[Lease, int, int]
"""A part of a lease: the first offset, and the one after the last."""


class Holder(msgspec.Struct):
    """What a borrower holds."""

    source: Source
    leases: dict[int, Lease] = {}
    held: int = 0
    holds_suspect: bool = False


class Holdings:
    """The current leases of a lender's borrowers.

    Args:
        numbers: where leases get their numbers from.

    Attributes:
        leases: all current leases, by number.
        holders: all borrowers.
        lent: how many items are lent, each counted once.
        suspects: how many leases are of an item that is lent alone.
        doubled: how many times an item has been lent a second time.
        superseded: leases that ended because another borrower answered first, or because they
            were the older of two; whoever drives the lender tells their borrowers.
    """

    def __init__(self, numbers: Iterator[int] | None = None) -> None:
        self._numbers = numbers or itertools.count(1)
        self.leases: dict[int, Lease] = {}
        self.holders: dict[Hashable, Holder] = {}
        self.lent = 0
        self.suspects = 0
        self.doubled = 0
        self.superseded: list[Lease] = []
        self._pairs: dict[int, tuple[Lease, Lease]] = {}
        self._devices: dict[int, list[Hashable]] = {}

    def join(self, borrower: Hashable, source: Source) -> None:
        """Register a borrower."""
        assert borrower not in self.holders
        self.holders[borrower] = Holder(source)

    def leave(self, borrower: Hashable) -> list[Stretch]:
        """Forget a borrower; what it held that nobody else holds."""
        stretches: list[Stretch] = []
        for lease in list(self.holders[borrower].leases.values()):
            for low, high in list(lease.missing):
                stretches += self.release(borrower, lease.number, low, high - low) or ()
        del self.holders[borrower]
        return stretches

    def get(self, borrower: Hashable, number: int) -> Lease | None:
        """Return a current lease of this borrower."""
        holder = self.holders.get(borrower)
        return None if holder is None else holder.leases.get(number)

    def lend(
        self, borrower: Hashable, start: int, items: Sequence[Any], *, is_alone: bool = False
    ) -> Lease:
        """Make a lease of items that nobody holds."""
        self.lent += len(items)
        return self._make(borrower, start, items, is_alone)

    def _make(self, borrower: Hashable, start: int, items: Sequence[Any], is_alone: bool) -> Lease:
        holder, count = self.holders[borrower], len(items)
        holder.held += count
        lease = Lease(
            next(self._numbers),
            borrower,
            start,
            items,
            [(0, count)],
            count,
            is_alone=is_alone,
            position=holder.held,
        )
        self.leases[lease.number] = lease
        holder.leases[lease.number] = lease
        if is_alone:
            holder.holds_suspect = True
            self.suspects += 1
        return lease

    def finish(self, borrower: Hashable, number: int, offset: int, count: int) -> Lease | None:
        """Take items out of a current lease of this borrower because their results are there."""
        lease = self._remove(borrower, number, offset, count)
        if lease is None:
            return None
        self.lent -= count
        if self._devices:
            start = lease.start + offset
            for index in self._known(self._devices, start, start + count):
                del self._devices[index]
                self._end_other(index, lease)
        return lease

    def release(
        self, borrower: Hashable, number: int, offset: int, count: int
    ) -> list[Stretch] | None:
        """Take items out of a current lease without results.

        Returns:
            Those that nobody else holds; None where they are not this borrower's.
        """
        lease = self._remove(borrower, number, offset, count)
        if lease is None:
            return None
        low, end, stretches = offset, offset + count, list[Stretch]()
        if self._pairs:
            start = lease.start
            for index in sorted(self._known(self._pairs, start + low, start + end)):
                del self._pairs[index]
                if low < index - start:
                    stretches.append((lease, low, index - start))
                low = index - start + 1
        if low < end:
            stretches.append((lease, low, end))
        self.lent -= sum(high - low for _, low, high in stretches)
        return stretches

    def drop(self, index: int) -> None:
        """End what is left of an item's leases: it has failed."""
        for lease in list(self.leases.values()):
            if lease.clip(index - lease.start, index - lease.start + 1):
                self._supersede(lease, index)
                self.lent -= 1
        self._devices.pop(index, None)

    def forget(self, start: int, count: int) -> None:
        """Forget what is known of items that nobody holds and that have left the stream."""
        for index in self._known(self._devices, start, start + count):
            del self._devices[index]

    # ---- items that are lent twice ----

    def double(
        self, borrower: Hashable, lease: Lease, limit: int, *, is_alone: bool = False
    ) -> Lease:
        """Lend the lowest missing items of a lease to another borrower, too."""
        assert borrower != lease.borrower
        low, high = lease.missing[0]
        high = min(high, low + limit)
        copy = self._make(borrower, lease.start + low, lease.items[low:high], is_alone)
        copy.is_copy = True
        for index in range(copy.start, copy.start + high - low):
            self._end_other(index, lease)
            self._pairs[index] = (lease, copy)
            devices = self._devices.setdefault(index, [self.holders[lease.borrower].source.device])
            devices.append(self.holders[borrower].source.device)
        self.doubled += high - low
        return copy

    def times_doubled(self, index: int) -> int:
        """Return how often an unfinished item has been lent a second time."""
        return max(0, len(self._devices.get(index, ())) - 1)

    def devices_before(self, index: int) -> list[Hashable]:
        """Return the devices that have had an item which was lent more than once."""
        return self._devices.get(index, [])

    def devices_of(self, index: int, lease: Lease) -> set[Hashable]:
        """Return the devices that hold an item of a lease."""
        leases = self._pairs.get(index, (lease,))
        return {self.holders[each.borrower].source.device for each in leases}

    def newest(self, index: int, lease: Lease) -> Lease:
        """Return the newer of an item's two leases, or the only one, which is given."""
        pair = self._pairs.get(index)
        return lease if pair is None else pair[1]

    def _end_other(self, index: int, lease: Lease) -> None:
        """End the other lease of an item, if there is one."""
        pair = self._pairs.pop(index, None)
        if pair is not None:
            older, newer = pair
            older.was_outrun = older.was_outrun or lease is not older
            self._supersede(older if lease is newer else newer, index)

    def _supersede(self, lease: Lease, index: int) -> None:
        self._remove(lease.borrower, lease.number, index - lease.start, 1)
        lease.is_superseded_in_part = True
        if not lease.left:
            self.superseded.append(lease)

    @staticmethod
    def _known(known: dict[int, Any], low: int, high: int) -> list[int]:
        """Return the indices of a stretch that are keys, looking at whichever are fewer."""
        if len(known) < high - low:
            return [index for index in known if low <= index < high]
        return [index for index in range(low, high) if index in known]

    # ---- inside ----

    def _remove(self, borrower: Hashable, number: int, offset: int, count: int) -> Lease | None:
        """Take a stretch out of a current lease of this borrower, ending the lease if it's all."""
        holder = self.holders.get(borrower)
        if holder is None:
            return None
        lease = holder.leases.get(number)
        if lease is None or not lease.remove_range(offset, count):
            return None
        holder.held -= count
        if not lease.left:
            del self.leases[number]
            del holder.leases[number]
            if lease.is_alone:
                holder.holds_suspect = False
                self.suspects -= 1
        return lease

    def indices(self) -> Iterator[int]:
        """Return the index of each item that is lent, once; for tests."""
        seen: set[int] = set()
        for lease in self.leases.values():
            for low, high in lease.missing:
                seen.update(range(lease.start + low, lease.start + high))
        return iter(seen)

    def validate_state(self, undone: Collection[int]) -> None:
        """Raise AssertionError where the state contradicts itself; for tests.

        Args:
            undone: the indices of all items that wait or are lent.
        """
        held = {}
        for holder in self.holders.values():
            held.update(holder.leases)
            assert holder.held == sum(lease.left for lease in holder.leases.values())
            alone = [lease for lease in holder.leases.values() if lease.is_alone]
            assert holder.holds_suspect == bool(alone)
            assert not alone or holder.held == 1
        assert held == self.leases
        assert set(self._devices) <= set(undone)
        assert self.suspects == sum(lease.is_alone for lease in held.values())
        assert all(lease.missing for lease in held.values())
        current: dict[int, list[Lease]] = {}
        for lease in held.values():
            assert lease.left == sum(high - low for low, high in lease.missing)
            for low, high in lease.missing:
                for index in range(lease.start + low, lease.start + high):
                    current.setdefault(index, []).append(lease)
        assert self.lent == len(current)
        assert all(len(leases) <= 2 for leases in current.values())
        assert {index for index, leases in current.items() if len(leases) == 2} == set(self._pairs)
        for index, pair in self._pairs.items():
            assert pair[0].number < pair[1].number
            assert {lease.number for lease in current[index]} == {each.number for each in pair}
