"""Credit: how many items a borrower should hold, from the rate it has shown."""

from __future__ import annotations

import copy
import math

TARGET_SECONDS = 0.03
"""Seconds of work in one batch: long enough to hide a message, short enough to lose."""
TARGET_SECONDS_PER_BORROWER = 0.0008
"""With many borrowers batches are longer, so that the lender keeps up with their messages."""
GROWTH = 16
"""A batch is at most so many times larger than the largest before."""
SHORT_SECONDS = 0.002
"""Work that is not worth splitting further, not even for the last batches of an input."""
MAX_BATCH_ITEMS = 8192
"""Items in one batch, however short they are."""
MAX_BATCH_BYTES = 256 * 1024
"""Bytes of encoded items that one batch aims for at the most."""
MAX_WORKERS = 100_000
"""Workers that a borrower may ever ask for."""
MAX_UNVERIFIED_WORKERS = 256
"""Workers that a borrower may ask for before it has shown any result."""
MAX_SECONDS = 1e6
"""No batch counts as longer than this."""
MEMORY_BATCHES = 2
MEMORY_SECONDS = 0.06
"""How much of the past counts in the mean time of an item: so many of the largest batches, and so
many seconds. What is longer than this, or has more items, outweighs all before it."""
LONG_SECONDS = 0.005
"""Work that takes longer than this is worth calling back for a borrower that has none."""


class Credit:
    """What one borrower may hold, by its measured rate.

    A borrower is a worker, or a child with many workers below it, whose work is sent in several
    messages at once so that the flow is even. Times are in seconds, as they are told: nothing
    here reads a clock.

    Attributes:
        workers: how many workers it computes with: what it asks for, as far as it has shown
            results.

    Args:
        messages: how many batches it holds when it holds all it may; two, where more of them
            would be of single items.
        target_seconds: work that one batch should be.
        pair_seconds: items are lent in pairs for each worker, and not one by one, where two of them
            are no more work than this.
    """

    def __init__(
        self,
        *,
        messages: int = 2,
        target_seconds: float = TARGET_SECONDS,
        pair_seconds: float = 0.0,
    ) -> None:
        self.item_seconds: float | None = None
        self._most_messages = messages
        self._target_seconds = target_seconds
        self._pair_seconds = pair_seconds
        self._asked_workers = 1
        self.workers = 1
        self._largest = 0
        self._computed = 0
        self._seconds = 0.0
        self._count_messages()

    def _count_messages(self) -> None:
        """Note how many batches it holds; called whenever what that follows from has changed."""
        held = 2 * self.workers * self._fitting(self._target_seconds)
        self._messages = max(2, min(self._most_messages, int(held / 2)))

    def _fitting(self, target: float) -> float:
        """Return the items in `target` seconds of work: at least one, two if they may be a pair."""
        if self.item_seconds is None:
            return 1.0
        seconds = max(target, min(self._pair_seconds, 2 * self.item_seconds))
        return max(1.0, seconds / max(self.item_seconds, 1e-9))

    def for_others(self) -> Credit:
        """The same borrower's credit for other items, of which nobody knows how long they take."""
        credit = copy.copy(self)
        credit.item_seconds = None
        credit._largest = 0
        credit._seconds = 0.0
        credit._count_messages()
        return credit

    def ask(self, workers: int) -> None:
        """The borrower says how many workers it has, itself and below it."""
        self._asked_workers = workers
        self._count_workers()

    def _count_workers(self) -> None:
        proven = min(MAX_UNVERIFIED_WORKERS + self._computed, MAX_WORKERS)
        self.workers = max(1, min(self._asked_workers, proven))
        self._count_messages()

    def capacity(self, batch: int) -> int:
        """Return how many items it may hold, if its batches are of this size."""
        return max(self._messages * batch, 2 * self.workers)

    def batch_size(
        self,
        *,
        borrowers: int = 1,
        remaining: int | None = None,
        item_bytes: float = 0.0,
        limit: int = MAX_BATCH_ITEMS,
    ) -> int:
        """Return how many items the next batch should have.

        A batch is long enough that the borrower computes while the next one is on its way, and
        short enough that little is lost with the borrower. These bounds apply, in this order:

        1. The time of an item is not known yet: one item for each worker, to learn it.
        2. Otherwise as many items as take `target_seconds`, or longer where there are so many
           workers that the lender could not answer them at that rate; a pair of items that are
           longer, where `pair_seconds` allows it.
        3. At most `GROWTH` times the largest batch that was finished: the first items may have
           been short by chance.
        4. At most `MAX_BATCH_ITEMS`, the user's limit, and `MAX_BATCH_BYTES` of encoded items.
        5. The end of the input is near: half of a fair share of what remains, so that all
           workers finish together; but no less than `SHORT_SECONDS` of work, below which a
           message costs more than it gains.

        In any case one item.

        Args:
            borrowers: how many workers share what remains.
            remaining: items not lent yet, where the input's end is known.
            item_bytes: the mean size of an encoded item.
            limit: the user's own bound.
        """
        # Two batches in flight keep one worker busy; more messages share the same work.
        share = 2 * self.workers / self._messages
        target = max(self._target_seconds, borrowers * TARGET_SECONDS_PER_BORROWER)
        size = int(self._fitting(target) * share)
        if self.item_seconds is not None:
            size = min(size, max(self._largest, int(share)) * GROWTH)
        size = min(size, MAX_BATCH_ITEMS, limit)
        if item_bytes:
            size = min(size, int(MAX_BATCH_BYTES / max(item_bytes, 1.0)))
        if remaining is not None and self.item_seconds is not None:
            fair = math.ceil(remaining * self.workers / (2 * borrowers))
            size = min(size, max(fair, int(SHORT_SECONDS / max(self.item_seconds, 1e-9))))
        return max(1, size)

    def completed(self, items: int, seconds: float) -> None:
        """Note that the borrower has computed `items` items in `seconds` of its time."""
        if not 0 <= seconds <= MAX_SECONDS:  # nor NaN; it may come from anywhere
            seconds = MAX_SECONDS if seconds > 0 else 0.0
        self._largest = max(self._largest, items)
        if self.item_seconds is None:
            self.item_seconds = seconds / items
        else:
            past_items = min(self._computed, MEMORY_BATCHES * self._largest)
            past_seconds = min(self._seconds, MEMORY_SECONDS)
            weight = max(items / (items + past_items), seconds / ((seconds + past_seconds) or 1.0))
            self.item_seconds += weight * (seconds / items - self.item_seconds)
        self._seconds += seconds
        self._computed += items
        if self.workers != self._asked_workers:
            self._count_workers()
        else:
            self._count_messages()

    def expected_seconds(self, items: int, waited: float) -> float:
        """Return the seconds that items will probably keep the borrower busy.

        Args:
            items: what it holds.
            waited: seconds since it was last heard of with results. A borrower that is silent for
                longer than its rate explains holds longer items than before.
        """
        if self.item_seconds is None:
            return waited
        return max(items * self.item_seconds / self.workers, waited)
