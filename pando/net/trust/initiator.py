"""The end of a handshake that connects."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Protocol

from ...errors import one_line
from .certificate import CERTIFICATE_BYTES, Certificate
from .errors import JoinRefusedError, TrustError
from .handshake import (
    ACCEPTED,
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
    make_prologue,
    read_hello,
    refused_bytes,
)
from .keys import NO_SECRET, SIGNATURE_BYTES, NodeKey, RootPublicKeys, is_signed
from .noise import KEY_BYTES, KK, NK, Buffer, HandshakeState
from .transport import Transport


class Responds(Protocol):
    """Who an initiator connects to; `check` takes the body of its hello."""

    def check(self, kind: int, body: bytes, now: float) -> tuple[bytes, bytes]:
        """See that it is the one that is meant; its exchange key, and the key that it signs with.

        Raises:
            TrustError: it is not.
        """


@dataclass(frozen=True)
class LinkedRoot:
    """The root whose keys have this fingerprint; None takes any root, and proves nothing."""

    fingerprint: bytes | None

    def check(self, kind: int, body: bytes, now: float) -> tuple[bytes, bytes]:
        if kind not in (ROOT, OPEN_ROOT):
            raise TrustError("this is a node of a run, not its root")
        keys = RootPublicKeys(body[:KEY_BYTES], body[KEY_BYTES:])
        if self.fingerprint is not None:
            if not secrets.compare_digest(keys.fingerprint, self.fingerprint):
                raise TrustError("this is another run than the one whose link this is")
            if kind == OPEN_ROOT:
                raise TrustError("this run lets everybody join, and does not prove its link")
        return keys.exchange, keys.signing


@dataclass(frozen=True)
class CertifiedNode:
    """The node that a root has certified under this identifier."""

    identifier: bytes
    root_signing_key: bytes

    def check(self, kind: int, body: bytes, now: float) -> tuple[bytes, bytes]:
        if kind != NODE:
            raise TrustError("this is a root, not the node that was meant")
        certificate = Certificate.read(body, self.root_signing_key)
        certificate.check_time(now)
        if certificate.identifier != self.identifier:
            raise TrustError("this is another node than the one that was meant")
        return certificate.key, b""


@dataclass(frozen=True)
class Session:
    """What an initiator has when the handshake is through.

    Attributes:
        transport: protects the messages from now on.
        payload: what the responder has sent with its reply.
        certificate: what the root has certified, where it has.
        root_signing_key: what the root signs with; empty where the responder is a node.
    """

    transport: Transport
    payload: bytes
    certificate: Certificate | None
    root_signing_key: bytes


class Initiator:
    """The end that connects: `receive_hello`, send what it returns, `receive_reply`.

    Args:
        responder: who must be at the other end.
        key: this node's key.
        psk: from the link's secret or the ticket; None where none is needed.
        certificate: this node's; None where it joins for the first time.
        payload: what the responder is told, encrypted, with the request.
        leave_open: ask that the messages after the handshake are not encrypted; only for pages.
        binding: what protects the channel, as both ends must see it; may be empty.
        clock: gives the time in seconds since 1970.
        ephemeral: a private key for this handshake; for tests only.
    """

    def __init__(
        self,
        responder: Responds,
        key: NodeKey,
        *,
        psk: bytes | None,
        certificate: Certificate | None = None,
        payload: bytes = b"",
        leave_open: bool = False,
        binding: bytes = b"",
        clock: Clock = time.time,
        ephemeral: bytes | None = None,
    ) -> None:
        self._responder = responder
        self._key = key
        self._psk = psk
        self._certificate = certificate
        self._payload = payload
        self._leave_open = leave_open
        self._binding = binding
        self._clock = clock
        self._ephemeral = ephemeral
        self._signing_key = b""
        self._transcript = b""
        self._noise: HandshakeState | None = None

    def receive_hello(self, data: Buffer) -> bytes:
        """The request, in answer to the responder's hello.

        Raises:
            TrustError: the responder is not who was meant.
        """
        assert self._noise is None, "a hello comes once"
        hello = bytes(data)
        kind, body = read_hello(hello)
        exchange, self._signing_key = self._responder.check(kind, body, self._clock())
        mode, shown, flags = bytes([0]), b"", self._leave_open and LEAVE_OPEN
        if self._psk is not None:
            mode = bytes([mode[0] | WITH_SECRET])
        if self._certificate is not None:
            mode, shown = bytes([mode[0] | WITH_CERTIFICATE]), self._certificate.encoded
        head = bytes([VERSION]) + mode + shown
        is_known = self._certificate is not None
        self._noise = HandshakeState(
            KK if is_known else NK,
            is_initiator=True,
            prologue=make_prologue(hello, head, self._binding),
            psk=NO_SECRET if self._psk is None else self._psk,
            static=self._key.private if is_known else None,
            remote_static=exchange,
            ephemeral=self._ephemeral,
        )
        own_key = b"" if is_known else self._key.public
        request = head + self._noise.write(bytes([flags]) + own_key + self._payload)
        self._transcript = hello + request
        return request

    def receive_reply(self, data: Buffer) -> Session:
        """What the responder's reply has settled.

        Raises:
            JoinRefusedError: it has refused.
            TrustError: the reply is not the one of who was meant.
        """
        assert self._noise is not None, "the hello comes first"
        reply = bytes(data)
        if not reply or reply[0] not in (ACCEPTED, REFUSED):
            raise TrustError("the other end does not speak as a node does")
        if reply[0] == REFUSED:
            raise self._read_refusal(reply[1:])
        payload = self._noise.read(reply[1:])
        flags, rest = payload[0] if payload else 0, payload[1:]
        certificate = None
        if flags & HAS_CERTIFICATE:
            certificate = self._read_certificate(rest[:CERTIFICATE_BYTES])
            rest = rest[CERTIFICATE_BYTES:]
        if flags & LEAVE_OPEN and not self._leave_open:
            raise TrustError("the other end does not encrypt")
        transport = Transport(None if flags & LEAVE_OPEN else self._noise.split())
        return Session(transport, rest, certificate, self._signing_key)

    def _read_certificate(self, data: bytes) -> Certificate:
        if not self._signing_key:
            raise TrustError("only a root certifies")
        certificate = Certificate.read(data, self._signing_key)
        if certificate.key != self._key.public:
            raise TrustError("the root has certified another key")
        return certificate

    def _read_refusal(self, refusal: bytes) -> JoinRefusedError:
        signature, text = refusal[:SIGNATURE_BYTES], refusal[SIGNATURE_BYTES:]
        refused = refused_bytes(self._transcript, text)
        is_linked = isinstance(self._responder, LinkedRoot) and self._responder.fingerprint
        is_proven = bool(is_linked) and is_signed(
            self._signing_key, REFUSAL_DOMAIN, refused, signature
        )
        reason = text[:MAX_REASON_BYTES].decode(errors="replace")
        return JoinRefusedError(one_line(reason), is_proven=is_proven)
