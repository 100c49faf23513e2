"""An invitation: the link that a root has printed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..errors import UsageError
from ..net.addresses import join_address


@dataclass(frozen=True)
class Invitation:
    """A link, taken apart.

    Attributes:
        address: ``HOST:PORT`` of the root.
        tls: whether the connection is encrypted.
        token: what stands behind the ``#``, before anything that is meant for a page.
    """

    address: str
    tls: bool
    token: str

    @staticmethod
    def parse(link: str) -> Invitation:
        """The invitation of a link such as ``http://192.168.1.7:5000/#token``.

        Behind the token, links may have words for pages, such as ``;start;device=NAME``.

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
        words = re.split("[;&]", parts.fragment)
        token = next((w for w in words if w and "=" not in w and w != "start"), "")
        return Invitation(join_address(host, port or (443 if tls else 80)), tls, token)
