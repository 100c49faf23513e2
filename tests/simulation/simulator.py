"""A simulator of whole runs: the real lending, uplinks and overlays over simulated links.

Time is simulated, so thousands of nodes and a minute of their lives pass in seconds. Everything
follows from the seed: a run with the same seed is the same run.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pando import messages
from pando.scheduler import Borrower, Credit, Lender, Source, Window
from pando.source import EndOfInput
from pando.tree.actions import Action, Cancelled, Notify, Send
from pando.tree.child import credit_for_child
from pando.tree.job import Job
from pando.tree.lending import Lending
from pando.tree.overlay import ID_BYTES, Accept, Busy, Decision, Delegate, Overlay
from pando.tree.uplink import RawCodec, Uplink

LATENCY = (0.002, 0.08)
"""Seconds that a message is under way: the least and the most."""
SILENCE_SECONDS = 10.0
RETRY_SECONDS = 0.25
OFFER_SECONDS = 5.0
TICK_SECONDS = 0.1
CONNECT_SECONDS = 5.0
WORKER_FLUSH_SECONDS = 0.025
HIDDEN_SECONDS = 5.0


@dataclass
class Scenario:
    """What happens in a run. Times are in seconds, probabilities between 0 and 1.

    Of the volunteers, `tabs` take children only by the answer to an offer, which all make but
    `without_offer`. Of the tabs, so many are hidden each second until there are no more deaths, and
    come into sight again: one that is hidden takes nobody, and hands its children over.

    The volunteers `slow`, in the order in which they come, take `slow_times` as long for an item
    that they start after `slow_from`; where that is infinite, they never answer it.
    """

    nodes: int = 25
    degree: int = 3
    items: int = 2000
    item_seconds: float = 0.1
    deaths_per_second: float = 0.0
    deaths_until: float = 0.0
    replaced: bool = True
    silent_deaths: float = 0.0
    unreachable: float = 0.0
    crashes: float = 0.0
    tabs: float = 0.0
    without_offer: float = 0.0
    hides_per_second: float = 0.0
    slow: tuple[int, ...] = ()
    slow_from: float = 0.0
    slow_times: float = 50.0
    speculates: bool = True
    time_limit: float = 600.0


@dataclass
class Outcome:
    """What came of a run."""

    results: list[Any] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    rejoin_seconds: list[float] = field(default_factory=list)
    join_seconds: list[float] = field(default_factory=list)
    depths: dict[bytes, int] = field(default_factory=dict)
    deaths: int = 0
    handed_over: int = 0
    below_tabs: int = 0
    most_waiting: int = 0
    end: float = 0.0
    doubled: int = 0
    read_ahead: int = 0


class Numbers:
    """A source of the whole numbers, encoded, up to an end."""

    def __init__(self, end: int) -> None:
        self.next = 0
        self.end = end

    def read_nowait(self, limit: int) -> list[msgspec.Raw]:
        if self.next == self.end:
            raise EndOfInput
        last = min(self.end, self.next + limit)
        items = [msgspec.Raw(msgspec.msgpack.encode(n)) for n in range(self.next, last)]
        self.next = last
        return items

    def remaining(self) -> int:
        return self.end - self.next

    async def run(self, wake: Callable[[], None]) -> None: ...

    def close(self) -> None: ...


class Simulation:
    """One run under a scenario, decided by a seed."""

    def __init__(self, seed: int, scenario: Scenario) -> None:
        self.random = random.Random(seed)
        self.scenario = scenario
        self.now = 0.0
        self.outcome = Outcome()
        self._volunteers = 0
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = itertools.count()
        self.nodes: dict[bytes, SimulatedNode] = {}
        self.root = SimulatedNode(self, self.new_id(), is_root=True)
        self.nodes[self.root.id] = self.root

    def new_id(self) -> bytes:
        return self.random.randbytes(ID_BYTES)

    def after(self, seconds: float, do: Callable[..., None], *arguments: Any) -> None:
        """Have something done at a later time."""
        heapq.heappush(self._events, (self.now + seconds, next(self._count), do, arguments))

    def slowness(self, node: SimulatedNode) -> float:
        """Return how many times longer an item takes that a node starts now."""
        scenario = self.scenario
        is_slow = self.now >= scenario.slow_from and node.number in scenario.slow
        return scenario.slow_times if is_slow else 1.0

    def latency(self) -> float:
        return self.random.uniform(*LATENCY)

    def run(self) -> Outcome:
        """Play the scenario until all results are out, or time is."""
        scenario = self.scenario
        self.root.start_root_job(Numbers(scenario.items))
        for _ in range(scenario.nodes):
            self.add_volunteer()
        if scenario.deaths_per_second:
            self.after(1.0, self._kill_somebody)
        if scenario.hides_per_second:
            self.after(1.0, self._hide_a_tab)
        self._play(lambda: self.root.job_is_finished or self.now > scenario.time_limit)
        return self._measure()

    def join_all(self) -> Outcome:
        """Let all nodes join at once, and nothing else."""
        for _ in range(self.scenario.nodes):
            self.add_volunteer()
        self._play(lambda: len(self.outcome.join_seconds) == self.scenario.nodes)
        return self._measure()

    def _play(self, is_over: Callable[[], bool]) -> None:
        while self._events and not is_over():
            self.now, _, do, arguments = heapq.heappop(self._events)
            do(*arguments)

    def _measure(self) -> Outcome:
        self.outcome.end = self.now
        if self.root.lender is not None:
            self.outcome.doubled = self.root.lender.holdings.doubled
        for node in self.nodes.values():
            depth, at = 0, node
            while at.parent is not None:
                depth, at = depth + 1, at.parent.other(at)
            self.outcome.depths[node.id] = depth
        return self.outcome

    def add_volunteer(self) -> None:
        node = SimulatedNode(self, self.new_id())
        self.nodes[node.id] = node
        node.number = self._volunteers
        self._volunteers += 1
        node.workers_start()
        node.join()

    def _kill_somebody(self) -> None:
        scenario = self.scenario
        volunteers = [node for node in self.nodes.values() if node is not self.root]
        if volunteers:
            silent = self.random.random() < scenario.silent_deaths
            self.random.choice(volunteers).die(silent=silent)
            if scenario.replaced:
                self.add_volunteer()
        if self.now < scenario.deaths_until:
            self.after(self.random.expovariate(scenario.deaths_per_second), self._kill_somebody)

    def _hide_a_tab(self) -> None:
        scenario = self.scenario
        tabs = [node for node in self.nodes.values() if node.is_tab and node.takes_children]
        if tabs:
            tab = self.random.choice(tabs)
            tab.set_takes_children(False)
            self.after(HIDDEN_SECONDS, tab.set_takes_children, True)
        if self.now < scenario.deaths_until:
            self.after(self.random.expovariate(scenario.hides_per_second), self._hide_a_tab)

    def has(self, share: float) -> bool:
        """Draw whether somebody belongs to a share; where there is none, nothing is drawn."""
        return share > 0 and self.random.random() < share


class Wire:
    """A link between two nodes: messages in order, each way, until it is closed."""

    def __init__(self, simulation: Simulation, child: SimulatedNode, parent: SimulatedNode) -> None:
        self._simulation = simulation
        self.child = child
        self.parent = parent
        self._last = {child.id: 0.0, parent.id: 0.0}
        self._closed = False

    def other(self, node: SimulatedNode) -> SimulatedNode:
        return self.parent if node is self.child else self.child

    def send(self, sender: SimulatedNode, message: messages.Message) -> None:
        simulation = self._simulation
        arrival = max(self._last[sender.id], simulation.now + simulation.latency())
        self._last[sender.id] = arrival
        simulation.after(arrival - simulation.now, self._deliver, self.other(sender), message)

    def _deliver(self, receiver: SimulatedNode, message: messages.Message) -> None:
        if not self._closed and receiver.alive:
            receiver.receive(self, message)

    def close(self, *, silent: bool) -> None:
        """One end is gone; the other notices at once, or when nothing is heard."""
        delay = SILENCE_SECONDS if silent else self._simulation.latency()
        self._simulation.after(delay, self._notice)

    def _notice(self) -> None:
        if not self._closed:
            self._closed = True
            for node in (self.child, self.parent):
                if node.alive:
                    node.lost(self)


class SimulatedWorker:
    """A worker: one item after the other, each for its time; results go back in between."""

    def __init__(self, node: SimulatedNode) -> None:
        self._node = node
        self._queue: list[tuple[int, list[msgspec.Raw]]] = []
        self._offset = 0
        self._sent = 0
        self._done: list[msgspec.Raw] = []
        self._since = 0.0
        self._busy = False
        self._generation = 0
        self._superseded: set[int] = set()
        self.borrower = Borrower("worker", Credit())

    def take(self, message: messages.Message) -> None:
        if isinstance(message, messages.Lend):
            self._end_superseded()
            self._queue.append((message.lease, list(RawCodec.decode(message.items))))
        elif isinstance(message, messages.Recall):
            if message.is_superseded:
                self._superseded.add(message.lease)
            self._node.simulation.after(0.0001, self._give_back, message.lease)
        if not self._busy:
            self._start()

    def _end_superseded(self) -> None:
        """Stop running an item that is not wanted: the worker is needed."""
        if self._busy and self._queue[0][0] in self._superseded:
            self._generation += 1
            del self._queue[0]
            self._done, self._busy = [], False

    def _start(self) -> None:
        if self._queue:
            self._busy = True
            self._offset = self._sent = 0
            self._since = self._node.simulation.now
            self._next_item()

    def _next_item(self) -> None:
        simulation = self._node.simulation
        seconds = simulation.scenario.item_seconds * simulation.random.uniform(0.5, 1.5)
        seconds *= simulation.slowness(self._node)
        if seconds < math.inf:
            simulation.after(seconds, self._finish_item, self._generation)

    def _finish_item(self, generation: int) -> None:
        simulation = self._node.simulation
        if not self._node.alive or generation != self._generation:
            return
        lease, items = self._queue[0]
        if simulation.random.random() < simulation.scenario.crashes:
            self._flush()
            self._tell(messages.ItemCrashed(lease, self._offset, "crash"))
            self._offset += 1
            self._sent = self._offset
        else:
            number = msgspec.msgpack.decode(items[self._offset])
            self._done.append(msgspec.Raw(msgspec.msgpack.encode(number * number)))
            self._offset += 1
            if simulation.now - self._since > WORKER_FLUSH_SECONDS:
                self._flush()
        if self._offset < len(items):
            self._next_item()
            return
        self._flush()
        del self._queue[0]
        self._busy = False
        self._start()

    def _flush(self) -> None:
        if self._done:
            now = self._node.simulation.now
            lease = self._queue[0][0]
            values = msgspec.Raw(RawCodec.encode(self._done))
            self._tell(messages.Results(lease, self._sent, now - self._since, values))
            self._sent += len(self._done)
            self._done = []
            self._since = now

    def _give_back(self, lease: int) -> None:
        for place, (number, items) in enumerate(self._queue):
            if number != lease:
                continue
            kept = self._offset + 1 if place == 0 else 0
            count = len(items) - kept
            del items[kept:]
            if not kept:
                del self._queue[place]
            if count > 0:
                self._tell(messages.ReturnItems(lease, kept, count))
            return

    def _tell(self, message: messages.Message) -> None:
        self._node.simulation.after(0.0001, self._node.take_from_worker, self, message)


class SimulatedNode:
    """A node: the real decisions, and what carries them out in simulated time."""

    def __init__(self, simulation: Simulation, identifier: bytes, *, is_root: bool = False) -> None:
        self.simulation = simulation
        self.id = identifier
        self.alive = True
        self.number = -1
        self.parent: Wire | None = None
        self.overlay = Overlay(identifier, degree=simulation.scenario.degree, timeout=10.0)
        self.is_tab = not is_root and simulation.has(simulation.scenario.tabs)
        self.makes_offers = not simulation.has(simulation.scenario.without_offer)
        self.takes_children = True
        self._is_root = is_root
        self._lending = Lending(
            RawCodec(), lambda: simulation.now, speculates=simulation.scenario.speculates
        )
        self._job: Job | None = None
        self._uplink: Uplink | None = None
        self._children: dict[bytes, tuple[Wire, Borrower]] = {}
        self._asked: dict[bytes, list[Callable[[], None]]] = {}
        self._undecided: dict[bytes, Callable[[Decision], None]] = {}
        self._workers: list[SimulatedWorker] = []
        self._send_to: dict[Borrower, Callable[[messages.Message], None]] = {}
        self._joining_since: float | None = None
        self._has_joined = False
        self._attempt = 0
        self._wanted = 1
        self._balancing = False
        self._ticking = False
        self._expiring = False

    def _do(self, actions: list[Action]) -> None:
        """Carry out what the lending says."""
        for action in actions:
            if isinstance(action, Send):
                self._send_to[action.borrower](action.message)
            elif isinstance(action, Notify):
                action.job.notify()
            elif isinstance(action, Cancelled):
                action.job.cancelled(action.start, action.size)

    # ---- computing ----

    def start_root_job(self, source: Numbers) -> None:
        lender = self._lending.new_lender()
        self._job = Job(source, lender, Window())
        self._job.notify = self._take_root_results
        self._do(self._lending.open_job(self._job))

    @property
    def lender(self) -> Lender | None:
        return None if self._job is None else self._job.lender

    @property
    def job_is_finished(self) -> bool:
        return self._job is not None and self._job.lender.finished

    def _take_root_results(self) -> None:
        job, outcome = self._job, self.simulation.outcome
        assert job is not None
        while (run := job.lender.take()) is not None:
            assert run.start == len(outcome.results), "results must be in order, each once"
            outcome.failed += [run.start + place for place in run.failures]
            outcome.results += [
                None if place in run.failures else msgspec.msgpack.decode(value)
                for place, value in enumerate(run.values)
            ]
            job.lender.validate_state() if len(outcome.results) % 50 == 0 else None

    def workers_start(self) -> None:
        worker = SimulatedWorker(self)
        self._workers.append(worker)
        self._send_to[worker.borrower] = worker.take
        self._do(self._lending.add(worker.borrower))

    def take_from_worker(self, worker: SimulatedWorker, message: messages.Message) -> None:
        if self.alive:
            self._do(self._lending.handle(worker.borrower, message))
            self._after_lending()

    def _after_lending(self) -> None:
        if self._uplink is not None:
            self._pass_results_up()
        if self._lending.has_idle_borrower and not self._balancing:
            self._balancing = True
            self.simulation.after(0.02, self._balance)
        if self._lending.needs_ticks and not self._ticking:
            self._ticking = True
            self.simulation.after(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        self._ticking = False
        if self.alive:
            self._do(self._lending.tick())
            self._after_lending()

    def _balance(self) -> None:
        self._balancing = False
        if self.alive:
            self._do(self._lending.balance())
            self._after_lending()

    def _pass_results_up(self) -> None:
        assert self._uplink is not None
        assert self._job is not None
        while (run := self._job.lender.take()) is not None:
            for answer in self._uplink.answer(run, self._lending.item_seconds):
                self._send_up(answer)

    def _send_up(self, message: messages.Message) -> None:
        if self.parent is not None:
            self.parent.send(self, message)

    def _want(self) -> None:
        if self._lending.workers != self._wanted:
            self._wanted = self._lending.workers
            self._send_up(messages.Capacity(self._wanted))

    # ---- messages ----

    def receive(self, wire: Wire, message: messages.Message) -> None:
        if wire is not self.parent:
            child = self._children.get(wire.child.id)
            if child is not None and child[0] is wire:
                self._do(self._lending.handle(child[1], message))
                self._after_lending()
                self._want()
            return
        assert self._uplink is not None
        assert self._job is not None
        if isinstance(message, messages.Lend):
            self._uplink.add(message)
            self._do(self._lending.input_ready(self._job))
        elif isinstance(message, messages.Recall):
            assert self._job is not None
            answer, unstarted = self._uplink.recall(message)
            if answer is not None:
                self._send_up(answer)
            if unstarted is not None:
                self._do(
                    self._lending.cancel_pending(
                        self._job, *unstarted, is_superseded=message.is_superseded
                    )
                )
        self._after_lending()

    # ---- the tree ----

    def join(self) -> None:
        """Ask the root for a place, and again until there is one."""
        if not self.alive:
            return
        self._attempt += 1
        attempt = self._attempt
        if self._joining_since is None:
            self._joining_since = self.simulation.now
        self.simulation.after(
            2 * self.simulation.latency(), self._ask_root, attempt, frozenset[bytes]()
        )
        self.simulation.after(CONNECT_SECONDS * 2, self._try_again, attempt)

    def _try_again(self, attempt: int) -> None:
        if self.alive and self.parent is None and attempt == self._attempt:
            self.join()

    def _ask_root(self, attempt: int, avoid: frozenset[bytes]) -> None:
        def answer(place: SimulatedNode | None, asked: bytes) -> None:
            self.simulation.after(
                self.simulation.latency(), self._connect, attempt, place, asked, avoid
            )

        if self.alive and attempt == self._attempt:
            self.simulation.root.find_place(self, avoid, answer)

    def find_place(
        self,
        origin: SimulatedNode,
        avoid: frozenset[bytes],
        answer: Callable[[SimulatedNode | None, bytes], None],
    ) -> None:
        """Decide where a joining node goes, or have a child decide."""

        def decided(decision: Decision) -> None:
            if isinstance(decision, Accept):
                self._expire_soon()
                answer(self, b"")
            elif isinstance(decision, Delegate):
                self._ask_child(decision.child, origin, answer, avoid)
            elif isinstance(decision, Busy):
                answer(None, b"")
            else:
                self._undecided[origin.id] = decided

        if self.alive and not self.takes_children:
            answer(None, b"")
        elif self.alive:
            decided(
                self.overlay.request(
                    origin.id, self.simulation.now, avoid=avoid, offers=origin.makes_offers
                )
            )
            self._expire_soon()

    def _ask_child(
        self,
        child: bytes,
        origin: SimulatedNode,
        answer: Callable[[SimulatedNode | None, bytes], None],
        avoid: frozenset[bytes],
    ) -> None:
        answered = False

        def pass_on(place: SimulatedNode | None, asked: bytes) -> None:
            nonlocal answered
            if not answered:
                answered = True
                answer(place, child)

        def give_up() -> None:
            nonlocal answered
            if not answered and self.alive:
                answered = True
                self.find_place(origin, avoid | {child}, answer)

        simulation = self.simulation
        wire = self._children.get(child)
        if wire is None:
            give_up()
            return
        node = wire[0].child
        self._asked.setdefault(child, []).append(give_up)
        simulation.after(simulation.latency(), node.find_place, origin, frozenset(), pass_on)
        simulation.after(OFFER_SECONDS, give_up)

    def _connect(
        self, attempt: int, place: SimulatedNode | None, asked: bytes, avoid: frozenset[bytes]
    ) -> None:
        simulation = self.simulation
        if not self.alive or attempt != self._attempt:
            return
        if place is None:
            simulation.after(RETRY_SECONDS * (0.5 + simulation.random.random()), self.join)
            return
        reachable = place is simulation.root or simulation.random.random() >= (
            simulation.scenario.unreachable
        )
        if place.alive and reachable:
            simulation.after(2 * simulation.latency(), self._attach, attempt, place, asked, avoid)
        else:
            simulation.after(simulation.latency(), self._ask_root, attempt, avoid | {asked})

    def _attach(
        self, attempt: int, place: SimulatedNode, asked: bytes, avoid: frozenset[bytes]
    ) -> None:
        simulation = self.simulation
        if not self.alive or attempt != self._attempt:
            return
        if not place.alive or self.id not in place.overlay.candidates:
            simulation.after(simulation.latency(), self._ask_root, attempt, avoid | {asked})
            return
        wire = Wire(simulation, self, place)
        self.parent = wire
        lender = self._lending.new_lender(ordered=False, max_attempts=1)
        self._uplink = Uplink("device")
        lender.is_final = self._uplink.is_copy
        self._job = Job(self._uplink, lender, Window(limit=2**62))
        self._job.cancelled = self._give_back
        self._do(self._lending.open_job(self._job))
        assert self._joining_since is not None
        seconds = simulation.now - self._joining_since
        outcome = simulation.outcome
        (outcome.rejoin_seconds if self._has_joined else outcome.join_seconds).append(seconds)
        self._joining_since, self._has_joined = None, True
        place.take_child(self, wire, self._lending.workers)

    def _give_back(self, start: int, count: int) -> None:
        assert self._uplink is not None
        for answer in self._uplink.give_back(start, count):
            self._send_up(answer)

    def take_child(self, child: SimulatedNode, wire: Wire, workers: int) -> None:
        source = Source(wire.child.id, wire.child.id)
        borrower = Borrower("child", credit_for_child(workers), source=source)
        self._send_to[borrower] = lambda message: wire.send(self, message)
        self._children[child.id] = (wire, borrower)
        self.simulation.outcome.below_tabs += self.is_tab
        decisions = self.overlay.connected(
            child.id,
            self.simulation.now,
            takes_children=child.takes_children,
            needs_offer=child.is_tab,
        )
        self._carry_out(decisions)
        self._do(self._lending.add(borrower))
        self._after_lending()
        self._want()

    def _carry_out(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            waiting = self._undecided.pop(decision.origin, None)
            if waiting is not None:
                waiting(decision)

    def _expire_soon(self) -> None:
        if not self._expiring and self.overlay.candidates:
            self._expiring = True
            self.simulation.after(1.0, self._expire)

    def _expire(self) -> None:
        self._expiring = False
        if self.alive:
            self._carry_out(self.overlay.expire(self.simulation.now))
            self._expire_soon()

    def lost(self, wire: Wire) -> None:
        """A link has ended: a child is gone, or the parent."""
        if wire is self.parent:
            self.parent = None
            assert self._job is not None
            self._do(self._lending.close_job(self._job))
            self._uplink = self._job = None
            self._joining_since = self.simulation.now
            self.simulation.after(RETRY_SECONDS * self.simulation.random.random(), self.join)
            return
        child = self._children.get(wire.child.id)
        if child is not None and child[0] is wire:
            del self._children[wire.child.id]
            del self._send_to[child[1]]
            self._do(self._lending.remove(child[1], lost="lost"))
            self._carry_out(self.overlay.left(wire.child.id, self.simulation.now))
            for give_up in self._asked.pop(wire.child.id, ()):
                give_up()
            self._after_lending()
            self._want()

    def set_takes_children(self, takes_children: bool) -> None:
        """Be hidden, or come into sight again: tell the parent, and hand the children over."""
        self.takes_children = takes_children
        if not self.alive:
            return
        simulation = self.simulation
        if self.parent is not None:
            overlay = self.parent.parent.overlay
            simulation.after(
                simulation.latency(), overlay.set_takes_children, self.id, takes_children
            )
        if not takes_children:
            for wire, _ in self._children.values():
                simulation.outcome.handed_over += 1
                wire.close(silent=False)

    def die(self, *, silent: bool) -> None:
        self.alive = False
        self.simulation.outcome.deaths += 1
        del self.simulation.nodes[self.id]
        for wire, _ in self._children.values():
            wire.close(silent=silent)
        if self.parent is not None:
            self.parent.close(silent=silent)


def ideal_depths(count: int, degree: int) -> list[int]:
    """Each node's depth in a tree that fills level by level."""
    found: list[int] = []
    depth = 1
    while len(found) < count:
        found += [depth] * min(degree**depth, count - len(found))
        depth += 1
    return found
