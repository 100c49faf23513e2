"""What nodes pass on through a tree, against what the devices really did."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pando.reporting.ledger import LEFT, Ledger
from pando.reporting.monitor import Monitor
from pando.reporting.passing import Incoming, MalformedReportError, Outgoing
from pando.reporting.run_figures import RunFigures
from pando.reports.counters import MAX_COUNTER, Counters
from pando.reports.moments import DeviceMoments, Moments
from pando.reports.records import (
    Gone,
    Interval,
    Introduction,
    Report,
    Rest,
    Update,
)
from tests.reporting.feed import INTERVAL, ROOT, Node, Parent, Root, device, identifier


class Tree:
    """A root and nodes that work, report, move, die and restart.

    Attributes:
        done: items that each device has really computed.
    """

    def __init__(self, count: int, **limits: int) -> None:
        self.root = Root()
        self.now = 0.0
        self.nodes = [Node(number, **limits) for number in range(1, count + 1)]
        self.done = {node.node: 0 for node in self.nodes}
        for node in self.nodes:
            node.attach(self.root, self.now)

    def depth(self, node: Parent) -> int:
        return 0 if isinstance(node, Root) else 1 + self.depth(node.parent or self.root)

    def is_below(self, node: Parent, other: Node) -> bool:
        if isinstance(node, Root):
            return False
        return node is other or self.is_below(node.parent or self.root, other)

    def work(self, node: Node, items: int) -> None:
        node.work(items)
        self.done[node.node] += items

    def step(self) -> None:
        """All report, from the leaves to the root."""
        self.now += INTERVAL
        for node in sorted(self.nodes, key=self.depth, reverse=True):
            node.report(self.now)
            node.send(self.now)

    def move(self, node: Node, parent: Parent, *, noticed: bool) -> None:
        """Change a node's parent; the old one notices at once, or never."""
        if self.is_below(parent, node):
            return
        if not noticed:
            node.parent = None
        node.attach(parent, self.now)

    def die(self, node: Node) -> None:
        """Lose a node: its parent notices, and its children join the root."""
        if len(self.nodes) == 1:
            return
        self.nodes.remove(node)
        assert node.parent is not None
        node.parent.ledger.close(node.link, self.now, lost=True)
        for child in self.nodes:
            if child.parent is node:
                child.parent = None
                child.attach(self.root, self.now)

    def total(self) -> int:
        return self.root.total().items


def play(tree: Tree, data: Any, *, always_report: bool) -> None:
    """Let things happen to a tree."""
    for _ in range(data.draw(st.integers(1, 12))):
        node = data.draw(st.sampled_from(tree.nodes))
        action = data.draw(st.sampled_from(["work", "step", "move", "die", "restart", "steal"]))
        if always_report and action != "work":
            tree.step()
        match action:
            case "work":
                tree.work(node, data.draw(st.integers(0, 50)))
            case "step":
                tree.step()
            case "move" | "steal":
                parent = data.draw(st.sampled_from([tree.root, *tree.nodes]))
                tree.move(node, parent, noticed=action == "move")
            case "die":
                tree.die(node)
            case "restart":
                node.restart(tree.now)
                node.attach(node.parent or tree.root, tree.now)


@given(st.integers(1, 8), st.data())
@settings(max_examples=100, deadline=None)
def test_nothing_that_was_reported_is_lost_or_counted_twice(count: int, data: Any) -> None:
    tree = Tree(count)
    play(tree, data, always_report=True)
    tree.step()
    assert tree.total() == sum(tree.done.values())
    for node, done in tree.done.items():
        if node in tree.root.ledger.entries:
            assert tree.root.ledger.entries[node].total.items == done
    live = {entry.device.node for entry in tree.root.ledger.live()}
    assert {node.node for node in tree.nodes} <= live


@given(st.integers(1, 8), st.data())
@settings(max_examples=100, deadline=None)
def test_of_the_dead_only_the_last_interval_is_unknown(count: int, data: Any) -> None:
    tree = Tree(count)
    play(tree, data, always_report=False)
    tree.step()
    for node in tree.nodes:
        entry = tree.root.ledger.entries[node.node]
        assert entry.report.counters.items == node.measured.items
        assert entry.total.items <= tree.done[node.node]


@given(st.integers(4, 12), st.data())
@settings(max_examples=100, deadline=None)
def test_sums_have_what_the_devices_have(count: int, data: Any) -> None:
    """On links that report only the two largest one by one."""
    tree = Tree(count, max_single=3, largest=2)
    for node in tree.nodes[2:]:
        tree.move(node, tree.nodes[node.number % 2], noticed=True)
    play(tree, data, always_report=True)
    tree.step()
    alive = sum(node.measured.items for node in tree.nodes)
    assert alive <= tree.total() <= sum(tree.done.values()) or _had_two_parents(tree)


def _had_two_parents(tree: Tree) -> bool:
    """Whether some link's sums still count a device that has gone elsewhere unnoticed."""
    links = {node.link for node in tree.nodes}
    for parent in [tree.root, *tree.nodes]:
        if any(entry.owner not in {*links, "own"} for entry in parent.ledger.live()):
            return True
    return False


def test_large_links_say_sums_and_the_largest() -> None:
    tree = Tree(31, max_single=20, largest=5)
    top = tree.nodes[0]
    for node in tree.nodes[1:]:
        tree.move(node, top, noticed=True)
    for _ in range(3):
        for node in tree.nodes:
            tree.work(node, node.number)
        tree.step()
    update = top.send(tree.now)
    assert update.rest is not None
    assert update.rest.devices == 25
    single = [e.device.node for e in tree.root.ledger.live() if not e.summed]
    assert set(single) == {identifier(n) for n in (1, 27, 28, 29, 30, 31)}
    assert tree.total() == sum(tree.done.values()) == 3 * sum(range(1, 32))
    # One of the others leaves: what it did is still counted.
    gone = tree.nodes[9]
    tree.die(gone)
    for node in tree.nodes:
        tree.work(node, node.number)
    tree.step()
    assert tree.total() == sum(tree.done.values())
    assert tree.root.ledger.entries[gone.node].total.items == 30


def test_what_sums_say_is_in_the_history() -> None:
    tree = Tree(10, max_single=5, largest=1)
    monitor = Monitor("square", ROOT, 0.0, INTERVAL)
    tree.root.ledger = monitor.ledger
    for node in tree.nodes:
        tree.move(node, tree.root if node.number == 1 else tree.nodes[0], noticed=False)
    for _ in range(20):
        for node in tree.nodes:
            tree.work(node, 10)
        tree.step()
        monitor.tick(RunFigures(), tree.now)
    view = monitor.history.view()
    shown = sum(map(sum, view.series.values())) + sum(view.others)
    # What the first sums say of the time before cannot be told by its time.
    assert 1900 <= shown <= 2000
    assert monitor.device_totals().items == sum(tree.done.values()) == 2000


def test_a_small_one_that_grows_is_reported_itself() -> None:
    tree = Tree(10, max_single=5, largest=2)
    for node in tree.nodes[1:]:
        tree.move(node, tree.nodes[0], noticed=True)
    for node in tree.nodes:
        tree.work(node, 10 * node.number)
    tree.step()
    assert tree.root.ledger.entries[identifier(3)].summed
    tree.work(tree.nodes[2], 1000)
    tree.step()
    assert not tree.root.ledger.entries[identifier(3)].summed
    assert tree.total() == sum(tree.done.values())


def test_sums_are_passed_on_and_end_with_their_reason() -> None:
    tree = Tree(10, max_single=5, largest=1)
    top, middle, *leaves = tree.nodes
    tree.move(middle, top, noticed=True)
    for node in leaves:
        tree.move(node, middle, noticed=True)
    for _ in range(2):
        for node in tree.nodes:
            tree.work(node, 10 + node.number)
        tree.step()
    assert tree.root.ledger.rests[top.link].devices == 8
    assert tree.total() == sum(tree.done.values())
    for node in leaves[:6]:
        tree.die(node)
    tree.step()
    assert not tree.root.ledger.rests
    assert tree.total() == sum(tree.done.values())
    assert not any(entry.summed for entry in tree.root.ledger.live())


def test_who_moves_to_where_only_sums_are_told_is_not_lost() -> None:
    tree = Tree(10, max_single=5, largest=1)
    mover, top, *leaves = tree.nodes
    for node in leaves:
        tree.move(node, top, noticed=True)
    for node in tree.nodes:
        tree.work(node, 10 + node.number)
    tree.step()
    link = mover.link
    tree.move(mover, top, noticed=False)
    tree.step()
    tree.root.ledger.close(link, tree.now, lost=True)
    entry = tree.root.ledger.entries[mover.node]
    assert entry.is_live
    assert entry.summed
    assert tree.total() == sum(tree.done.values())


def test_the_last_report_of_who_leaves_comes_with_its_departure() -> None:
    tree = Tree(2)
    upper, lower = tree.nodes
    tree.move(lower, upper, noticed=True)
    tree.work(lower, 10)
    tree.step()
    tree.work(lower, 7)
    lower.report(tree.now + 1)
    lower.send(tree.now + 1)
    upper.ledger.close(lower.link, tree.now + 1, lost=False)  # before it reports again
    upper.send(tree.now + 2)
    entry = tree.root.ledger.entries[lower.node]
    assert (entry.presence, entry.total.items, entry.figures.items) == (LEFT, 17, 7)
    assert entry.statistics.throughput.count == 2


def test_keys_are_used_again() -> None:
    ledger = Ledger()
    outgoing = Outgoing(b"")
    for number in range(100):
        ledger.hear(Report(device(number), 1, Counters(3000), Counters()), "a", 0.0)
        keys = [introduction.key for introduction in outgoing.encode(ledger).introductions]
        assert keys == [number % 2]
        if number:
            ledger.leave(identifier(number - 1), "a", 0.0, lost=False)


def test_statistics_are_the_same_at_each_node_of_the_way() -> None:
    tree = Tree(4)
    for below, above in zip(tree.nodes[1:], tree.nodes, strict=False):
        tree.move(below, above, noticed=True)
    generator = random.Random(1)
    for _ in range(50):
        for node in tree.nodes:
            tree.work(node, generator.randrange(100))
        tree.step()
    for node in tree.nodes:
        own = node.ledger.entries[node.node].statistics
        assert own.throughput.count == 49
        assert tree.root.ledger.entries[node.node].statistics == own


def test_statistics_come_along_with_a_move_to_where_nobody_knows_the_device() -> None:
    tree = Tree(2)
    for _ in range(10):
        tree.work(tree.nodes[0], 10)
        tree.step()
    tree.root.ledger.entries.clear()
    tree.move(tree.nodes[0], tree.nodes[1], noticed=False)
    tree.step()
    assert tree.root.ledger.entries[identifier(1)].statistics.throughput.count == 10
    assert tree.root.ledger.entries[identifier(1)].figures.elapsed_ms == 3000


def test_statistics_are_told_again_now_and_then_but_not_of_all_at_once() -> None:
    ledger = Ledger()
    outgoing = Outgoing(b"")
    turns: list[list[int]] = []
    for sequence in range(1, 62):
        after, before = Counters(3000 * sequence), Counters(3000 * sequence - 3000)
        for number in range(1, 6):
            ledger.hear(Report(device(number), sequence, after, before), "a", 0.0)
        intervals = outgoing.encode(ledger).intervals
        turns.append([interval.key for interval in intervals if interval.moments is not None])
    assert turns[0] == [0, 1, 2, 3, 4]
    assert max(map(len, turns[1:])) == 1
    assert sorted(key for turn in turns[1:] for key in turn) == sorted([0, 1, 2, 3, 4] * 3)


def test_only_what_has_changed_is_sent() -> None:
    tree = Tree(3)
    for node in tree.nodes[1:]:
        tree.move(node, tree.nodes[0], noticed=True)
    tree.step()
    top = tree.nodes[0]
    assert top.send(tree.now).is_empty
    tree.nodes[1].report(tree.now)
    tree.nodes[1].send(tree.now)
    update = top.send(tree.now)
    assert not update.introductions
    assert len(update.intervals) == 1
    assert len(update.intervals[0].counters) <= 2


@pytest.mark.parametrize("degree", [10, 100])
def test_a_hundred_volunteers_cost_the_root_little(degree: int) -> None:
    """At most 4 KB a second for each hundred, on average after the first minute."""
    tree = Tree(100)
    for node in tree.nodes[degree:]:
        tree.move(node, tree.nodes[node.number % degree], noticed=True)
    generator = random.Random(1)
    largest = before = 0
    for step in range(60):
        for node in tree.nodes:
            seconds = 12 * generator.random()
            node.work(generator.randrange(100_000), seconds)
            node.measured = node.measured._replace(
                starved=node.measured.starved + 12 - seconds,
                bytes_in=node.measured.bytes_in + generator.randrange(10**8),
                bytes_out=node.measured.bytes_out + generator.randrange(10**8),
                transfer=node.measured.transfer + generator.random(),
            )
        tree.step()
        sent = sum(node.sent for node in tree.nodes if node.parent is tree.root)
        if step >= 20:
            largest = max(largest, sent - before)
        before = sent
    assert largest <= 4 * 1024 * INTERVAL


# ---- what comes from elsewhere ----


def new_incoming() -> tuple[Ledger, Incoming]:
    ledger = Ledger()
    incoming = Incoming("a", ledger, ROOT)
    incoming.take(Update(introductions=[Introduction(0, device(), 0, [])]), 0.0)
    return ledger, incoming


ABSURD = DeviceMoments(throughput=Moments(1, 5.0, 0.0, 1.0, 1.0))


@pytest.mark.parametrize(
    "update",
    [
        Update(intervals=[Interval(1, 1, [3000])]),
        Update(summed=[1]),
        Update(gone=[Gone(1, True)]),
        Update(intervals=[Interval(0, 0, [3000])]),
        Update(intervals=[Interval(0, 1, [3000]), Interval(0, 1, [3000])]),
        Update(intervals=[Interval(0, 1, [MAX_COUNTER]), Interval(0, 2, [1])]),
        Update(summed=[0], intervals=[Interval(0, 1, [3000])]),
        Update(introductions=[Introduction(0, device(2), 0, [])]),
        Update(intervals=[Interval(0, 1, [3000], moments=ABSURD)]),
        Update(
            intervals=[
                Interval(0, 1, [3000], moments=DeviceMoments(Moments(1, 1.0, 0.0, 1.0, 1.0)))
            ]
        ),
    ],
)
def test_what_does_not_fit_is_refused(update: Update) -> None:
    _, incoming = new_incoming()
    with pytest.raises(MalformedReportError):
        incoming.take(update, 1.0)


def test_nobody_else_tells_a_node_of_itself() -> None:
    ledger = Ledger()
    ledger.hear(Report(device(9), 1, Counters(3000, 7), Counters()), "own", 0.0)
    spoofed = Incoming("b", ledger, identifier(9))
    spoofed.take(
        Update(
            introductions=[Introduction(0, device(9, 77), 0, [])],
            intervals=[Interval(0, 5, [3000, 999])],
        ),
        1.0,
    )
    spoofed.take(Update(gone=[Gone(0, True)]), 1.0)
    assert ledger.entries[identifier(9)].total.items == 7
    assert ledger.entries[identifier(9)].is_live


def test_names_are_made_safe_to_print() -> None:
    ledger, incoming = new_incoming()
    named = msgspec.structs.replace(device(), name="a\x1b[31m\nb  <script>")
    incoming.take(
        Update(introductions=[Introduction(0, named, 0, [])], intervals=[Interval(0, 1, [3000])]),
        1.0,
    )
    assert ledger.entries[identifier(1)].device.name == "a [31m b <script>"


small = st.integers(0, 5)


@given(st.lists(st.tuples(st.booleans(), small, st.lists(small, max_size=3)), max_size=12))
def test_two_links_that_contradict_each_other_show_nothing_impossible(
    told: list[tuple[bool, int, list[int]]],
) -> None:
    ledger = Ledger()
    incoming = {True: Incoming("a", ledger, ROOT), False: Incoming("b", ledger, ROOT)}
    for now, (link, sequence, growth) in enumerate(told):
        introduction = Introduction(0, device(), sequence, growth)
        interval = Interval(0, sequence + 1, growth)
        incoming[link].take(Update(introductions=[introduction], intervals=[interval]), now)
    for entry in ledger.entries.values():
        assert entry.figures.throughput >= 0
        assert entry.figures.cpu_usage >= 0
        assert entry.statistics.is_possible


updates = st.builds(
    Update,
    gone=st.lists(st.builds(Gone, st.integers(0, 3), st.booleans()), max_size=2),
    introductions=st.lists(
        st.builds(
            Introduction,
            st.integers(0, 3),
            st.builds(device, st.integers(1, 4), st.integers(1, 3)),
            st.integers(0, 5),
            st.lists(st.integers(0, MAX_COUNTER), max_size=16),
        ),
        max_size=4,
    ),
    summed=st.lists(st.integers(0, 3), max_size=2),
    intervals=st.lists(
        st.builds(
            Interval,
            st.integers(0, 3),
            st.integers(0, 8),
            st.lists(st.integers(0, MAX_COUNTER), max_size=16),
        ),
        max_size=4,
    ),
    rest=st.none() | st.builds(Rest, st.integers(0, 9), st.integers(0, 9), st.just([])),
)


@given(st.lists(st.tuples(st.booleans(), updates), max_size=10))
@settings(max_examples=100, deadline=None)
def test_whatever_is_sent_is_taken_or_refused(sent: list[tuple[bool, Update]]) -> None:
    ledger = Ledger()
    incoming = {True: Incoming("a", ledger, ROOT), False: Incoming("b", ledger, ROOT)}
    for now, (link, update) in enumerate(sent):
        try:
            incoming[link].take(update, now)
        except MalformedReportError:
            continue
    for entry in ledger.entries.values():
        assert all(counter >= 0 for counter in entry.total)
        assert entry.figures.throughput >= 0
        assert entry.statistics.is_possible
