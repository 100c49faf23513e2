"""What a page sends to prove that it has the link, so that the secret itself is not sent."""

from __future__ import annotations

import hashlib
import secrets

import trio

from ..net.trust.key_store import HeldLink
from .endpoint import Endpoint


class PageProof:
    """Checks what pages send. The expected proof is made when the first of them comes.

    Args:
        endpoint: has the link.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._expected = ""
        self._making = trio.Lock()

    async def matches(self, proof: str) -> bool:
        """Return whether a page has the link; True where everybody may join."""
        link = self._endpoint.link
        if link is None:
            return True
        async with self._making:
            if not self._expected:
                self._expected = await trio.to_thread.run_sync(_prove_page, link)
        return secrets.compare_digest(proof.encode(), self._expected.encode())


def _prove_page(link: HeldLink) -> str:
    """Return what the page sends of a link: `frontend/src/page/proof.ts` is its twin."""
    from ..net.trust.keys import derive_link_psk

    psk = derive_link_psk(link.secret, link.keys.fingerprint)
    return hashlib.sha256(b"Pando page\0" + psk).hexdigest()
