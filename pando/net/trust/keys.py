"""The keys of roots and nodes, what they sign, and what is derived from secrets.

A root has two key pairs: X25519 for handshakes, Ed25519 to sign. Each other node has one for
handshakes. Each signature and each derived key has a domain of its own, so that none can be taken
for another.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from functools import cached_property

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from .join_link import FINGERPRINT_BYTES, LinkSecret
from .noise import KEY_BYTES

SIGNATURE_BYTES = 64
SCRYPT_COST = 2**15
"""Memory cost of deriving a key from a secret that a person has chosen: 32 MB, some 0.1 s."""
NO_SECRET = hashlib.sha256(b"Pando no secret\0").digest()
"""The pre-shared key where none is needed."""


@dataclass(frozen=True)
class NodeKey:
    """A node's key pair for handshakes; `private` is 32 bytes."""

    private: bytes

    @staticmethod
    def generate() -> NodeKey:
        return NodeKey(secrets.token_bytes(KEY_BYTES))

    @cached_property
    def public(self) -> bytes:
        key = X25519PrivateKey.from_private_bytes(self.private)
        return key.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return "NodeKey(…)"


@dataclass(frozen=True)
class RootPublicKeys:
    """What a root shows of its keys."""

    exchange: bytes
    signing: bytes

    @property
    def fingerprint(self) -> bytes:
        """128 bits that stand for the two keys in a link."""
        digest = hashlib.sha256(b"Pando root keys\0" + self.exchange + self.signing).digest()
        return digest[:FINGERPRINT_BYTES]


@dataclass(frozen=True)
class RootKeys:
    """A root's private keys, 32 bytes each."""

    exchange: bytes
    signing: bytes

    @staticmethod
    def generate() -> RootKeys:
        return RootKeys(secrets.token_bytes(KEY_BYTES), secrets.token_bytes(KEY_BYTES))

    @cached_property
    def public(self) -> RootPublicKeys:
        signing = Ed25519PrivateKey.from_private_bytes(self.signing).public_key()
        return RootPublicKeys(NodeKey(self.exchange).public, signing.public_bytes_raw())

    def sign(self, domain: bytes, data: bytes) -> bytes:
        """Sign data for one purpose, which the domain names."""
        return Ed25519PrivateKey.from_private_bytes(self.signing).sign(_signed(domain, data))

    def __repr__(self) -> str:
        return "RootKeys(…)"


def is_signed(signing_key: bytes, domain: bytes, data: bytes, signature: bytes) -> bool:
    """Whether a root has signed this data for this purpose."""
    try:
        key = Ed25519PublicKey.from_public_bytes(signing_key)
        key.verify(signature, _signed(domain, data))
    except (InvalidSignature, ValueError):
        return False
    return True


def _signed(domain: bytes, data: bytes) -> bytes:
    return b"Pando " + domain + b"\0" + data


def derive_link_psk(secret: LinkSecret, fingerprint: bytes) -> bytes:
    """The pre-shared key of a link's secret.

    A handshake tells nobody but the root's own key whether a guess was right, so secrets can only
    be guessed by asking the root. One that a person has chosen is made slow to guess even there.
    """
    if secret.is_chosen:
        derivation = Scrypt(fingerprint, KEY_BYTES, n=SCRYPT_COST, r=8, p=1)
        return derivation.derive(b"Pando chosen secret\0" + secret.value)
    return _derive(secret.value, fingerprint, b"Pando link secret\0")


def derive_ticket_psk(ticket: bytes) -> bytes:
    """The pre-shared key of a ticket for a place below the root."""
    return _derive(ticket, b"", b"Pando ticket\0")


def _derive(material: bytes, salt: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=salt, info=purpose).derive(material)
