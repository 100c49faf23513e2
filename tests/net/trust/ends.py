"""A root, a node and its child that meet in tests, with keys that are always the same."""

from __future__ import annotations

import hashlib
from typing import Any

from pando.net.trust.certificate import Certificate
from pando.net.trust.initiator import CertifiedNode, Initiator, LinkedRoot, Session
from pando.net.trust.join_link import LinkSecret
from pando.net.trust.keys import NodeKey, RootKeys, derive_link_psk, derive_ticket_psk
from pando.net.trust.responder import Request, Responder
from pando.net.trust.transport import Transport

NOW = 1_800_000_000.0
PARENT, CHILD = b"a parent", b"a child."


def seed(name: str) -> bytes:
    """32 bytes that are always the same for a name."""
    return hashlib.sha256(name.encode()).digest()


ROOT = RootKeys(seed("root exchange"), seed("root signing"))
OTHER_ROOT = RootKeys(seed("another exchange"), seed("another signing"))
SECRET = LinkSecret(seed("link")[:16])
PSK = derive_link_psk(SECRET, ROOT.public.fingerprint)
PARENT_KEY, CHILD_KEY = NodeKey(seed("parent")), NodeKey(seed("child"))
TICKET = b"a ticket"
TICKET_PSK = derive_ticket_psk(TICKET)


def certify(identifier: bytes, key: NodeKey, root: RootKeys = ROOT, **more: Any) -> Certificate:
    return Certificate.issue(root, identifier, key.public, int(NOW) + more.get("lifetime", 3600))


PARENT_CERTIFICATE = certify(PARENT, PARENT_KEY)
CHILD_CERTIFICATE = certify(CHILD, CHILD_KEY)


def clock() -> float:
    return NOW


def joining(payload: bytes = b"", **options: Any) -> Initiator:
    """A node that joins with a link for the first time."""
    options = {"psk": PSK, "responder": LinkedRoot(ROOT.public.fingerprint), **options}
    key = options.pop("key", CHILD_KEY)
    return Initiator(options.pop("responder"), key, payload=payload, clock=clock, **options)


def at_root(keys: RootKeys = ROOT, psk: bytes | None = PSK, **options: Any) -> Responder:
    return Responder.for_root(keys, psk, clock=clock, **options)


def child(payload: bytes = b"", **options: Any) -> Initiator:
    """A node that takes a place below the root."""
    options = {
        "psk": TICKET_PSK,
        "certificate": CHILD_CERTIFICATE,
        "responder": CertifiedNode(PARENT, ROOT.public.signing),
        **options,
    }
    return joining(payload, **options)


def at_parent(key: NodeKey = PARENT_KEY, certificate: Certificate = PARENT_CERTIFICATE,
              **options: Any) -> Responder:  # fmt: skip
    find_psk = options.pop("find_psk", {CHILD: TICKET_PSK}.get)
    signing = options.pop("signing", ROOT.public.signing)
    return Responder.for_node(key, certificate, signing, find_psk, clock=clock, **options)


def shake_hands(
    initiator: Initiator, responder: Responder, payload: bytes = b"", **reply: Any
) -> tuple[Session, Request, Transport]:
    """All three messages of a handshake."""
    request = responder.receive(initiator.receive_hello(responder.hello))
    answer, transport = responder.accept(payload, **reply)
    return initiator.receive_reply(answer), request, transport
