"""Certificates: the root says that an identifier belongs to a node's key, until some time.

The layout is fixed: version (1 byte), identifier (8), public key (32), expiry in seconds since 1970
(8, big-endian), and the root's signature over all of that (64).
"""

from __future__ import annotations

from dataclasses import dataclass

from ...messages import ID_BYTES
from .errors import TrustError
from .keys import SIGNATURE_BYTES, RootKeys, is_signed
from .noise import KEY_BYTES

VERSION = 1
SIGNED_BYTES = 1 + ID_BYTES + KEY_BYTES + 8
CERTIFICATE_BYTES = SIGNED_BYTES + SIGNATURE_BYTES
LIFETIME_SECONDS = 30 * 24 * 3600
"""As long as a link lasts unused. The root renews a certificate whenever its node comes back."""
DOMAIN = b"certificate"


@dataclass(frozen=True)
class Certificate:
    """What the root has certified.

    Attributes:
        identifier: the node.
        key: its public key for handshakes.
        expiry: the last second in which it is good, since 1970.
        encoded: the certificate as it is sent.
    """

    identifier: bytes
    key: bytes
    expiry: int
    encoded: bytes

    @staticmethod
    def issue(root: RootKeys, identifier: bytes, key: bytes, expiry: int) -> Certificate:
        """Certify a node's key."""
        if len(identifier) != ID_BYTES or len(key) != KEY_BYTES:
            raise ValueError("an identifier or a key has the wrong length")
        signed = bytes([VERSION]) + identifier + key + expiry.to_bytes(8, "big")
        return Certificate(identifier, key, expiry, signed + root.sign(DOMAIN, signed))

    @staticmethod
    def read(data: bytes, signing_key: bytes) -> Certificate:
        """A certificate that this root has signed; it may have expired.

        Raises:
            TrustError: it is not one, or the root has not signed it.
        """
        if len(data) != CERTIFICATE_BYTES or data[0] != VERSION:
            raise TrustError("the certificate is none")
        signed, signature = data[:SIGNED_BYTES], data[SIGNED_BYTES:]
        if not is_signed(signing_key, DOMAIN, signed, signature):
            raise TrustError("the root has not signed the certificate")
        key_at = 1 + ID_BYTES
        expiry = int.from_bytes(signed[key_at + KEY_BYTES :], "big")
        return Certificate(signed[1:key_at], signed[key_at : key_at + KEY_BYTES], expiry, data)

    def check_time(self, now: float) -> None:
        """See that it is still good.

        Raises:
            TrustError: it has expired.
        """
        if now > self.expiry:
            raise TrustError("the certificate has expired, or the clock of this device is wrong")
