"""The links of a server: by which volunteers join, and where the pages are."""

from __future__ import annotations

from ..net.addresses import join_address, own_addresses
from ..net.tls import CERTIFICATE, own_fingerprint
from ..net.trust.join_link import format_credentials
from ..net.trust.key_store import HeldLink
from .serve_options import ServeOptions


class ServerLinks:
    """Forms the links of a server.

    Args:
        options: see `ServeOptions`.
    """

    def __init__(self, options: ServeOptions) -> None:
        self._options = options
        self._certificate = own_fingerprint(options.certfile) if options.certfile else ""

    def beginning(self, host: str) -> str:
        """Return a link without its fragment, for clients that reach the server as `host`."""
        if self._options.public_url:
            return f"{self._options.public_url.rstrip('/')}/"
        return f"{'http' if self._options.certfile is None else 'https'}://{host}/"

    def here(self, port: int) -> str:
        """Return a link without its fragment, for this machine."""
        return self.beginning(join_address("localhost", port))

    def direct(self, port: int, link: HeldLink | None) -> list[str]:
        """Return the links to a port of this machine, one for each address.

        Args:
            port: the port.
            link: what the links stand for; None where everybody may join.
        """
        words = [] if link is None else [format_credentials(link.keys.fingerprint, link.secret)]
        if self._certificate:
            words.append(f"{CERTIFICATE}{self._certificate}")
        fragment = f"#{';'.join(words)}" if words else ""
        if self._options.public_url:
            return [self.beginning("") + fragment]
        return [
            self.beginning(join_address(host, port)) + fragment for host in self._hosts_in_links()
        ]

    def _hosts_in_links(self) -> list[str]:
        options = self._options
        if options.is_local:
            return ["localhost"]
        if options.link_host:
            return [options.link_host]
        if options.listen and options.listen not in ("0.0.0.0", "::"):
            return [options.listen]
        return own_addresses() or ["localhost"]
