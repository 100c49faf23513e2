"""What a worker holds, and how long each of its items has been where it is. No I/O, no clock."""

from __future__ import annotations

import msgspec

from .. import messages

STANDSTILL_SECONDS = 5.0
"""How much longer than the time limit a worker may do nothing at all with what it holds."""

Item = tuple[int, int]
"""An item, by its lease and its offset in it."""


class _HeldLease(msgspec.Struct):
    """A lease of which items are missing; `next` is the first that is not answered."""

    missing: int
    next: int = 0


class HeldItems:
    """The leases that a worker holds, from what it is sent and what it answers."""

    def __init__(self) -> None:
        self._leases: dict[int, _HeldLease] = {}

    def note_sent(self, message: messages.Message) -> None:
        """Note a message to the worker."""
        if isinstance(message, messages.Lend):
            self._leases[message.lease] = _HeldLease(count_members(message.items))

    def note_received(self, message: messages.Message) -> None:
        """Note a message from the worker."""
        if isinstance(message, messages.Results):
            self._answered(message.lease, message.offset, count_members(message.values))
        elif isinstance(message, messages.ReturnItems):
            self._answered(message.lease, message.offset, message.count)

    def _answered(self, lease: int, offset: int, count: int) -> None:
        held = self._leases.get(lease)
        if held is None:
            return
        held.missing -= count
        if offset <= held.next:
            held.next = max(held.next, offset + count)
        if held.missing <= 0:
            del self._leases[lease]

    def first(self) -> Item | None:
        """The first item that is not answered, of the oldest lease; None where nothing is held."""
        for lease, held in self._leases.items():
            return lease, held.next
        return None


class _Stopwatch:
    """How long something has been the same."""

    def __init__(self) -> None:
        self._seen: object = None
        self._since = 0.0

    def elapsed(self, what: object, now: float) -> float:
        """Return for how long it has been this; nothing takes no time."""
        if what is None or what != self._seen:
            self._seen, self._since = what, now
        return now - self._since

    def skip(self, seconds: float) -> None:
        """Do not count some time."""
        self._since += seconds


class TimeLimit:
    """Finds the item that takes too long, and the worker that does nothing with what it holds.

    Args:
        seconds: what an item may take to be decoded, to run, and to be encoded, each.

    Attributes:
        held: what the worker holds.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.held = HeldItems()
        self._stages: dict[int, _Stopwatch] = {}
        self._standstill = _Stopwatch()

    @property
    def standstill_seconds(self) -> float:
        """What a worker may do nothing for while it holds items."""
        return self.seconds + STANDSTILL_SECONDS

    def skip(self, seconds: float) -> None:
        """Do not count some time, in which this process did not run."""
        for watch in (self._standstill, *self._stages.values()):
            watch.skip(seconds)

    def find_overdue(self, stages: tuple[Item | None, ...], now: float) -> Item | None:
        """Return the item that has been at one stage for too long, if there is one.

        Args:
            stages: the item at each stage, if there is one.
            now: the time.
        """
        overdue = None
        for number, item in enumerate(stages):
            watch = self._stages.setdefault(number, _Stopwatch())
            if watch.elapsed(item, now) >= self.seconds and overdue is None:
                overdue = item
        return overdue

    def find_standstill(
        self, stages: tuple[Item | None, ...], received: int, now: float
    ) -> Item | None:
        """Return the first item held by a worker that has done nothing for too long, if it has.

        Args:
            stages: the item at each stage, if there is one.
            received: how many bytes have come from it.
            now: the time.
        """
        held = None if any(stages) else self.held.first()
        what = None if held is None else (held, received)
        return held if self._standstill.elapsed(what, now) >= self.standstill_seconds else None


def count_members(encoded: msgspec.Raw) -> int:
    """Return how many members an encoded array has; 0 where it is none."""
    head = bytes(memoryview(encoded)[:5])
    if not head:
        return 0
    if head[0] & 0xF0 == 0x90:
        return head[0] & 0x0F
    return int.from_bytes(head[1 : 3 if head[0] == 0xDC else 5]) if head[0] in (0xDC, 0xDD) else 0
