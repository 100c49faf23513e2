"""A simulated node, its parent and its borrowers, good and bad: what happens follows a seed."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from typing import Any

from .lending import Event, LendingPlayer, Outcome

MOST_EVENTS = 250
"""Events of one trace."""
MESSAGE_SECONDS = (0.001, 0.05)
"""How long a message is under way: the least and the most."""
LEASES = 6
"""Leases that the parent has at the node at once, at the most."""


class Worker:
    """A borrower: it computes what it is lent, one lease after the other, or misbehaves."""

    def __init__(self, simulation: LendingSimulation, number: int, device: str | None) -> None:
        self.number = number
        self.device = device
        self.queue: list[list[int]] = []
        self._simulation = simulation
        draw = simulation.random
        self.workers = draw.choice([1, 1, 2, 4]) if device else 1
        self.is_gone = False
        self._slowness = draw.choice([1, 1, 40] if simulation.are_slow else [1, 1, 1, 2, 30])
        self._is_silent = draw.random() < (0.3 if simulation.are_slow else 0.1)
        self._refuses = draw.choice([0, 0, 0, 0.3])
        self._crashes = draw.choice([0, 0, 0, 0.05, 0.9])
        self._fails = draw.choice([0, 0.1])
        self._running: list[int] | None = None
        self._last: list[Any] | None = None

    def take(self, lease: int, count: int) -> None:
        """Be lent items."""
        draw = self._simulation.random
        if draw.random() < self._refuses:
            self._simulation.later(self._return, lease, 0, count)
            return
        self.queue.append([lease, 0, count])
        self._start()

    def recall(self, lease: int, is_superseded: bool) -> None:
        """Give back what has not been started of a lease, if it is wanted back."""
        held = next((each for each in self.queue if each[0] == lease), None)
        if held is None:
            return
        is_running = held is self.queue[0] and self._running is not None
        first = self._running[1] if is_running and self._running else held[1]
        count, held[2] = held[2] - first, first
        if is_superseded or not is_running:
            self.queue.remove(held)
        if is_superseded and is_running:
            self._running = None
        if count > 0:
            self._simulation.later(self._return, lease, first, count)
        self._start()

    def _return(self, lease: int, offset: int, count: int) -> None:
        if not self.is_gone:
            self._simulation.happen("returned", self.number, lease, offset, count)

    def _start(self) -> None:
        if self._running is not None or not self.queue or self._is_silent:
            return
        draw, simulation = self._simulation.random, self._simulation
        lease, first, end = self.queue[0]
        last = min(end, first + draw.choice([1, 1, 4, 64, 4096]))
        self._running = [lease, last]
        each = simulation.item_seconds * self._slowness * draw.uniform(0.5, 1.5)
        seconds = round((last - first) * each, 6)
        run = self._running
        simulation.after(seconds / self.workers, lambda: self._finish(run, first, last, seconds))

    def _finish(self, run: list[int], first: int, last: int, seconds: float) -> None:
        if self.is_gone or self._running is not run:
            return
        draw, simulation = self._simulation.random, self._simulation
        self._running = None
        held = self.queue[0]
        held[1] = last
        if held[1] >= held[2]:
            self.queue.pop(0)
        lease = held[0]
        if draw.random() < self._crashes:
            simulation.happen("struck", self.number, lease, last - 1)
            last -= 1
        failed = [place for place in range(last - first) if draw.random() < self._fails][:3]
        if last > first:
            self._last = [self.number, lease, first, seconds, last - first, failed]
            simulation.happen("results", *self._last)
        if self._last and draw.random() < 0.01:
            simulation.happen("results", *self._last)  # once more, which is ignored
        if not self.is_gone:
            self._start()


class LendingSimulation:
    """Plays a node's life by a seed, and records it.

    Args:
        seed: what everything follows from.
        options: of the node.
        are_slow: whether many borrowers fall silent, so that much is lent a second time.
    """

    def __init__(self, seed: int, options: dict[str, Any], *, are_slow: bool = False) -> None:
        self.random = random.Random(seed)
        self.are_slow = are_slow
        self.item_seconds = self.random.choice(
            [0.02, 0.1] if are_slow else [1e-5, 0.0005, 0.02, 0.1, 0.4]
        )
        self._most_unfinished = self.random.choice([3, 10] if are_slow else [3, 10, 4000])
        self.events: list[tuple[Event, Outcome]] = []
        self._player = LendingPlayer(options)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._now = 0.0
        self._workers: dict[int, Worker] = {}
        self._borrower_numbers = itertools.count()
        self._lease_numbers = itertools.count(1)
        self._parent_holds: dict[int, int] = {}
        self._job = -1
        self._is_balancing = self._is_ticking = False
        self._numbers: int | None = None

    def run(self, numbers: list[int]) -> list[tuple[Event, Outcome]]:
        """Play the life of an inner node, or of a root with inputs of so many numbers."""
        if numbers:
            for each in numbers:
                self.happen("open", each)
        else:
            self._join_parent()
        for _ in range(self.random.randint(1, 5)):
            self._add()
        self.after(0.2, self._change)
        while self._due and len(self.events) < MOST_EVENTS:
            self._now, _, do = heapq.heappop(self._due)
            do()
        return self.events

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """Have something done at a later time."""
        heapq.heappush(self._due, (round(self._now + seconds, 6), next(self._count), do))

    def later(self, do: Callable[..., None], *arguments: Any) -> None:
        """Have something done when a message has come."""
        self.after(self.random.uniform(*MESSAGE_SECONDS), lambda: do(*arguments))

    def happen(self, name: str, *arguments: Any) -> None:
        """Let an event happen, and carry out what the node decides."""
        event = [name, self._now, *arguments]
        outcome = self._player.play(event)
        self.events.append((event, outcome))
        for told in outcome[0]:
            self._carry_out(told)
        lending = self._player.lending
        if lending.has_idle_borrower and not self._is_balancing:
            self._is_balancing = True
            self.after(0.02 * self.random.choice([1, 4, 16]), self._balance)
        if lending.needs_ticks and not self._is_ticking:
            self._is_ticking = True
            self.after(0.1, self._tick)

    def _carry_out(self, told: list[Any]) -> None:
        kind, *rest = told
        if kind == "lend":
            worker = self._workers.get(rest[0])
            if worker is not None:
                self.later(worker.take, rest[1], rest[2])
        elif kind == "recall":
            worker = self._workers.get(rest[0])
            if worker is not None:
                self.later(worker.recall, rest[1], rest[2])
        elif kind == "malformed":
            return
        elif kind in ("results", "returned", "struck") and rest[0] == self._job:
            self.after(0.01, self._lend)

    def _balance(self) -> None:
        self._is_balancing = False
        self.happen("balance")

    def _tick(self) -> None:
        self._is_ticking = False
        self.happen("tick", self.random.choice([0, 0, 0, 0.25]))

    # ---- the parent ----

    def _join_parent(self) -> None:
        self._job += 1
        self._parent_holds = {}
        self.happen("open", None)
        for _ in range(LEASES):
            self._lend()

    def _change_parent(self) -> None:
        self.happen("close", self._job)
        self._join_parent()

    def _lend(self) -> None:
        if len(self._player.jobs) <= self._job or self._job < 0:
            return
        job = self._player.jobs[self._job]
        if not self._player.lending.is_open(job) or job.lender.unfinished > self._most_unfinished:
            return
        draw = self.random
        count = draw.choice([1, 2, 5, 20, 200]) if self.item_seconds < 0.01 else draw.randint(1, 6)
        lease = next(self._lease_numbers)
        large = [place for place in range(count) if draw.random() < 0.02][:4]
        self._parent_holds[lease] = count
        is_copy = draw.random() < (0.3 if self.are_slow else 0.1)
        self.happen("lend", self._job, lease, count, large, is_copy)

    def _recall(self) -> None:
        if self._parent_holds:
            lease = self.random.choice(list(self._parent_holds))
            del self._parent_holds[lease]
            self.happen("recall", self._job, lease, self.random.random() < 0.3)

    # ---- borrowers ----

    def _add(self) -> None:
        draw, number = self.random, next(self._borrower_numbers)
        device = draw.choice([None, f"d{draw.randint(1, 5)}", f"d{draw.randint(1, 5)}"])
        worker = self._workers[number] = Worker(self, number, device)
        description = {
            "workers": worker.workers,
            "device": device,
            "address": f"a{draw.randint(1, 4)}",
            "maxBytes": draw.choice([None, None, 600]) if device else None,
        }
        self.happen("add", number, description)
        if device and draw.random() < 0.8:
            self.happen("want", number, worker.workers, draw.choice([0, 10**6]))

    def _remove(self) -> None:
        number = self.random.choice(list(self._workers))
        self._workers.pop(number).is_gone = True
        lost = self.random.choice(["", "the link has ended", "the link has ended"])
        self.happen("remove", number, lost, self.random.random() < 0.3)

    def _misbehave(self) -> None:
        draw = self.random
        number, lease = draw.choice(list(self._workers)), draw.randint(1, 400)
        kind = draw.randint(0, 3)
        if kind == 0:
            self.happen("results", number, lease, draw.randint(0, 9), 0.001, 3, [])
        elif kind == 1:
            self.happen("results", number, lease, 0, 0.001, draw.randint(0, 2), [5])
        elif kind == 2:
            self.happen("returned", number, lease, 0, draw.randint(0, 5))
        else:
            self.happen("struck", number, lease, draw.randint(0, 3))

    def _change(self) -> None:
        """Let something happen that is not computing, now and then."""
        draw = self.random
        chance = draw.random()
        if chance < 0.2 and len(self._workers) < 9:
            self._add()
        elif chance < 0.4 and len(self._workers) > 1:
            self._remove()
        elif chance < 0.6 and self._job >= 0:
            self._recall()
        elif chance < 0.7 and self._workers:
            self._misbehave()
        elif chance < 0.78 and self._workers:
            number = draw.choice(list(self._workers))
            self.happen("want", number, draw.choice([0, 1, 3]), draw.choice([0, 10**6]))
        elif chance < 0.8 and self._job >= 0:
            if draw.random() < 0.5:
                self.happen("leave", self._job)
                self.after(0.2, self._change_parent)
            else:
                self._change_parent()
        elif self._job >= 0:
            self._lend()
        self.after(draw.uniform(0.01, 0.3) * min(1.0, 50 * self.item_seconds), self._change)
