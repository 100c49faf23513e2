"""Traces of a lender alone, with events that make no sense among the others."""

from __future__ import annotations

import random
from typing import Any

from pando.scheduler import AttemptsExhausted, Lease, Lender, Source

Event = list[Any]
Outcome = list[Any]

WINDOW = 30
EVENTS = 200
"""Events of one trace."""


class LenderPlayer:
    """Plays events to a lender, and tells what came of each."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.lender = Lender(ordered=options["ordered"], max_attempts=options["maxAttempts"])
        self.leases: dict[int, Lease] = {}

    def play(self, event: Event) -> Outcome:
        """Let an event happen; what is returned, the leases that have ended, and the figures."""
        name, *arguments = event
        told = getattr(self, f"_{name}")(*arguments)
        lender, figures = self.lender, self.lender.statistics()
        ended = [[lease.number, int(lease.was_outrun)] for lease in lender.take_superseded()]
        digest = [
            figures.read,
            figures.queued,
            figures.in_flight,
            figures.finished,
            figures.delivered,
            figures.borrowers,
            figures.reassigned,
            figures.ignored_results,
            figures.strikes,
            figures.doubled,
            lender.finished_bytes,
            int(lender.ready) + 2 * int(lender.finished) + 4 * int(lender.has_particular),
        ]
        return [told, ended, digest]

    def _join(self, borrower: int, device: str, address: str, is_local: bool) -> None:
        self.lender.join(borrower, Source(device, address, is_local))

    def _read(self, count: int) -> int:
        count = min(count, self.lender.read_limit(WINDOW))
        read = self.lender.statistics().read
        if count:
            self.lender.add_items(list(range(read, read + count)))
        return count

    def _end(self) -> None:
        self.lender.end_input()

    def _lend(self, borrower: int, limit: int, most: int) -> list[Any] | None:
        return self._note(self.lender.lend(borrower, limit, most))

    def _double(self, borrower: int, number: int, limit: int) -> list[Any] | None:
        return self._note(self.lender.double(borrower, self.leases[number], limit))

    def _note(self, lease: Lease | None) -> list[Any] | None:
        if lease is None:
            return None
        self.leases[lease.number] = lease
        flags = int(lease.is_alone) + 2 * int(lease.is_copy)
        return [lease.number, lease.start, len(lease.items), sum(lease.items), flags]

    def _results(
        self, borrower: int, number: int, offset: int, count: int, failed: list[int], size: int
    ) -> bool:
        values = [100 * number + offset + place for place in range(count)]
        failures = {place: "failed" for place in failed}
        return self.lender.add_results(borrower, number, offset, values, failures, size)

    def _returned(self, borrower: int, number: int, offset: int, count: int) -> bool:
        return self.lender.give_back(borrower, number, offset, count)

    def _revoke(self, borrower: int, number: int) -> int:
        return self.lender.revoke(borrower, number)

    def _struck(
        self, borrower: int, number: int, offset: int, now: float, was_device: bool, silent: bool
    ) -> bool:
        return self.lender.record_crash(
            borrower, number, offset, "lost", now, was_device=was_device, may_return=silent
        )

    def _leave(self, borrower: int, now: float, lost: str, silent: bool) -> int:
        return self.lender.leave(borrower, now, lost=lost, may_return=silent)

    def _sizes(self, number: int, sizes: list[list[int]]) -> None:
        lease = self.lender.lease(number)
        if lease is not None:
            self.lender.set_sizes(lease, {offset: size for offset, size in sizes})

    def _larger(self, most: int) -> int:
        return self.lender.fail_larger(most, lambda size: f"{size} bytes")

    def _cancel(self, low: int, high: int) -> list[list[int]]:
        return [list(stretch) for stretch in self.lender.cancel_pending(low, high)]

    def _take(self) -> list[Any] | None:
        batch = self.lender.take()
        if batch is None:
            return None
        failures = [
            [place, why.losses if isinstance(why, AttemptsExhausted) else why]
            for place, why in sorted(batch.failures.items())
        ]
        return [batch.start, list(batch.items), list(batch.values), failures, batch.size]


def record(seed: int, options: dict[str, Any]) -> list[tuple[Event, Outcome]]:
    """Play a lender's life by a seed, and record it."""
    draw, player = random.Random(seed), LenderPlayer(options)
    lender, present, now, newest = player.lender, list[int](), 0.0, 0
    events: list[tuple[Event, Outcome]] = []

    def happen(*event: Any) -> None:
        events.append((list(event), player.play(list(event))))

    while len(events) < EVENTS:
        chance = draw.random()
        lease = draw.choice([*player.leases.values()][-12:]) if player.leases else None
        if chance < 0.08 or not present:
            newest += 1
            device = draw.randint(0, 4)
            place = ("here", "here") if device == 0 else (f"d{device}", f"a{draw.randint(0, 2)}")
            happen("join", newest, *place, device == 0)
            present.append(newest)
        elif chance < 0.2:
            happen("read", draw.randint(1, 12))
        elif chance < 0.42:
            happen("lend", draw.choice(present), draw.randint(1, 8), draw.choice([50, 10**6]))
        elif chance < 0.52:
            happen("take")
        elif chance < 0.56:
            now += draw.choice([1.0, 60.0])
            lost = draw.choice(["", "lost", "lost"])
            borrower = present.pop(draw.randrange(len(present)))
            happen("leave", borrower, now, lost, draw.random() < 0.3)
        elif chance < 0.6 and not options["ordered"]:
            low = draw.randint(0, figures_read(lender))
            happen("cancel", low, low + draw.randint(0, 9))
        elif chance < 0.62:
            happen("larger", draw.choice([10, 100, 1000]))
        elif lease is None:
            continue
        elif chance < 0.8:
            _answer(draw, happen, lease, draw.choice(present))
        elif chance < 0.86:
            offset = draw.randrange(len(lease.items))
            happen("returned", lease.borrower, lease.number, offset, draw.randint(1, 4))
        elif chance < 0.92:
            offset = draw.randrange(len(lease.items))
            silent = draw.random() < 0.2
            happen(
                "struck", lease.borrower, lease.number, offset, now, draw.random() < 0.2, silent
            )
        elif chance < 0.94:
            sizes = [[offset, draw.choice([60, 500])] for offset in range(0, len(lease.items), 2)]
            happen("sizes", lease.number, sizes)
        elif chance < 0.95:
            happen("revoke", lease.borrower, lease.number)
        elif lender.has_lease(lease.number):
            first = lease.start + lease.missing[0][0]
            idle = [each for each in present if not lender.count_lent(each)]
            if idle and lender.holdings.newest(first, lease) is lease:
                happen("double", draw.choice(idle), lease.number, draw.randint(1, 4))
    return events


def figures_read(lender: Lender) -> int:
    """How many items a lender has read."""
    return lender.statistics().read


def _answer(draw: random.Random, happen: Any, lease: Lease, other: int) -> None:
    """Results for a stretch of a lease, current or not, by its holder or by somebody else."""
    borrower = lease.borrower if draw.random() < 0.9 else other
    if draw.random() < 0.6:
        offset, count = 0, len(lease.items)
    else:
        offset, count = draw.randint(-1, len(lease.items)), draw.randint(1, len(lease.items) + 1)
    failed = [0] if draw.random() < 0.2 else []
    happen("results", borrower, lease.number, offset, count, failed, draw.randint(0, 99))
