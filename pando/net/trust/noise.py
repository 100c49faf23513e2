"""The Noise protocol framework, revision 34: the two handshakes that Pando uses.

`NKpsk0` is for a node that joins for the first time: it knows the root's key. `KKpsk0` is for a
node that has a certificate: both ends know each other's key. Both have two messages and mix the
pre-shared key in first, so a cipher key is present before anything is encrypted.

Names follow the specification (https://noiseprotocol.org/noise.html, sections 5, 7 and 9).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from .errors import TrustError

KEY_BYTES = 32
TAG_BYTES = 16
"""What the authentication adds to each encrypted text."""
MAX_HANDSHAKE_BYTES = 65_535
"""The longest message of a handshake; the specification sets it."""
MAX_NONCE = 2**64 - 1
"""The specification reserves this one."""

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Pattern:
    """A handshake pattern: which static keys are known before, and the tokens of each message."""

    name: str
    initiator_is_known: bool
    messages: tuple[tuple[str, ...], ...]


NK = Pattern("NKpsk0", False, (("psk", "e", "es"), ("e", "ee")))
KK = Pattern("KKpsk0", True, (("psk", "e", "es", "ss"), ("e", "ee", "se")))


class CipherState:
    """A key, and a counter that makes each message's nonce."""

    def __init__(self, key: bytes) -> None:
        self._cipher = ChaCha20Poly1305(key)
        self._nonce = 0

    def encrypt(self, plaintext: Buffer, associated: bytes = b"") -> bytes:
        """Encrypt and authenticate the next text."""
        return self._cipher.encrypt(self._next_nonce(), plaintext, associated)

    def decrypt(self, ciphertext: Buffer, associated: bytes = b"") -> bytes:
        """Decrypt what `encrypt` has made at the other end, in the same order.

        Raises:
            TrustError: it is something else; nothing more can be decrypted then.
        """
        try:
            return self._cipher.decrypt(self._next_nonce(), ciphertext, associated)
        except InvalidTag:
            self._nonce = MAX_NONCE
            raise TrustError("what has come was changed on the way, or is out of order") from None

    def _next_nonce(self) -> bytes:
        if self._nonce >= MAX_NONCE:
            raise TrustError("this key is not used any more")
        nonce = bytes(4) + self._nonce.to_bytes(8, "little")
        self._nonce += 1
        return nonce


class HandshakeState:
    """One end of a handshake, without I/O: `write` and `read` its messages in turn.

    Args:
        pattern: `NK` or `KK`.
        is_initiator: which end this is.
        prologue: what both ends must have seen alike.
        psk: the pre-shared key, 32 bytes.
        static: this end's private key, where the pattern has one.
        remote_static: the other end's public key, where the pattern has one.
        ephemeral: this end's private ephemeral key; for tests only.
    """

    def __init__(
        self,
        pattern: Pattern,
        *,
        is_initiator: bool,
        prologue: bytes,
        psk: bytes,
        static: bytes | None = None,
        remote_static: bytes | None = None,
        ephemeral: bytes | None = None,
    ) -> None:
        self._is_initiator = is_initiator
        self._messages = list(pattern.messages)
        self._psk = psk
        self._static = None if static is None else X25519PrivateKey.from_private_bytes(static)
        self._remote_static = remote_static
        self._ephemeral = (
            X25519PrivateKey.generate()
            if ephemeral is None
            else X25519PrivateKey.from_private_bytes(ephemeral)
        )
        self._remote_ephemeral: bytes | None = None
        self._hash = self._chaining_key = hashlib.sha256(
            f"Noise_{pattern.name}_25519_ChaChaPoly_SHA256".encode()
        ).digest()
        self._cipher: CipherState | None = None
        self._mix_hash(prologue)
        own = b"" if self._static is None else self._static.public_key().public_bytes_raw()
        pair = [own, remote_static or b""] if is_initiator else [remote_static or b"", own]
        for public in pair if pattern.initiator_is_known else pair[1:]:
            if len(public) != KEY_BYTES:
                raise ValueError("this pattern needs a key that was not given")
            self._mix_hash(public)

    def write(self, payload: bytes) -> bytes:
        """The next message, with an encrypted payload."""
        message = b""
        for token in self._messages.pop(0):
            if token == "e":
                message = self._ephemeral.public_key().public_bytes_raw()
                self._mix_ephemeral(message)
            else:
                self._mix_token(token)
        message += self._encrypt_and_hash(payload)
        if len(message) > MAX_HANDSHAKE_BYTES:
            raise ValueError("the payload of the handshake is too long")
        return message

    def read(self, message: Buffer) -> bytes:
        """The payload of the other end's message.

        Raises:
            TrustError: the message was not made for this handshake.
        """
        message = bytes(message)
        if not KEY_BYTES + TAG_BYTES <= len(message) <= MAX_HANDSHAKE_BYTES:
            raise TrustError("a message of the handshake has a wrong length")
        for token in self._messages.pop(0):
            if token == "e":
                self._remote_ephemeral = message[:KEY_BYTES]
                self._mix_ephemeral(self._remote_ephemeral)
            else:
                self._mix_token(token)
        return self._decrypt_and_hash(message[KEY_BYTES:])

    def split(self) -> tuple[CipherState, CipherState]:
        """The ciphers of the channel, once both messages are through: to send, and to receive."""
        assert not self._messages, "the handshake is not complete"
        first, second = _derive(self._chaining_key, b"", 2)
        pair = CipherState(first), CipherState(second)
        return pair if self._is_initiator else (pair[1], pair[0])

    # ---- the specification's SymmetricState ----

    def _mix_hash(self, data: bytes) -> None:
        self._hash = hashlib.sha256(self._hash + data).digest()

    def _mix_key(self, material: bytes) -> None:
        self._chaining_key, key = _derive(self._chaining_key, material, 2)
        self._cipher = CipherState(key)

    def _mix_ephemeral(self, public: bytes) -> None:
        self._mix_hash(public)
        self._mix_key(public)  # as section 9.2 asks of handshakes with a pre-shared key

    def _mix_token(self, token: str) -> None:
        if token == "psk":
            self._chaining_key, mixed, key = _derive(self._chaining_key, self._psk, 3)
            self._mix_hash(mixed)
            self._cipher = CipherState(key)
            return
        own, remote = list(token if self._is_initiator else reversed(token))
        private = self._ephemeral if own == "e" else self._static
        public = self._remote_ephemeral if remote == "e" else self._remote_static
        assert private is not None
        assert public is not None
        self._mix_key(_exchange(private, public))

    def _encrypt_and_hash(self, plaintext: bytes) -> bytes:
        assert self._cipher is not None
        ciphertext = self._cipher.encrypt(plaintext, self._hash)
        self._mix_hash(ciphertext)
        return ciphertext

    def _decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        assert self._cipher is not None
        plaintext = self._cipher.decrypt(ciphertext, self._hash)
        self._mix_hash(ciphertext)
        return plaintext


def _exchange(private: X25519PrivateKey, public: bytes) -> bytes:
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise TrustError("a key of the handshake is none") from None


def _derive(chaining_key: bytes, material: bytes, count: int) -> list[bytes]:
    """The specification's HKDF (section 4.3)."""
    temporary = hmac.digest(chaining_key, material, "sha256")
    keys = [b""]
    for number in range(1, count + 1):
        keys.append(hmac.digest(temporary, keys[-1] + bytes([number]), "sha256"))
    return keys[1:]
