"""Traces of a credit: what is told of a borrower, and what it may hold then."""

from __future__ import annotations

import random
from typing import Any

from pando.scheduler import Conduct, Credit, Share, Window

Event = list[Any]
Outcome = list[Any]

EVENTS = 60
"""Events of one trace."""


class CreditPlayer:
    """Plays events to a credit, a window, a share and a conduct, and tells how they stand then."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._credit = Credit(
            messages=options["messages"],
            target_seconds=options["targetSeconds"],
            pair_seconds=options["pairSeconds"],
        )
        self._window = Window()
        self._share = Share()
        self._conduct = Conduct()

    def play(self, event: Event) -> Outcome:
        """Let an event happen; the figures that follow."""
        name, *arguments = event
        told = getattr(self, f"_{name}")(*arguments)
        credit = self._credit
        figures = [credit.workers, credit.item_seconds, credit.batch_size(), credit.capacity(7)]
        others = [self._window.mean_size, self._window.items(), self._share.claimed(3)]
        return [told, figures, others, self._conduct.paused_until, self._conduct.blemishes]

    def _ask(self, workers: int) -> None:
        self._credit.ask(workers)

    def _completed(self, items: int, seconds: float) -> None:
        self._credit.completed(items, seconds)
        self._share.charge(items, seconds)

    def _batch(self, borrowers: int, remaining: int | None, size: float, limit: int) -> int:
        return self._credit.batch_size(
            borrowers=borrowers, remaining=remaining, item_bytes=size, limit=limit
        )

    def _capacity(self, batch: int) -> int:
        return self._credit.capacity(batch)

    def _expected(self, items: int, waited: float) -> float:
        return self._credit.expected_seconds(items, waited)

    def _others(self) -> None:
        self._credit = self._credit.for_others()

    def _measured(self, items: int, size: int) -> list[int]:
        self._window.measured(items, size)
        return [self._window.items(borrowed, windows=2) for borrowed in (0, 100_000)]

    def _delivered(self) -> None:
        self._conduct.delivered()

    def _refused(self, now: float, wasted: float) -> None:
        self._conduct.refused(now, wasted)

    def _lost(self, now: float) -> str:
        return self._conduct.lost(now)

    def _malformed(self, now: float, results: int) -> str:
        return self._conduct.sent_malformed(now, results)


def record(seed: int, options: dict[str, Any]) -> list[tuple[Event, Outcome]]:
    """Play a borrower's life by a seed, and record it."""
    draw, player = random.Random(seed), CreditPlayer(options)
    events: list[tuple[Event, Outcome]] = []
    each, now = draw.choice([1e-7, 1e-4, 0.01, 1.0]), 0.0
    while len(events) < EVENTS:
        items = draw.choice([1, 3, 50, 4000])
        now = round(now + draw.choice([0.0, 0.01, 20.0]), 6)
        chance = draw.random()
        event: Event
        if chance < 0.4:
            event = ["completed", items, round(items * each * draw.uniform(0.3, 3), 9)]
        elif chance < 0.5:
            event = ["ask", draw.choice([0, 1, 4, 300, 10**6])]
        elif chance < 0.7:
            remaining = draw.choice([None, 0, 5, 5000])
            size = draw.choice([0.0, 3.5, 1e4, 1e7])
            event = ["batch", draw.randint(1, 300), remaining, size, draw.choice([8192, 9])]
        elif chance < 0.75:
            event = ["capacity", items]
        elif chance < 0.8:
            event = ["expected", items, draw.uniform(0, 2)]
        elif chance < 0.82:
            event = ["others"]
        elif chance < 0.87:
            event = ["measured", items, items * draw.choice([5, 1000, 10**5])]
        elif chance < 0.9:
            event = ["delivered"]
        elif chance < 0.94:
            event = ["refused", now, draw.choice([0.0, 3.0])]
        elif chance < 0.98:
            event = ["lost", now]
        else:
            event = ["malformed", now, draw.choice([0, 10_000])]
        events.append((event, player.play(event)))
    return events
