"""The address of a server, as ``--host`` takes it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from ...errors import UsageError
from ...limits import PORT
from ..addresses import is_host, is_loopback, join_address

LOCAL_ENDINGS = (".local", ".localhost", ".lan", ".internal", ".home.arpa", ".test")
"""Of names that are not public."""


@dataclass(frozen=True)
class ServerAddress:
    """Where a server is.

    Attributes:
        host: a name or an address.
        tls: whether it speaks https.
    """

    host: str
    port: int
    tls: bool

    @staticmethod
    def parse(text: str) -> ServerAddress:
        """Read an address.

        A URL is taken as it is; ``HOST:PORT`` is http; a name alone is https where it is public,
        else http on Pando's own port.

        Raises:
            UsageError: it is none of these.
        """
        is_url = "://" in text
        given = text.strip() if is_url else text.strip().rstrip("/")
        mistake = UsageError(
            "--host takes a host such as pando.example.org or localhost:5000, or a URL, "
            f"not {text!r}"
        )
        if not is_url and _is_ipv6(given):
            given = f"[{given}]"
        try:
            parts = urlsplit(given if is_url else f"//{given}")
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise mistake from None
        extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
        if (is_url and parts.scheme not in ("http", "https")) or extra or not is_host(host):
            raise mistake
        if is_url:
            tls = parts.scheme == "https"
            return ServerAddress(host, port or (443 if tls else 80), tls)
        if port is not None:
            return ServerAddress(host, port, tls=False)
        return (
            ServerAddress(host, 443, tls=True)
            if _is_public(host)
            else ServerAddress(host, PORT, tls=False)
        )

    @property
    def address(self) -> str:
        """``HOST:PORT``."""
        return join_address(self.host, self.port)

    @property
    def url(self) -> str:
        """As a browser opens it, without a slash at its end."""
        usual = 443 if self.tls else 80
        host = f"[{self.host}]" if ":" in self.host else self.host
        where = host if self.port == usual else self.address
        return f"{'https' if self.tls else 'http'}://{where}"

    @property
    def is_this_machine(self) -> bool:
        """Whether the address is this machine's own."""
        return self.host == "localhost" or is_loopback(self.host)


def _is_public(host: str) -> bool:
    """Whether this is a name that anybody on the internet may know."""
    name = host.lower().rstrip(".")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." in name and not name.endswith(LOCAL_ENDINGS)
    return False


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False
