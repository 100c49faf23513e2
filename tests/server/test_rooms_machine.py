"""Any order of events: parts arrive once, in order, where they belong; memory is bounded."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pando.net.relayed.frames import MAX_PART_BYTES
from pando.server.limits import ServerLimits

from . import __main__ as command
from .simulation import simulate
from .world import World

INDEX = st.integers(0, 10_000)
SIZES = st.sampled_from([1, 100, 4_000, MAX_PART_BYTES])
LIMITS = ServerLimits(rooms=3, nodes_per_room=4, nodes=8, bytes_per_second=500_000)


class RoomsMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World(limits=LIMITS)

    def root(self, index):
        return self.world.roots[index % len(self.world.roots)]

    def node(self, index):
        return self.world.nodes[index % len(self.world.nodes)]

    has_nodes = precondition(lambda self: self.world.nodes)

    @rule(index=INDEX)
    def connect(self, index):
        self.world.connect(self.root(index))

    @rule(index=INDEX)
    def root_dies(self, index):
        self.world.kill_root(self.root(index))

    @rule(index=INDEX)
    def root_is_lost(self, index):
        self.world.lose_at_root(self.root(index))

    @rule(index=INDEX)
    def join(self, index):
        self.world.join(self.root(index))

    @has_nodes
    @rule(index=INDEX, size=SIZES)
    def node_sends(self, index, size):
        self.world.node_sends(self.node(index), size)

    @has_nodes
    @rule(index=INDEX)
    def node_reads(self, index):
        self.world.node_reads(self.node(index))

    @has_nodes
    @rule(index=INDEX)
    def node_leaves(self, index):
        self.world.node_leaves(self.node(index))

    @has_nodes
    @rule(index=INDEX, size=SIZES)
    def root_sends(self, index, size):
        self.world.root_sends(self.node(index), size)

    @has_nodes
    @rule(index=INDEX)
    def root_closes(self, index):
        self.world.root_closes(self.node(index))

    @rule(index=INDEX)
    def pass_on(self, index):
        root = self.root(index)
        self.world.flush_root(root)
        self.world.flush_server(root)

    @rule(index=INDEX)
    def arrive(self, index):
        root = self.root(index)
        self.world.arrive_at_server(root)
        self.world.arrive_at_root(root)
        self.world.root_uses(root)

    @rule(seconds=st.sampled_from([0.1, 1.0, 11.0]))
    def tick(self, seconds):
        self.world.tick(seconds)

    @rule()
    def settle(self):
        self.world.settle()

    @rule()
    def server_restarts(self):
        self.world.kill_server()

    @invariant()
    def holds(self):
        self.world.check()

    def teardown(self):
        self.world.settle()


TestRoomsMachine = RoomsMachine.TestCase
TestRoomsMachine.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


@pytest.mark.parametrize("ten", range(5))
def test_nothing_is_lost_doubled_or_mixed_whatever_dies(ten):
    assert sum(simulate(10 * ten + seed).delivered for seed in range(10)) > 100


def test_more_of_the_simulator_is_a_command_which_names_the_seed_that_fails(monkeypatch, capsys):
    command.main(["--seeds", "2", "--first", "7"])
    assert capsys.readouterr().out.startswith("2 seeds played, from 7 on")

    def lose(root):
        """The server forgets what it has for a root."""
        root.link.outbox.take()

    monkeypatch.setattr(World, "flush_server", lambda world, root: lose(root))
    with pytest.raises(AssertionError):
        command.main(["--seeds", "20"])
    assert "fails: python -m tests.server --seeds 1 --first" in capsys.readouterr().out
