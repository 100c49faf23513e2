"""A parent is killed at each stage of joining it: its child finds another place, nothing is lost.

Whole volunteers take part, on a clock that jumps; links and data channels are in memory.
`test_killed_processes.py` plays some of the stages with real ones.
"""

from __future__ import annotations

import functools
from collections import Counter

import pytest

from pando.limits import HEARTBEAT_TIMEOUT_SECONDS
from pando.net.keepalive import HEARTBEATS_PER_TIMEOUT
from pando.net.webrtc.answerer import OPEN_SECONDS
from pando.volunteering.below import CONNECT_PARENT_SECONDS

from .stages import (
    AFTER,
    AT_THE_ROOT,
    BEFORE,
    BY_WEBSOCKET,
    GRANDPARENT,
    JOIN_PARENT,
    JOINING,
    PARENT,
    Stage,
    by_webrtc,
    stage,
)
from .world import BOOTSTRAP_SECONDS, BROKEN, ITEMS, ROOT, SILENT, End, World, play

DATA_END = "tests.joining.world:DataEnd"
STEPS = [
    ("the check of addresses", f"{DATA_END}.check"),
    ("DTLS", f"{DATA_END}.encrypt"),
    ("the data channel", f"{DATA_END}.begin"),
]
BY_WEBRTC = by_webrtc(DATA_END, STEPS)
STAGES = {"websocket": BY_WEBSOCKET, "webrtc": BY_WEBRTC}
NOTICED_SECONDS = HEARTBEAT_TIMEOUT_SECONDS * (1 + 1 / HEARTBEATS_PER_TIMEOUT)
"""The longest silence before a link is given up."""
WITHIN_SECONDS = {
    BROKEN: max(CONNECT_PARENT_SECONDS, OPEN_SECONDS) + 1,
    SILENT: NOTICED_SECONDS + 1,
}
"""How long after its parent's end a node may be without another one."""
CASES = [
    pytest.param(protocol, how, each, id=f"{protocol}, {how}: {each}")
    for protocol, stages in STAGES.items()
    for how in (BROKEN, SILENT)
    for each in stages
]


@functools.cache
def tasks_undisturbed(protocol: str) -> Counter[str]:
    """The tasks of a root, and of a node that has joined it, where nobody else ever was."""
    world = World(None, protocol=protocol)
    assert play(world) == [item * item for item in ITEMS]
    return world.end.tasks


def found_seconds(world: World) -> float:
    """Seconds from the parent's end until the joining node computes for another one."""
    assert world.killed_at is not None, "the stage was never reached"
    dead = world.sessions[PARENT].identifier if PARENT in world.sessions else b""
    found = [at for name, parent, at in world.computes if name == JOINING and parent != dead]
    assert len(found) == 1, world.computes
    return found[0] - world.killed_at


@pytest.mark.parametrize(("protocol", "how", "at"), CASES)
def test_the_joining_node_goes_to_the_root(protocol: str, how: str, at: Stage) -> None:
    world = World(at, how, protocol=protocol)
    assert play(world) == [item * item for item in ITEMS]
    assert found_seconds(world) <= WITHIN_SECONDS[how]
    assert world.end == End(
        children=[world.sessions[JOINING].identifier],
        link_ends=[JOINING, ROOT],
        data_ends=[],
        kept=[],
        tasks=tasks_undisturbed(protocol),
    )


@pytest.mark.parametrize(
    ("protocol", "at"),
    [
        pytest.param(protocol, each, id=f"{protocol}: {each}")
        for protocol, stages in STAGES.items()
        for each in stages
        if each not in AT_THE_ROOT
    ],
)
def test_a_grandparent_below_the_root_keeps_no_place(protocol: str, at: Stage) -> None:
    """The silent parent was its child: so it notices late, when the joining node has gone on."""
    world = World(at, SILENT, depth=2, protocol=protocol)
    assert play(world) == [item * item for item in ITEMS]
    assert found_seconds(world) <= WITHIN_SECONDS[SILENT]
    there = [world.sessions[name].identifier for name in (GRANDPARENT, JOINING)]
    assert sorted(world.end.children) == sorted(there)
    assert world.end.kept == []
    ends = Counter(world.end.link_ends)
    assert ends.total() == 4
    assert (ends[GRANDPARENT], ends[ROOT]) in [(1, 2), (2, 1)]
    assert len(world.end.data_ends) in (0, 2)


@pytest.mark.parametrize(
    "at",
    [
        stage("the parent is on its way to its own place", (PARENT, BEFORE, JOIN_PARENT)),
        stage("the parent is all but a child", (PARENT, AFTER, JOIN_PARENT)),
    ],
    ids=str,
)
@pytest.mark.parametrize("how", [BROKEN, SILENT])
def test_a_node_that_waits_for_a_parent_that_joins_itself(how: str, at: Stage) -> None:
    """The place is kept for the parent until its time is over; then the node that waits has it."""
    world = World(at, how, depth=2, waits=True)
    assert play(world) == [item * item for item in ITEMS]
    assert found_seconds(world) <= BOOTSTRAP_SECONDS + 5
    assert world.end.kept == []


def test_the_tables_have_each_stage_once() -> None:
    for stages in STAGES.values():
        names = [each.name for each in stages]
        assert len(names) == len(set(names))
        assert len({each.points for each in stages}) == len(stages)
