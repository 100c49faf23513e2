"""The end of a run: what all devices did until then is known at the root, however deep they are."""

from __future__ import annotations

import random
from typing import Any

import pytest
import trio

from pando.tree.membership import Membership
from pando.tree.node import Node
from tests.tree.faults import Network

from ..net.clients import comes_true
from .test_faults import Scenario, play


class Peaceful(Scenario):
    """A run without faults: a chain of volunteers, which is ended as a root ends it.

    Attributes:
        known: items of each device as the root knows them at the end.
        done: what they have measured themselves.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.items = list(range(500))
        self.volunteers, self.degree, self.pace = 3, 1, 0.05
        self.network = Network(random.Random(seed), 0.001)
        self.known: dict[bytes, int] = {}
        self.done: dict[bytes, int] = {}
        self.deepest = 0

    async def _make_trouble(self, nursery: trio.Nursery, root: Node) -> None:
        """None."""

    async def _end(self, membership: Membership) -> None:
        entries = membership.ledger.entries.values()
        parents = {entry.device.node: entry.device.parent for entry in entries}
        self.deepest = max(depth(node, parents) for node in parents)
        await membership.end(500)
        assert await comes_true(lambda: not membership.children)
        self.known = {entry.device.node: entry.total.items for entry in entries}
        self.done = {
            work.identifier: work.node.meter.read(cpu_seconds=None).items for work in self._works
        }


def depth(node: bytes, parents: dict[bytes, bytes]) -> int:
    return 1 + depth(parents[node], parents) if node in parents else 0


@pytest.mark.parametrize("seed", range(3))
def test_the_last_reports_of_all_levels_arrive(seed: int) -> None:
    scenario: Any
    scenario, results = play(seed, Peaceful)
    assert len(results) == 500
    assert scenario.deepest == 3
    assert scenario.known == scenario.done
    assert sum(scenario.done.values()) >= 500
