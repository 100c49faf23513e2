"""The limits of a run, with their defaults; see `docs/security.md`."""

from __future__ import annotations

from dataclasses import dataclass

PORT = 5000
MAX_VALUE_BYTES = 10**9
"""The largest value that a native node takes from another, encoded."""
DEGREE = 10
"""Maximum children of a node; it redirects further volunteers to its children."""
BOOTSTRAP_SECONDS = 60.0
"""Seconds a joining volunteer may take to connect."""
HEARTBEAT_TIMEOUT_SECONDS = 10.0
"""Seconds without any message after which the peer counts as lost."""
REPORTING_SECONDS = 3.0
"""Seconds between two reports of a volunteer."""
MAX_CONNECTIONS = 8192
"""Maximum concurrent connections."""
MAX_CONNECTIONS_PER_ADDRESS = 4096
"""Maximum concurrent connections from one address; a household or a lab may share one."""
MAX_DOWNLOADS_PER_ADDRESS = 8
"""Maximum concurrent downloads of one address; others wait for their turn."""
RESERVED_FILES = 256
"""File descriptors that connections leave to the run itself, if the limit allows."""
HEAD_SECONDS = 10.0
"""Seconds a client may take for its request header, and for the TLS handshake before it."""
PAGE_SECONDS = 60.0
"""Seconds a client of the pages may be silent."""


@dataclass(frozen=True)
class Limits:
    """The limits on connections; see `docs/security.md`.

    Attributes:
        connections: maximum concurrent connections.
        connections_per_address: maximum concurrent connections from one address.
        head_seconds: seconds a client may take to send its request header.
        page_seconds: seconds a client of the pages may be silent.
    """

    connections: int = MAX_CONNECTIONS
    connections_per_address: int = MAX_CONNECTIONS_PER_ADDRESS
    head_seconds: float = HEAD_SECONDS
    page_seconds: float = PAGE_SECONDS


MAX_PROCESSES = 4096
"""Worker processes on one machine."""
MAX_DEGREE = 10_000
"""Children of a node."""
MAX_BATCH_LIMIT = 1_000_000
"""Items in a batch, where the user chose how many."""
MAX_INPUT_WINDOW = 100_000_000
"""Items that may be read ahead, where the user chose how many."""
LEAST_SECONDS = 0.01
"""The shortest interval that can be chosen."""
MOST_SECONDS = 1e9
"""The longest interval, or time limit, that can be chosen."""
MAX_REQUIREMENTS = 1000
"""What a function may need installed."""
