"""The runs of one server: what becomes of a connection whose run ends while it joins."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

from pando import messages
from pando.channel import memory_channel_pair
from pando.net.visitor import STRANGER
from pando.running.runs_at_server import RunsAtServer
from pando.tree.membership import Membership


class LateMembership(Membership):
    """That of a run which is over by the time a node has proved who it is."""

    def __init__(self, end):
        self.counters = Counter()
        self._end = end

    async def _shake_hands(self, channel, visitor):
        self._end()
        return SimpleNamespace(hello=messages.Hello(), visitor=visitor)


async def test_a_node_that_joins_while_the_last_run_ends_is_closed_and_harms_nobody():
    runs = RunsAtServer()
    run = SimpleNamespace(identifier="x", workers=0, connections=set(), monitoring=None)
    run.membership = LateMembership(lambda: runs.remove(run))
    runs.add(run)
    near, _ = memory_channel_pair()
    await runs.handle_connection(near, STRANGER)
    assert len(runs) == 0
    assert not run.connections
    await runs.handle_connection(near, STRANGER)  # nobody is there any more
