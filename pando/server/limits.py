"""Every limit that a server keeps to, with its default; see `docs/server.md`."""

from __future__ import annotations

from dataclasses import dataclass

MAX_ROOMS = 100
"""Runs at once."""
MAX_NODES_PER_ROOM = 2000
"""Relayed nodes at once of one run."""
MAX_NODES = 4000
"""Relayed nodes at once of all runs; each may have some 400 KB under way here."""
MAX_NODES_PER_ADDRESS = 1000
"""Relayed nodes at once from one address; a household or a lab may share one."""
ROOM_BYTES_PER_SECOND = 32 * 1024 * 1024
"""Bytes that are relayed for one run each second, both directions together."""
IDLE_ROOM_SECONDS = 24 * 3600.0
"""How long a run may be registered without a single relayed node."""
IDLE_PAUSE_SECONDS = 600
"""When a run may come back that was idle for too long."""
RESTART_PAUSE_SECONDS = 1
"""When runs and nodes come back to a server that is being restarted."""
NODE_SILENCE_SECONDS = 30.0
"""How long a relayed node may send nothing."""
SEND_SECONDS = 30.0
"""How long the other end may take to read what is sent."""
PROOF_SECONDS = 10.0
"""How long a run may take to prove that it may register, and a node to open its WebSocket."""
MAX_TRIES = 5
TRY_SECONDS = 60.0
"""Wrong secrets from one address within this time; then it has to wait."""
MAX_REMEMBERED = 1000
"""Runs whose end is remembered, so that their volunteers can be told of it."""
REMEMBERED_SECONDS = 24 * 3600.0
STUN_ANSWERS = 2000
STUN_ANSWERS_PER_ADDRESS = 100
"""Answers to STUN requests a second, in all and to one address."""


@dataclass(frozen=True)
class ServerLimits:
    """How much a server lets in at once; see `docs/server.md`."""

    rooms: int = MAX_ROOMS
    nodes_per_room: int = MAX_NODES_PER_ROOM
    nodes: int = MAX_NODES
    nodes_per_address: int = MAX_NODES_PER_ADDRESS
    bytes_per_second: int = ROOM_BYTES_PER_SECOND
    idle_seconds: float = IDLE_ROOM_SECONDS
