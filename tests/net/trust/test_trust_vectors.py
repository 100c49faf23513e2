"""Handshakes byte by byte: vectors for both test suites.

`python -m tests.net.trust.test_trust_vectors` writes `vectors/trust.json` anew. The pages' own
tests make the same bytes at both ends.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pando.net.trust.join_link import JoinLink, LinkSecret, to_base64
from pando.net.trust.keys import derive_link_psk

from . import ends

PATH = Path(__file__).parents[2] / "vectors" / "trust.json"
CHALLENGE = ends.seed("challenge")[:16]
EPHEMERAL = {"initiator": ends.seed("initiator"), "responder": ends.seed("responder")}
RENEWED = ends.certify(ends.CHILD, ends.CHILD_KEY, lifetime=7200)
BINDING = b"webrtc" + ends.seed("offer") + ends.seed("answer")
OPEN = ("open", "bound")
MESSAGES = [b"", b"a message", bytes(range(256)) * 4]
CHOSEN = [
    "correct horse battery",
    "zwölf Zeichen!",
    "zwo\u0308lf Zeichen!",
    "~'()*!%#;&=?/+ \N{SNAKE}",
]


def make_handshake(way: str) -> dict[str, Any]:
    """All that is sent in one handshake and after it, by fixed keys."""
    own, other = {"ephemeral": EPHEMERAL["initiator"]}, {"ephemeral": EPHEMERAL["responder"]}
    issued = None if way == "below" else RENEWED
    if way == "bound":
        own["binding"] = other["binding"] = BINDING
    if way == "below":
        initiator = ends.child(b"a hello", **own)
        responder = ends.at_parent(challenge=CHALLENGE, **other)
    else:
        certificate = ends.CHILD_CERTIFICATE if way == "back" else None
        is_open = way in OPEN
        initiator = ends.joining(b"a hello", certificate=certificate, leave_open=is_open, **own)
        responder = ends.at_root(challenge=CHALLENGE, **other)
    request = initiator.receive_hello(responder.hello)
    responder.receive(request)
    refusal = responder.refuse("no more room, désolé")
    leave_open = way in OPEN
    reply, transport = responder.accept(b"an answer", certificate=issued, leave_open=leave_open)
    session = initiator.receive_reply(reply)
    return {
        "way": way,
        "hello": responder.hello.hex(),
        "request": request.hex(),
        "refusal": refusal.hex(),
        "reply": reply.hex(),
        "toResponder": [bytes(session.transport.encrypt(m)).hex() for m in MESSAGES],
        "toInitiator": [bytes(transport.encrypt(m)).hex() for m in MESSAGES],
    }


def make_link(secret: LinkSecret) -> dict[str, str]:
    fingerprint = ends.ROOT.public.fingerprint
    link = str(JoinLink("root:5000", False, fingerprint, secret))
    return {
        "fragment": link.partition("#")[2],
        "secret": secret.value.hex(),
        "psk": derive_link_psk(secret, fingerprint).hex(),
    }


def make_vectors() -> dict[str, Any]:
    return {
        "keys": {
            "rootExchange": ends.ROOT.exchange.hex(),
            "rootSigning": ends.ROOT.signing.hex(),
            "parent": ends.PARENT_KEY.private.hex(),
            "child": ends.CHILD_KEY.private.hex(),
            "initiatorEphemeral": EPHEMERAL["initiator"].hex(),
            "responderEphemeral": EPHEMERAL["responder"].hex(),
        },
        "now": int(ends.NOW),
        "challenge": CHALLENGE.hex(),
        "binding": BINDING.hex(),
        "fingerprint": ends.ROOT.public.fingerprint.hex(),
        "ticket": {"ticket": ends.TICKET.hex(), "psk": ends.TICKET_PSK.hex()},
        "certificates": {
            "parent": ends.PARENT_CERTIFICATE.encoded.hex(),
            "child": ends.CHILD_CERTIFICATE.encoded.hex(),
            "renewed": RENEWED.encoded.hex(),
        },
        "links": [make_link(ends.SECRET), *(make_link(LinkSecret.choose(c)) for c in CHOSEN)],
        "messages": [message.hex() for message in MESSAGES],
        "handshakes": [make_handshake(way) for way in ("first", "back", "below", *OPEN)],
    }


def test_the_vectors_are_what_is_sent():
    assert json.loads(PATH.read_text()) == make_vectors()


def test_links_of_the_vectors_are_read_as_they_were_written():
    for vector in make_vectors()["links"]:
        link = JoinLink.parse(f"http://root:5000/#{vector['fragment']}")
        assert link.secret is not None
        assert link.fingerprint == ends.ROOT.public.fingerprint
        assert link.secret.value.hex() == vector["secret"]
    assert vector["fragment"].startswith(to_base64(ends.ROOT.public.fingerprint) + ".")


if __name__ == "__main__":
    PATH.write_text(json.dumps(make_vectors(), indent=1) + "\n")
