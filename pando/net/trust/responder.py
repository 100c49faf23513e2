"""The end of a handshake that was connected to."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from ...messages import ID_BYTES
from .certificate import CERTIFICATE_BYTES, Certificate
from .errors import LINK_ENDED, HandshakeFailedError, TrustError
from .handshake import (
    ACCEPTED,
    CHALLENGE_BYTES,
    HAS_CERTIFICATE,
    LEAVE_OPEN,
    MAX_REASON_BYTES,
    NODE,
    OPEN_ROOT,
    REFUSAL_DOMAIN,
    REFUSED,
    ROOT,
    VERSION,
    WITH_CERTIFICATE,
    WITH_SECRET,
    Clock,
    describe_version,
    make_hello,
    make_prologue,
    refused_bytes,
)
from .keys import NO_SECRET, SIGNATURE_BYTES, NodeKey, RootKeys
from .noise import KEY_BYTES, KK, NK, Buffer, HandshakeState
from .transport import Transport


@dataclass(frozen=True)
class Request:
    """What a responder knows of who has connected, once its request has been read.

    Attributes:
        payload: what it has sent, encrypted, with the request.
        key: its public key: to be certified, or certified.
        certificate: what it has proved to be; None where it joins for the first time.
        has_secret: whether it knows the secret; otherwise it was let in without.
        asks_open: whether it asks that messages are not encrypted.
    """

    payload: bytes
    key: bytes
    certificate: Certificate | None
    has_secret: bool
    asks_open: bool


class Responder:
    """The end that was connected to: send `hello`, `receive`, then `accept` or `refuse`.

    Use `for_root` or `for_node` to make one for each connection.
    """

    def __init__(
        self,
        kind: int,
        body: bytes,
        key: bytes,
        find_psk: Callable[[Certificate | None, bool], bytes | None],
        signing_key: bytes,
        root: RootKeys | None,
        clock: Clock,
        challenge: bytes | None,
        ephemeral: bytes | None,
        binding: bytes,
    ) -> None:
        challenge = secrets.token_bytes(CHALLENGE_BYTES) if challenge is None else challenge
        self.hello = make_hello(kind, challenge, body)
        self._key = key
        self._find_psk = find_psk
        self._signing_key = signing_key
        self._root = root
        self._clock = clock
        self._ephemeral = ephemeral
        self._binding = binding
        self._transcript = self.hello
        self._noise: HandshakeState | None = None

    @staticmethod
    def for_root(
        keys: RootKeys,
        psk: bytes | None,
        *,
        without_secret: bool = False,
        binding: bytes = b"",
        clock: Clock = time.time,
        challenge: bytes | None = None,
        ephemeral: bytes | None = None,
    ) -> Responder:
        """A root's end.

        Args:
            keys: the root's.
            psk: of the link's secret; None where everybody may join.
            without_secret: let this connection join without the secret: it is the same user's.
            binding: what protects the channel, as both ends must see it; may be empty.
            clock: gives the time in seconds since 1970.
            challenge: the hello's random bytes; for tests only.
            ephemeral: a private key for this handshake; for tests only.
        """

        def find_psk(certificate: Certificate | None, has_secret: bool) -> bytes | None:
            if has_secret:
                return psk
            return NO_SECRET if without_secret or psk is None else None

        kind = OPEN_ROOT if psk is None else ROOT
        public = keys.public
        return Responder(
            kind,
            public.exchange + public.signing,
            keys.exchange,
            find_psk,
            public.signing,
            keys,
            clock,
            challenge,
            ephemeral,
            binding,
        )

    @staticmethod
    def for_node(
        key: NodeKey,
        certificate: Certificate,
        root_signing_key: bytes,
        find_psk: Callable[[bytes], bytes | None],
        *,
        binding: bytes = b"",
        clock: Clock = time.time,
        challenge: bytes | None = None,
        ephemeral: bytes | None = None,
    ) -> Responder:
        """The end of a node that has a parent.

        Args:
            key: this node's.
            certificate: this node's.
            root_signing_key: what the root of the run signs with.
            find_psk: the pre-shared key of the ticket for the node with an identifier; None where
                no place is kept for it.
            binding: what protects the channel, as both ends must see it; may be empty.
            clock: gives the time in seconds since 1970.
            challenge: the hello's random bytes; for tests only.
            ephemeral: a private key for this handshake; for tests only.
        """

        def find(theirs: Certificate | None, has_secret: bool) -> bytes | None:
            return find_psk(theirs.identifier) if theirs is not None and has_secret else None

        return Responder(
            NODE,
            certificate.encoded,
            key.private,
            find,
            root_signing_key,
            None,
            clock,
            challenge,
            ephemeral,
            binding,
        )

    def receive(self, data: Buffer) -> Request:
        """What the initiator has proved and sent.

        Raises:
            HandshakeFailedError: it has not proved what it must.
        """
        assert self._noise is None, "a request comes once"
        self._transcript = self.hello + bytes(data)
        try:
            return self._read_request(bytes(data))
        except TrustError as error:
            raise HandshakeFailedError(str(error), self.refuse(str(error))) from None

    def _read_request(self, request: bytes) -> Request:
        if len(request) < 2:
            raise TrustError("the request is none")
        if request[0] != VERSION:
            # Version 1 begins with a MessagePack array.
            raise TrustError(describe_version(1 if request[0] >= 0x80 else request[0]))
        mode = request[1]
        if mode & ~(WITH_SECRET | WITH_CERTIFICATE):
            raise TrustError("the request is none")
        head_bytes = 2 + (CERTIFICATE_BYTES if mode & WITH_CERTIFICATE else 0)
        head, message = request[:head_bytes], request[head_bytes:]
        certificate = self._read_certificate(head[2:]) if mode & WITH_CERTIFICATE else None
        has_secret = bool(mode & WITH_SECRET)
        psk = self._find_psk(certificate, has_secret)
        if psk is None:
            raise TrustError(self._why_not(has_secret))
        noise = HandshakeState(
            NK if certificate is None else KK,
            is_initiator=False,
            prologue=make_prologue(self.hello, head, self._binding),
            psk=psk,
            static=self._key,
            remote_static=None if certificate is None else certificate.key,
            ephemeral=self._ephemeral,
        )
        try:
            payload = noise.read(message)
        except TrustError:
            raise TrustError(self._why_not(has_secret)) from None
        key_bytes = KEY_BYTES if certificate is None else 0
        if len(payload) < 1 + key_bytes:
            raise TrustError("the request is none")
        key = payload[1 : 1 + key_bytes] if certificate is None else certificate.key
        self._noise = noise
        asks_open = bool(payload[0] & LEAVE_OPEN)
        return Request(payload[1 + key_bytes :], key, certificate, has_secret, asks_open)

    def _read_certificate(self, data: bytes) -> Certificate:
        # Whether a place is kept costs less to find out than whether the root has signed.
        identifier = data[1 : 1 + ID_BYTES]
        unread = Certificate(identifier, b"", 0, data)
        if self._root is None and self._find_psk(unread, True) is None:
            raise TrustError(self._why_not(True))
        certificate = Certificate.read(data, self._signing_key)
        if self._root is None:  # the root renews those that have expired
            certificate.check_time(self._clock())
        return certificate

    def _why_not(self, has_secret: bool) -> str:
        if self._root is None:
            return "this ticket is not, or no longer, good for a place here"
        if not has_secret:
            return "the link is not complete: what follows its # sign is needed to join"
        return LINK_ENDED

    def accept(
        self,
        payload: bytes = b"",
        *,
        certificate: Certificate | None = None,
        leave_open: bool = False,
    ) -> tuple[bytes, Transport]:
        """The reply, and what protects the messages from now on.

        Args:
            payload: what the initiator is told, encrypted, with the reply.
            certificate: what the root certifies.
            leave_open: do not encrypt; only where the initiator asks for that.
        """
        assert self._noise is not None, "the request comes first"
        flags = leave_open and LEAVE_OPEN
        shown = b""
        if certificate is not None:
            flags, shown = flags | HAS_CERTIFICATE, certificate.encoded
        reply = bytes([ACCEPTED]) + self._noise.write(bytes([flags]) + shown + payload)
        return reply, Transport(None if leave_open else self._noise.split())

    def refuse(self, reason: str) -> bytes:
        """The reply that refuses; a root signs it, for this request alone."""
        text = reason.encode()[:MAX_REASON_BYTES]
        signature = bytes(SIGNATURE_BYTES)
        if self._root is not None:
            signature = self._root.sign(REFUSAL_DOMAIN, refused_bytes(self._transcript, text))
        return bytes([REFUSED]) + signature + text
