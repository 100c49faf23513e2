"""Item records: what is known of single items that are not like all others.

Of nearly all items nothing is known but that they are there. Two things are remembered of others,
until their result is there or they leave the stream: the losses of those that were running when
their borrower was lost, or may have been (`Attempts`), and the size of those that are too large
for some borrowers.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from .attempts import Attempts, Source
from .lease import Lease


class ItemRecords:
    """What is known of unfinished items, by index.

    Attributes:
        attempts: the losses of items, and whether they are suspects.
        sizes: the bytes of items that are too large for some borrowers.
    """

    def __init__(self) -> None:
        self.attempts: dict[int, Attempts] = {}
        self.sizes: dict[int, int] = {}

    def __bool__(self) -> bool:
        """Whether something is known of any item."""
        return bool(self.attempts or self.sizes)

    def add_loss(self, index: int, source: Source, counts_from: float) -> Attempts:
        """Note that an item was running when its borrower was lost; return all its losses."""
        attempts = self.attempts.setdefault(index, Attempts())
        attempts.add(source, counts_from)
        return attempts

    def suspect_all(self, leases: Iterable[Lease], device: Hashable) -> None:
        """Have what is missing of leases lent alone: any of it may have ended a device."""
        for lease in leases:
            for low, high in lease.missing:
                for index in range(lease.start + low, lease.start + high):
                    attempts = self.attempts.setdefault(index, Attempts())
                    attempts.suspected_by.add(device)
                    attempts.is_suspect = True

    def is_suspect(self, index: int) -> bool:
        """Whether an item may have ended a device, and is lent alone."""
        attempts = self.attempts.get(index)
        return attempts is not None and attempts.is_suspect

    def forgive(self, device: Hashable) -> None:
        """Take back what a device was thought to be lost by: it has come back."""
        for index, attempts in list(self.attempts.items()):
            attempts.forgive(device)
            if not attempts.losses and not attempts.is_suspect:
                del self.attempts[index]

    def size_of(self, index: int) -> int:
        """Return the bytes of an item that is too large for some borrowers; else 0."""
        return self.sizes.get(index, 0)

    def count_larger(self, max_bytes: int) -> int:
        """Count the items that are known to be larger than this."""
        return sum(size > max_bytes for size in self.sizes.values()) if self.sizes else 0

    def forget(self, start: int, count: int) -> None:
        """Forget what is known of consecutive items, which have a result or leave the stream."""
        for known in (self.attempts, self.sizes):
            if len(known) < count:
                for index in [index for index in known if start <= index < start + count]:
                    del known[index]
            else:
                for index in range(start, start + count):
                    known.pop(index, None)
