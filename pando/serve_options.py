"""How a run lets volunteers in: the options, and every limit with its default."""

from __future__ import annotations

from dataclasses import dataclass, field

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


@dataclass(frozen=True)
class ServeOptions:
    """How a run lets volunteers in.

    Attributes:
        port: the port to serve on; 0 lets the operating system choose.
        any_port: whether the next free port will do.
        listen: the only address to listen on; all of them by default.
        open: whether everybody may join who has the address, without the token.
        public_url: the link's beginning, where a proxy stands in front.
        certfile: a certificate, for TLS.
        keyfile: its key, where it is not in the same file.
        degree: children of each node before it delegates.
        bootstrap_timeout: seconds a newcomer may take to connect.
        silence: seconds after which a silent volunteer is lost.
        reporting_interval: seconds between the volunteers' figures.
        seed: makes the identifiers of nodes repeatable.
        asker: who asks for help, as volunteers are told; this machine's user by default.
        network: whether the function may use the internet in browsers.
        wheels: a folder with packages for browsers, which are looked for there first.
        limits: what is let in at once.
    """

    port: int = PORT
    any_port: bool = True
    listen: str | None = None
    open: bool = False
    public_url: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    degree: int = DEGREE
    bootstrap_timeout: float = BOOTSTRAP_SECONDS
    silence: float = SILENCE_SECONDS
    reporting_interval: float = REPORTING_SECONDS
    seed: int | None = None
    asker: str | None = None
    network: bool = False
    wheels: str | None = None
    limits: Limits = field(default_factory=Limits)
