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
        failures = dict.fromkeys(failed, "failed")
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

    def _sizes(self, number: int, sizes: list[tuple[int, int]]) -> None:
        lease = self.lender.lease(number)
        if lease is not None:
            self.lender.set_sizes(lease, dict(sizes))

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


class Recording:
    """A lender's life by a seed, as it is recorded.

    Attributes:
        events: what has happened, and what came of it.
    """

    def __init__(self, seed: int, options: dict[str, Any]) -> None:
        self.events: list[tuple[Event, Outcome]] = []
        self._random = random.Random(seed)
        self._ordered = options["ordered"]
        self._player = LenderPlayer(options)
        self._present: list[int] = []
        self._newest = 0
        self._now = 0.0

    def _happen(self, *event: Any) -> None:
        self.events.append((list(event), self._player.play(list(event))))

    def step(self) -> None:
        """Let one event happen, or none."""
        draw, lender = self._random, self._player.lender
        chance = draw.random()
        if chance < 0.08 or not self._present:
            self._join()
        elif chance < 0.2:
            self._happen("read", draw.randint(1, 12))
        elif chance < 0.42:
            borrower, most = draw.choice(self._present), draw.choice([50, 10**6])
            self._happen("lend", borrower, draw.randint(1, 8), most)
        elif chance < 0.52:
            self._happen("take")
        elif chance < 0.56:
            self._leave()
        elif chance < 0.6 and not self._ordered:
            low = draw.randint(0, lender.statistics().read)
            self._happen("cancel", low, low + draw.randint(0, 9))
        elif chance < 0.62:
            self._happen("larger", draw.choice([10, 100, 1000]))
        elif self._player.leases:
            lease = draw.choice([*self._player.leases.values()][-12:])
            if chance < 0.8:
                self._answer(lease)
            else:
                self._disturb(lease, chance)

    def _join(self) -> None:
        draw = self._random
        self._newest += 1
        device = draw.randint(0, 4)
        place = ("here", "here") if device == 0 else (f"d{device}", f"a{draw.randint(0, 2)}")
        self._happen("join", self._newest, *place, device == 0)
        self._present.append(self._newest)

    def _leave(self) -> None:
        draw = self._random
        self._now += draw.choice([1.0, 60.0])
        lost = draw.choice(["", "lost", "lost"])
        borrower = self._present.pop(draw.randrange(len(self._present)))
        self._happen("leave", borrower, self._now, lost, draw.random() < 0.3)

    def _answer(self, lease: Lease) -> None:
        """Results for a stretch of a lease, current or not, by its holder or by somebody else."""
        draw, size = self._random, len(lease.items)
        borrower = lease.borrower if draw.random() < 0.9 else draw.choice(self._present)
        offset, count = 0, size
        if draw.random() < 0.4:
            offset, count = draw.randint(-1, size), draw.randint(1, size + 1)
        failed = [0] if draw.random() < 0.2 else []
        self._happen("results", borrower, lease.number, offset, count, failed, draw.randint(0, 99))

    def _disturb(self, lease: Lease, chance: float) -> None:
        """Let something else than results come of a lease."""
        draw, number = self._random, lease.number
        offset = draw.randrange(len(lease.items))
        if chance < 0.86:
            self._happen("returned", lease.borrower, number, offset, draw.randint(1, 4))
        elif chance < 0.92:
            flags = (draw.random() < 0.2, draw.random() < 0.2)
            self._happen("struck", lease.borrower, number, offset, self._now, *flags)
        elif chance < 0.94:
            sizes = [[place, draw.choice([60, 500])] for place in range(0, len(lease.items), 2)]
            self._happen("sizes", number, sizes)
        elif chance < 0.95:
            self._happen("revoke", lease.borrower, number)
        else:
            self._double(lease)

    def _double(self, lease: Lease) -> None:
        draw, lender = self._random, self._player.lender
        if not lender.has_lease(lease.number):
            return
        first = lease.start + lease.missing[0][0]
        idle = [each for each in self._present if not lender.count_lent(each)]
        if idle and lender.holdings.newest(first, lease) is lease:
            self._happen("double", draw.choice(idle), lease.number, draw.randint(1, 4))


def record(seed: int, options: dict[str, Any]) -> list[tuple[Event, Outcome]]:
    """Play a lender's life by a seed, and record it."""
    recording = Recording(seed, options)
    while len(recording.events) < EVENTS:
        recording.step()
    return recording.events
