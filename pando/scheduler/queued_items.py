"""Queued items: what has been read and nobody holds, and which of it a borrower may have.

What came back goes out before anything new. An item that something is known of (see
`item_records`) is kept apart and lent alone, to a borrower that may have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .holdings import Holder, Holdings
from .item_records import ItemRecords
from .lease import Lease
from .returned import UNGROUPED, ReturnedItems


class QueuedItems:
    """The items of a stream that wait to be lent, new ones and those that came back.

    Args:
        holdings: who holds the others.
        records: what is known of single items.

    Attributes:
        size: how many items wait.
        read: how many items have been read so far.
        reassigned: how many have come back so far.
        suspects: how many of those that wait are suspects.
    """

    def __init__(self, holdings: Holdings, records: ItemRecords) -> None:
        self.size = 0
        self.read = 0
        self.reassigned = 0
        self.suspects = 0
        self._holdings = holdings
        self._records = records
        self._new: Sequence[Any] = []
        self._new_lent = 0
        self._returned = ReturnedItems()

    @property
    def has_apart(self) -> bool:
        """Whether there are items that only some borrowers may have."""
        return bool(self._returned.apart)

    def add(self, items: Sequence[Any]) -> None:
        """Add items that have been read, in this order."""
        unlent = self._new[self._new_lent :]
        self._new = [*unlent, *items] if unlent else items
        self._new_lent = 0
        self.read += len(items)
        self.size += len(items)

    def push_back(self, lease: Lease, low: int, high: int, group: int = UNGROUPED) -> None:
        """Let a stretch of a lease wait again; an item that something is known of waits apart."""
        self.reassigned += high - low
        self.size += high - low
        start, items = lease.start, lease.items
        if self._records:
            attempts, sizes = self._records.attempts, self._records.sizes
            for offset in range(low, high):
                index = start + offset
                if index not in attempts and index not in sizes:
                    continue
                self._returned.push(start + low, items[low:offset], group)
                self._returned.push_apart(index, items[offset])
                self.suspects += self._records.is_suspect(index)
                low = offset + 1
        self._returned.push(start + low, items[low:high], group)

    def pop(
        self, holder: Holder, limit: int, max_bytes: int
    ) -> tuple[int, Sequence[Any], bool] | None:
        """Remove the next items for a borrower.

        Args:
            holder: what the borrower holds.
            limit: the most items.
            max_bytes: the largest item that can be sent to it.

        Returns:
            The first index, the items, and whether it is a suspect; None where nothing waits that
            the borrower may have now.
        """
        found = self._pop_returned(holder, limit, max_bytes) if self._returned.size else None
        if found is not None:
            self.size -= len(found[1])
            return found
        first = self._new_lent
        if first == len(self._new):
            return None
        items = self._new[first : first + limit]
        self._new_lent = first + len(items)
        self.size -= len(items)
        return self.read - len(self._new) + first, items, False

    def remove(self, low: int, high: int) -> list[tuple[int, int]]:
        """Remove the items of these indices; the stretches removed, as index and count."""
        removed = self._returned.remove(low, high)
        start = self.read - len(self._new) + self._new_lent
        first, last = max(low, start), min(high, self.read)
        if first < last:
            removed.append((first, last - first))
            new = self._new[self._new_lent :]
            self._returned.push(start, new[: first - start])
            self._returned.push(last, new[last - start :])
            self._new_lent = len(self._new)
        self.size -= sum(count for _, count in removed)
        return removed

    def remove_larger(self, max_bytes: int) -> list[tuple[int, Any]]:
        """Remove the items that are known to be larger than this, with their indices."""
        removed = self._returned.take_apart_where(
            lambda index: self._records.size_of(index) > max_bytes
        )
        self.size -= len(removed)
        return removed

    def count_suspects(self) -> None:
        """Count the suspects again: what is known of items has changed."""
        self.suspects = sum(self._records.is_suspect(index) for index, _ in self._returned.apart)

    def indices(self) -> Iterator[int]:
        """Return the index of each item; for tests."""
        yield from range(self.read - len(self._new) + self._new_lent, self.read)
        yield from self._returned.indices()

    # ---- which of what came back a borrower may have ----

    def _pop_returned(
        self, holder: Holder, limit: int, max_bytes: int
    ) -> tuple[int, Sequence[Any], bool] | None:
        found = self._returned.pop(limit, self._may_have(holder, max_bytes))
        if found is None and self._returned.apart:
            found = self._returned.pop(limit, self._may_have(holder, max_bytes, again=True))
        if found is None:
            return None
        start, items, is_apart = found
        is_suspect = is_apart and self._records.is_suspect(start)
        self.suspects -= is_suspect
        return start, items, is_suspect

    def _may_have(
        self, holder: Holder, max_bytes: int, *, again: bool = False
    ) -> Callable[[int], bool]:
        """Return what tells whether an item that is kept apart may be lent to a borrower.

        An item goes to another source than those that were lost with it, where there is one, or
        something else that is to be lent meanwhile; `again` is for when there is not.
        """
        records = self._records

        def may_have(index: int) -> bool:
            if records.size_of(index) > max_bytes:
                return False
            attempts = records.attempts.get(index)
            if attempts is None:
                return True
            if attempts.is_suspect and holder.held:
                return False
            if holder.source not in attempts.sources:
                return True
            if not again:
                return False
            if self._new_lent == len(self._new):
                return True
            others = self._holdings.holders.values()
            return all(other.source in attempts.sources for other in others)

        return may_have
