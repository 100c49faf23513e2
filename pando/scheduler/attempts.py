"""Attempts: which borrowers were lost while they ran an item, and when the item is given up.

An item that ends whatever runs it must not end every device; and a device on which everything
ends must not make items fail that others can compute. So losses count once for each *source*, a
device and its network address, and an item is given up

- after `MAX_ATTEMPTS` losses, once that many devices with as many addresses are among them, or all
  devices that there are; where this node has workers of its own, they must be among them;
- or after `MAX_LOSSES` losses, whoever they were.

A device that falls silent may be asleep, and not have ended: such a loss counts for a source only
after `RETURN_SECONDS`, and no loss counts whose device comes back.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import NamedTuple

import msgspec

MAX_ATTEMPTS = 3
"""Sources that may be lost while they run an item, before the item fails."""
MAX_LOSSES = 12
"""Losses after which an item fails, whatever the sources."""
RETURN_SECONDS = 60.0
"""How long a device that fell silent may take to come back before its loss counts."""


class AttemptsExhausted(NamedTuple):
    """The failure of an item that was running each time a borrower was lost."""

    losses: int
    reason: str


class Source(NamedTuple):
    """Where a borrower computes.

    Attributes:
        device: the identifier of the device; one for all workers of this machine.
        address: its network address, or what it shares with others that may be the same device.
        is_local: whether it is this machine.
    """

    device: Hashable
    address: Hashable
    is_local: bool = False


class Attempts(msgspec.Struct):
    """The losses of one item.

    Attributes:
        sources: where borrowers were lost, with the times from which each loss counts.
        suspected_by: devices that were lost while they may have been running it.
        is_suspect: whether the item is to be lent to a borrower that holds nothing else.
    """

    sources: dict[Source, list[float]] = {}
    suspected_by: set[Hashable] = set()
    is_suspect: bool = False

    def add(self, source: Source, counts_from: float) -> None:
        """Note a loss, which counts for its source from a time on."""
        self.sources.setdefault(source, []).append(counts_from)

    @property
    def losses(self) -> int:
        """How often a borrower was lost while it ran the item."""
        return sum(map(len, self.sources.values()))

    def forgive(self, device: Hashable) -> None:
        """Take back what a device was thought to be lost by: it has come back."""
        for source in [source for source in self.sources if source.device == device]:
            del self.sources[source]
        self.suspected_by.discard(device)
        self.is_suspect = bool(self.suspected_by)

    def are_exhausted(self, present: Iterable[Source], now: float, max_attempts: int) -> bool:
        """Return whether the item is to be given up.

        Args:
            present: the sources of the borrowers that are here.
            now: the time.
            max_attempts: see `MAX_ATTEMPTS`.
        """
        if self.losses >= MAX_LOSSES:
            return True
        counted = [source for source, times in self.sources.items() if min(times) <= now]
        if self.losses < max_attempts or not counted:
            return False
        if max_attempts == 1:
            return True
        known = {*present, *self.sources}
        if any(source.is_local for source in known.difference(counted)):
            return False
        devices = {source.device for source in counted}
        addresses = {source.address for source in counted}
        needed = min(max_attempts, len({source.device for source in known}))
        return min(len(devices), len(addresses)) >= needed
