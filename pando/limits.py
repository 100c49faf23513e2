"""Every limit that a run keeps to, with its default; see `docs/security.md`."""

from __future__ import annotations

from dataclasses import dataclass

PORT = 5000
DEGREE = 10
"""Children that a node has before it delegates."""
BOOTSTRAP_SECONDS = 60.0
"""How long a newcomer may take to connect."""
SILENCE_SECONDS = 10.0
"""Seconds without a sign of life after which the other end counts as dead."""
REPORTING_SECONDS = 3.0
"""Seconds between a volunteer's figures."""
MAX_CONNECTIONS = 8192
"""Connections at once, in all."""
MAX_CONNECTIONS_PER_ADDRESS = 4096
"""Connections at once from one address; a household or a lab may share one."""
HEAD_SECONDS = 10.0
"""How long a client may take to send the head of its request, and TLS's handshake before it."""
PAGE_SECONDS = 60.0
"""How long a client of the pages may be silent."""


@dataclass(frozen=True)
class Limits:
    """What the door lets in at once; see `docs/security.md`."""

    connections: int = MAX_CONNECTIONS
    connections_per_address: int = MAX_CONNECTIONS_PER_ADDRESS
    head_seconds: float = HEAD_SECONDS
    page_seconds: float = PAGE_SECONDS
