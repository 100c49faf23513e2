"""The channel after the handshake: each message encrypted and authenticated, or left open."""

from __future__ import annotations

from ...messages import MAX_MESSAGE_BYTES
from .errors import TrustError
from .noise import TAG_BYTES, Buffer, CipherState

MAX_SEALED_BYTES = MAX_MESSAGE_BYTES + TAG_BYTES
"""The longest encrypted message.

Noise's own messages end at 65,535 bytes, so that small buffers are enough. Here one message of the
channel is one encryption, whatever its length: it is authentic as a whole or not at all, nothing
can be cut off at the seam of two parts, and nothing is copied to join them. ChaCha20-Poly1305
itself allows 256 GiB for each nonce.
"""


class Transport:
    """Encrypts what is sent and decrypts what comes, in order.

    The nonces are counters: a message that is changed, repeated, left out or out of order ends the
    channel.

    Args:
        ciphers: to send and to receive, from the handshake; None leaves the messages as they are.
    """

    def __init__(self, ciphers: tuple[CipherState, CipherState] | None) -> None:
        self._ciphers = ciphers

    @property
    def is_encrypted(self) -> bool:
        """Whether messages are encrypted; otherwise something else must protect the channel."""
        return self._ciphers is not None

    def encrypt(self, message: Buffer) -> Buffer:
        """What to send for a message.

        Raises:
            ValueError: it is longer than any message may be.
        """
        if len(message) > MAX_MESSAGE_BYTES:
            raise ValueError("the message is too long")
        return message if self._ciphers is None else self._ciphers[0].encrypt(message)

    def decrypt(self, data: Buffer) -> Buffer:
        """The message that the other end has sent.

        Raises:
            TrustError: it has not sent this, or not now. The channel must be closed.
        """
        if self._ciphers is None:
            return data
        if len(data) > MAX_SEALED_BYTES:
            raise TrustError("an encrypted message is too long")
        return self._ciphers[1].decrypt(data)
