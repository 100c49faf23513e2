"""Rooms whose roots, nodes and server die at random moments; nothing may be lost or doubled."""

from __future__ import annotations

import random

from pando.net.relayed.frames import MAX_PART_BYTES
from pando.server.limits import ServerLimits

from .world import World


def simulate(seed: int) -> World:
    """Three runs with their volunteers, of which everything dies at random moments."""
    choose = random.Random(seed)
    limits = ServerLimits(
        rooms=3, nodes_per_room=5, nodes=10, bytes_per_second=choose.choice([200_000, 10**9])
    )
    world = World(limits=limits)
    sizes = [1, 100, 4_000, MAX_PART_BYTES - 1, MAX_PART_BYTES]
    for _ in range(300):
        root = choose.choice(world.roots)
        dice = choose.random()
        if root.link is None or root.dismissed:
            world.connect(root)
        elif dice < 0.002:
            world.kill_server()
        elif dice < 0.008:
            world.kill_root(root)
        elif dice < 0.012:
            world.lose_at_root(root)
        elif dice < 0.05:
            world.join(root)
        elif dice < 0.06:
            world.tick(choose.choice([0.5, 3.0, 11.0]))
        elif world.nodes and dice < 0.08:
            choose.choice([world.node_leaves, world.root_closes])(choose.choice(world.nodes))
        elif world.nodes and dice < 0.5:
            node = choose.choice(world.nodes)
            choose.choice([world.node_sends, world.root_sends])(node, choose.choice(sizes))
        elif world.nodes and dice < 0.6:
            world.node_reads(choose.choice(world.nodes))
        else:
            step = choose.choice(
                [
                    world.flush_root,
                    world.flush_server,
                    world.arrive_at_server,
                    world.arrive_at_root,
                    world.root_uses,
                ]
            )
            step(root)
        world.now += choose.random() * 0.02
        world.check()
    world.settle()
    world.check()
    return world
