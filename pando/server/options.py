"""How a server is run."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ..errors import UsageError
from ..limits import PORT, Limits
from ..net.tls import server_context
from .limits import ServerLimits
from .policy import Network


@dataclass(frozen=True)
class ServerOptions:
    """What a server is told.

    Attributes:
        port: the port; 0 lets the operating system choose.
        listen: the only address to listen on.
        secret: what runs must know; None admits only its own user's on its own machine.
        public_url: where others reach it, such as ``https://pando.example.org``.
        certfile, keyfile: for TLS.
        proxies: networks whose `X-Forwarded-For` is believed.
        log_addresses: whether addresses are logged.
        stun_port: the UDP port on which STUN is answered; None for that of `port`, 0 for none.
    """

    port: int = PORT
    listen: str | None = None
    secret: str | None = field(default=None, repr=False)
    public_url: str = ""
    certfile: str | None = None
    keyfile: str | None = None
    proxies: tuple[Network, ...] = ()
    log_addresses: bool = False
    stun_port: int | None = None
    limits: ServerLimits = field(default_factory=ServerLimits)
    connection_limits: Limits = field(default_factory=Limits)

    @property
    def public_host(self) -> str | None:
        """The host and port of the public address.

        Raises:
            UsageError: it is not an address that browsers open.
        """
        if not self.public_url:
            return None
        try:
            parts = urlsplit(self.public_url)
            _ = parts.port
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise UsageError(
                f"--public-url takes an address such as https://pando.example.org, "
                f"not {self.public_url!r}"
            )
        return parts.netloc.lower().rpartition("@")[2]

    @property
    def is_for_others(self) -> bool:
        """Whether others come through a proxy, so that no address tells whose a request is."""
        return bool(self.public_url or self.proxies)

    def tls_context(self) -> ssl.SSLContext | None:
        """The context for TLS, where there is a certificate.

        Raises:
            UsageError: it is none, or its key is missing.
        """
        if self.certfile is None:
            if self.keyfile is not None:
                raise UsageError("--keyfile needs --certfile")
            return None
        return server_context(self.certfile, self.keyfile)
