"""The handshake of a node that joins, without I/O, over messages of a channel.

The end that was connected to, the responder, speaks first, right after the channel is open, so that
joining costs no round trip more than without a handshake::

    responder   hello      its keys, or its certificate, and 16 random bytes
    initiator   request    [its certificate] and the first Noise message: its key, its payload
    responder   reply      the second Noise message: the certificate that it issues, its payload
                           or a refusal: a signature and a sentence

**What is proved.** A root shows its public keys, and the fingerprint in the link proves that they
are the root's; only who has the private key can read the request and make the reply. The secret of
the link is the pre-shared key: it is never sent, and a request that was made without it cannot be
read. The hello's random bytes are in the prologue, so no request can be used twice. The prologue
holds all that is sent in clear: who changes a byte of it ends the handshake.

**Below the root** both ends have a certificate, signed by the root, and know who the other must be:
the initiator was told its parent's identifier, the parent looks the ticket up by the initiator's.
So both static keys are known before the first Noise message, which is the pattern KK; its ``es``
and ``ee`` prove the responder's key, ``ss`` and ``se`` the initiator's, and the ticket is the
pre-shared key. The certificates are sent in clear and authenticated by the prologue; they tell
nothing but an identifier and a key. A node that comes back to the root uses KK as well, with the
link's secret: so an identifier is what is certified, not what somebody says.

**Over WebRTC** the prologue holds the fingerprints of both DTLS certificates as well. Offer and
answer pass through a server, or through inner nodes, which could put certificates of their own
into them: then the two ends see different ones, and the handshake fails.

**Afterwards** the channel is encrypted, unless the initiator has asked to leave it open (a page,
which http cannot protect and https does protect) and the responder allows that. Both the wish and
the answer are inside the encrypted payloads, so that nobody in between can ask.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from ... import messages
from .certificate import CERTIFICATE_BYTES
from .errors import TrustError
from .noise import KEY_BYTES

VERSION = messages.VERSION
"""Of the protocol; 2 was the first with a handshake."""
CHALLENGE_BYTES = 16
UPDATE = b"update Pando on this device: this run speaks a newer version of the protocol"
MAGIC = b"\x94\xa6denied\xd9" + bytes([len(UPDATE)]) + UPDATE
"""How a hello begins: as a message in which version 1 reads that it is denied, and why."""
MAX_REASON_BYTES = 1000
REFUSAL_DOMAIN = b"refusal"

ROOT, OPEN_ROOT, NODE = 0, 1, 2
"""Kinds of responders: one that wants a link, one that lets everybody join, one with a parent."""
WITH_SECRET, WITH_CERTIFICATE = 1, 2
"""Bits of a request's mode."""
LEAVE_OPEN, HAS_CERTIFICATE = 1, 2
"""Bits of a payload's flags."""
ACCEPTED, REFUSED = 0, 1
"""What a reply begins with."""

Clock = Callable[[], float]


def read_hello(hello: bytes) -> tuple[int, bytes]:
    """The kind of a responder, and what it shows of itself."""
    version, shown = hello[len(MAGIC) : len(MAGIC) + 1], hello[len(MAGIC) + 1 :]
    if not hello.startswith(MAGIC) or not version:
        raise TrustError("the other end does not speak as a node does")
    if version[0] != VERSION:
        raise TrustError(describe_version(version[0]))
    kind = shown[2] if len(shown) > 2 else ROOT
    body_bytes = CERTIFICATE_BYTES if kind == NODE else 2 * KEY_BYTES
    if len(shown) != 3 + CHALLENGE_BYTES + body_bytes or shown[:2] != _bytes_head(body_bytes):
        raise TrustError("the other end does not speak as a node does")
    return kind, shown[3 + CHALLENGE_BYTES :]


def make_hello(kind: int, challenge: bytes, body: bytes) -> bytes:
    """What `read_hello` reads."""
    return MAGIC + bytes([VERSION]) + _bytes_head(len(body)) + bytes([kind]) + challenge + body


def _bytes_head(body_bytes: int) -> bytes:
    """How MessagePack begins bytes of this length, with kind and challenge before them."""
    return bytes([0xC4, 1 + CHALLENGE_BYTES + body_bytes])


def describe_version(version: int) -> str:
    """Say that the other end speaks another version, and which end to update."""
    return (
        f"this end speaks version {VERSION} of the protocol and the other end version {version}: "
        "the older Pando should be updated"
    )


def make_prologue(hello: bytes, head: bytes, binding: bytes = b"") -> bytes:
    """All that is sent in clear, and what the channel is bound to; lengths keep them apart."""
    bound = b"" if not binding else b"\0bound to" + len(binding).to_bytes(2, "big") + binding
    return b"Pando handshake\0" + len(hello).to_bytes(2, "big") + hello + head + bound


def refused_bytes(transcript: bytes, text: bytes) -> bytes:
    """What the signature of a refusal covers."""
    return hashlib.sha256(transcript).digest() + text
