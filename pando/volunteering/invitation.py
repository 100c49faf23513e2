"""An invitation: the link that a root has printed."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from ..errors import UsageError
from ..tree.membership import join_address


@dataclass(frozen=True)
class Invitation:
    """A link, taken apart.

    Attributes:
        address: ``HOST:PORT`` of the root.
        tls: whether the connection is encrypted.
        token: what stands behind the ``#``.
    """

    address: str
    tls: bool
    token: str

    @staticmethod
    def parse(link: str) -> Invitation:
        """The invitation of a link such as ``http://192.168.1.7:5000/#token``.

        Raises:
            UsageError: it is no such link.
        """
        mistake = UsageError(f"{link!r} is not a link such as http://192.168.1.7:5000/#token")
        try:
            parts = urlsplit(link if "//" in link else f"http://{link}")
            host, port = parts.hostname, parts.port
        except ValueError:
            raise mistake from None
        if parts.scheme not in ("http", "https") or not host:
            raise mistake
        tls = parts.scheme == "https"
        return Invitation(join_address(host, port or (443 if tls else 80)), tls, parts.fragment)
