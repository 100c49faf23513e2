"""Returned items: what waits to be lent again.

What happens to a stretch of items that comes back:

1. It was given back, recalled, or its lease has ended: it joins its neighbours again when it is
   lent, so that an input returned item by item is lent in whole batches.
2. Its borrower was lost, and may have been running any of it: it is lent in smaller groups, so
   that an item which ends devices is alone after a few losses, and the others are not held up.
3. An item that was running, is suspected, or is too large for some borrowers: it is kept apart
   and lent alone, to a borrower that may have it.

The lowest index goes first, and all of it before anything new. Each operation takes O(log n)
steps for n stretches.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from typing import Any

MAX_LOOK = 32
"""Items kept apart that are looked at for one that a borrower may have."""
UNGROUPED = 1 << 62


class ReturnedItems:
    """Items that wait to be lent again; an index is in it at most once.

    Attributes:
        size: how many there are.
        apart: those that are kept apart, with their indices, lowest first.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, Sequence[Any], int]] = []
        self.apart: list[tuple[int, Any]] = []
        self.size = 0

    def push(self, start: int, items: Sequence[Any], group: int = UNGROUPED) -> None:
        """Add consecutive items, which are lent at most `group` at once."""
        if items:
            self.size += len(items)
            heapq.heappush(self._heap, (start, items, group))

    def push_apart(self, index: int, item: Any) -> None:
        """Add an item that is lent alone."""
        self.size += 1
        insort(self.apart, (index, item), key=_index)

    def pop(
        self, limit: int, may_have: Callable[[int], bool]
    ) -> tuple[int, Sequence[Any], bool] | None:
        """Remove the lowest items that a borrower may have.

        Args:
            limit: the most items.
            may_have: whether an item that is kept apart is for this borrower.

        Returns:
            The first index, the items, and whether it is an item kept apart; None where nothing
            is for this borrower.
        """
        for place, (index, item) in enumerate(self.apart[:MAX_LOOK]):
            if self._heap and self._heap[0][0] < index:
                break
            if may_have(index):
                del self.apart[place]
                self.size -= 1
                return index, [item], True
        if not self._heap:
            return None
        start, items, group = heapq.heappop(self._heap)
        limit = min(limit, group)
        if group == UNGROUPED:
            items = self._join_neighbours(start, items, limit)
        if len(items) > limit:
            heapq.heappush(self._heap, (start + limit, items[limit:], group))
            items = items[:limit]
        self.size -= len(items)
        return start, items, False

    def _join_neighbours(self, start: int, items: Sequence[Any], limit: int) -> Sequence[Any]:
        """Remove from the heap the stretches that follow, until there are enough items."""
        heap, parts, end = self._heap, [items], start + len(items)
        while heap and heap[0][0] == end < start + limit and heap[0][2] == UNGROUPED:
            parts.append(heapq.heappop(heap)[1])
            end += len(parts[-1])
        return items if len(parts) == 1 else [item for part in parts for item in part]

    def remove(self, low: int, high: int) -> list[tuple[int, int]]:
        """Remove what is here of these indices; the stretches, as index and count."""
        removed: list[tuple[int, int]] = []
        kept: list[tuple[int, Sequence[Any], int]] = []
        for start, items, group in self._heap:
            first, last = max(low, start), min(high, start + len(items))
            if first >= last:
                kept.append((start, items, group))
                continue
            removed.append((first, last - first))
            if start < first:
                kept.append((start, items[: first - start], group))
            if last < start + len(items):
                kept.append((last, items[last - start :], group))
        if removed:
            heapq.heapify(kept)
            self._heap = kept
        first, last = (bisect_left(self.apart, index, key=_index) for index in (low, high))
        removed += [(index, 1) for index, _ in self.apart[first:last]]
        del self.apart[first:last]
        self.size -= sum(count for _, count in removed)
        return removed

    def take_apart_where(self, condition: Callable[[int], bool]) -> list[tuple[int, Any]]:
        """Remove the items kept apart whose index fulfils a condition."""
        taken = [entry for entry in self.apart if condition(entry[0])]
        if taken:
            self.apart = [entry for entry in self.apart if not condition(entry[0])]
            self.size -= len(taken)
        return taken

    def indices(self) -> Iterator[int]:
        """Return the index of each item; for tests."""
        for start, items, _ in self._heap:
            yield from range(start, start + len(items))
        for index, _ in self.apart:
            yield index


def _index(entry: tuple[int, Any]) -> int:
    return entry[0]
