"""How a run lets volunteers in."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..limits import (
    BOOTSTRAP_SECONDS,
    DEGREE,
    PORT,
    REPORTING_SECONDS,
    SILENCE_SECONDS,
    Limits,
)


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
