"""The handshake: who is let in, who is believed, and what everything else becomes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pando import messages
from pando.net.trust.certificate import CERTIFICATE_BYTES, Certificate
from pando.net.trust.errors import HandshakeFailedError, JoinRefusedError, TrustError
from pando.net.trust.handshake import MAGIC
from pando.net.trust.initiator import CertifiedNode, LinkedRoot
from pando.net.trust.join_link import LinkSecret
from pando.net.trust.keys import (
    NO_SECRET,
    NodeKey,
    RootKeys,
    derive_link_psk,
    derive_ticket_psk,
    is_signed,
)

from . import ends
from .ends import at_parent, at_root, child, joining, shake_hands

OTHER_PSK = derive_link_psk(LinkSecret(bytes(16)), ends.ROOT.public.fingerprint)
WAYS = {
    "first": (joining, at_root),
    "back": (lambda p=b"": joining(p, certificate=ends.CHILD_CERTIFICATE), at_root),
    "below": (child, at_parent),
}


@pytest.fixture(params=WAYS)
def way(request):
    return WAYS[request.param]


# ---- what works ----


def test_both_ends_hear_each_other(way):
    initiator, responder = way
    session, request, transport = shake_hands(
        initiator(b"a hello"), responder(), payload=b"an answer"
    )
    assert (request.payload, session.payload) == (b"a hello", b"an answer")
    assert request.key == ends.CHILD_KEY.public
    assert request.has_secret
    assert not request.asks_open
    for here, there in [(session.transport, transport), (transport, session.transport)]:
        assert here.is_encrypted
        sent = here.encrypt(b"a message")
        assert b"a message" not in bytes(sent)
        assert there.decrypt(sent) == b"a message"


def test_a_new_node_is_certified():
    certificate = ends.certify(ends.CHILD, ends.CHILD_KEY)
    session, request, _ = shake_hands(joining(), at_root(), certificate=certificate)
    assert request.certificate is None
    assert session.certificate == certificate
    assert session.root_signing_key == ends.ROOT.public.signing


def test_who_comes_back_is_who_it_was():
    _, request, _ = shake_hands(joining(certificate=ends.CHILD_CERTIFICATE), at_root())
    assert request.certificate is not None
    assert request.certificate.identifier == ends.CHILD


def test_the_root_renews_a_certificate_that_has_expired():
    old = ends.certify(ends.CHILD, ends.CHILD_KEY, lifetime=-10)
    new = ends.certify(ends.CHILD, ends.CHILD_KEY, lifetime=10)
    session, request, _ = shake_hands(joining(certificate=old), at_root(), certificate=new)
    assert request.certificate == old
    assert session.certificate == new


def test_an_open_root_takes_nodes_without_a_link():
    initiator = joining(psk=None, responder=LinkedRoot(None))
    _, request, _ = shake_hands(initiator, at_root(psk=None))
    assert not request.has_secret


def test_a_root_may_let_a_connection_in_without_the_secret():
    initiator = joining(psk=None, responder=LinkedRoot(None))
    _, request, _ = shake_hands(initiator, at_root(without_secret=True))
    assert not request.has_secret
    shake_hands(joining(), at_root(without_secret=True))  # the link is good as well


def test_no_secret_and_no_ticket_is_ever_sent(way):
    initiator, responder = way
    one, other = initiator(), responder()
    request = one.receive_hello(other.hello)
    other.receive(request)
    everything = other.hello + request + other.accept()[0]
    for secret in (ends.SECRET.value, ends.PSK, ends.TICKET, ends.TICKET_PSK):
        assert secret not in everything


# ---- what is refused ----


def test_each_changed_byte_of_the_hello_is_noticed(way):
    initiator, responder = way
    hello = responder().hello
    for place in range(len(hello)):
        end = responder()
        with pytest.raises(TrustError):
            end.receive(initiator().receive_hello(change(end.hello, place)))


def test_each_changed_byte_of_the_request_is_refused(way):
    initiator, responder = way
    length = len(initiator(b"hello").receive_hello(responder().hello))
    for place in range(length):
        one, other = initiator(b"hello"), responder()
        with pytest.raises(HandshakeFailedError) as caught:
            other.receive(change(one.receive_hello(other.hello), place))
        # Nor can who changed it make the root's refusal a proven one.
        with pytest.raises(JoinRefusedError) as refused:
            one.receive_reply(caught.value.answer)
        assert not refused.value.is_proven


def test_each_changed_byte_of_the_reply_is_noticed(way):
    initiator, responder = way
    length = len(make_reply(initiator(), responder())[1])
    for place in range(length):
        one, reply = make_reply(initiator(), responder())
        with pytest.raises(TrustError) as caught:
            one.receive_reply(change(reply, place))
        assert not getattr(caught.value, "is_proven", False)


def test_no_message_may_be_cut_or_lengthened(way):
    initiator, responder = way
    for cut in (lambda m: b"", lambda m: m[:1], lambda m: m[:-1], lambda m: m + b"\0"):
        one, other = initiator(), responder()
        with pytest.raises(TrustError):
            other.receive(one.receive_hello(cut(other.hello)))
        one, other = initiator(), responder()
        with pytest.raises(HandshakeFailedError):
            other.receive(cut(one.receive_hello(other.hello)))
        one, reply = make_reply(initiator(), responder())
        with pytest.raises(TrustError):
            one.receive_reply(cut(reply))


@given(st.binary(max_size=300), st.booleans())
def test_nonsense_is_refused(data, begins_well):
    if begins_well:
        data = at_root().hello[:7] + data
    with pytest.raises(TrustError):
        joining().receive_hello(data)
    with pytest.raises(HandshakeFailedError):
        at_root().receive(data)
    with pytest.raises(HandshakeFailedError):
        at_root().receive(bytes([2, 1]) + data)
    one, _ = make_reply(joining(), at_root())
    with pytest.raises(TrustError):
        one.receive_reply(data)


def test_a_request_is_good_for_one_connection(way):
    initiator, responder = way
    first, second = responder(), responder()
    request = initiator().receive_hello(first.hello)
    first.receive(request)
    with pytest.raises(HandshakeFailedError):
        second.receive(request)


def test_a_reply_is_good_for_one_connection(way):
    initiator, responder = way
    recorded, other = initiator(), responder()
    other.receive(recorded.receive_hello(other.hello))
    reply, _ = other.accept(b"an answer")
    victim = initiator()
    victim.receive_hello(other.hello)  # the foreign root repeats all that it has heard
    with pytest.raises(TrustError):
        victim.receive_reply(reply)


def test_another_root_that_has_the_secret():
    psk = derive_link_psk(ends.SECRET, ends.OTHER_ROOT.public.fingerprint)
    with pytest.raises(TrustError, match="another run than the one whose link this is"):
        joining().receive_hello(at_root(ends.OTHER_ROOT, psk).hello)


@pytest.mark.parametrize("exchange", [True, False])
def test_the_fingerprint_stands_for_both_keys(exchange):
    mine, other = ends.ROOT, ends.OTHER_ROOT
    mixed = (
        RootKeys(mine.exchange, other.signing)
        if exchange
        else RootKeys(other.exchange, mine.signing)
    )
    with pytest.raises(TrustError, match="another run"):
        joining().receive_hello(at_root(mixed).hello)


def test_one_that_shows_the_keys_of_the_root_and_has_the_whole_link():
    """It cannot read the request, nor make a reply, without the private key."""
    impostor = at_root(ends.OTHER_ROOT, ends.PSK)
    impostor.hello = at_root().hello
    with pytest.raises(HandshakeFailedError):
        impostor.receive(joining().receive_hello(impostor.hello))
    # Nor can it sign a refusal that would end a volunteer.
    one = joining()
    one.receive_hello(impostor.hello)
    with pytest.raises(JoinRefusedError) as caught:
        one.receive_reply(impostor.refuse("this link has ended"))
    assert not caught.value.is_proven


def test_no_volunteer_with_a_link_takes_an_open_root():
    with pytest.raises(TrustError, match="lets everybody join, and does not prove its link"):
        joining().receive_hello(at_root(psk=None).hello)
    # Nor one that says to be closed and is open.
    sly = at_root(without_secret=True, psk=NO_SECRET)
    with pytest.raises(HandshakeFailedError):
        sly.receive(joining().receive_hello(sly.hello))


def test_a_wrong_secret_is_refused_by_the_root_itself():
    one, other = joining(psk=OTHER_PSK), at_root()
    with pytest.raises(HandshakeFailedError, match="not, or no longer, good") as caught:
        other.receive(one.receive_hello(other.hello))
    with pytest.raises(JoinRefusedError, match="not, or no longer, good") as refused:
        one.receive_reply(caught.value.answer)
    assert refused.value.is_proven


def test_no_secret_is_refused_where_one_is_needed():
    one = joining(psk=None, responder=LinkedRoot(None))
    other = at_root()
    with pytest.raises(HandshakeFailedError, match="the link is not complete") as caught:
        other.receive(one.receive_hello(other.hello))
    with pytest.raises(JoinRefusedError, match="the link is not complete") as refused:
        one.receive_reply(caught.value.answer)
    assert not refused.value.is_proven


def test_a_refusal_after_the_request_is_proven_too():
    one, other = joining(), at_root()
    other.receive(one.receive_hello(other.hello))
    with pytest.raises(JoinRefusedError, match="no more room") as refused:
        one.receive_reply(other.refuse("no more room" + "é" * 1000))
    assert refused.value.is_proven
    assert len(str(refused.value)) < 1010


def test_a_refusal_does_nothing_to_a_terminal():
    one = joining()
    one.receive_hello(at_root().hello)
    with pytest.raises(JoinRefusedError) as refused:
        one.receive_reply(b"\1" + bytes(64) + b"a\x1b[2Jb\xffc\n")
    assert str(refused.value) == "a [2Jb\ufffdc"


def test_a_certificate_without_its_key_is_worth_nothing():
    thief = NodeKey.generate()
    for initiator, responder in [
        (joining(key=thief, certificate=ends.CHILD_CERTIFICATE), at_root()),
        (child(key=thief), at_parent()),
    ]:
        with pytest.raises(HandshakeFailedError):
            responder.receive(initiator.receive_hello(responder.hello))


def test_a_parent_without_its_key_is_not_believed():
    thief = at_parent(NodeKey.generate())
    one = child()
    request = one.receive_hello(thief.hello)
    with pytest.raises(HandshakeFailedError):
        thief.receive(request)


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        (ends.certify(ends.PARENT, ends.PARENT_KEY, ends.OTHER_ROOT), "has not signed"),
        (ends.certify(ends.PARENT, ends.PARENT_KEY, lifetime=-1), "expired"),
        (ends.certify(b"somebody", ends.PARENT_KEY), "another node"),
    ],
)
def test_parents_that_are_not_believed(certificate, reason):
    with pytest.raises(TrustError, match=reason):
        child().receive_hello(at_parent(certificate=certificate).hello)


@pytest.mark.parametrize(
    "certificate",
    [
        ends.certify(ends.CHILD, ends.CHILD_KEY, ends.OTHER_ROOT),
        ends.certify(ends.CHILD, ends.CHILD_KEY, lifetime=-1),
        ends.certify(b"somebody", ends.CHILD_KEY),
    ],
)
def test_children_that_are_not_believed(certificate):
    responder = at_parent()
    with pytest.raises(HandshakeFailedError):
        responder.receive(child(certificate=certificate).receive_hello(responder.hello))


@pytest.mark.parametrize(("initiator", "responder"), [(child, at_parent), WAYS["back"]])
def test_nobody_in_between_shows_another_certificate_of_the_same_key(initiator, responder):
    other = responder()
    request = initiator().receive_hello(other.hello)
    longer = ends.certify(ends.CHILD, ends.CHILD_KEY, lifetime=9999).encoded
    with pytest.raises(HandshakeFailedError):
        other.receive(request[:2] + longer + request[2 + CERTIFICATE_BYTES :])


@pytest.mark.parametrize(
    "options",
    [
        {"psk": derive_ticket_psk(b"another")},
        {"psk": None},
        {"psk": None, "certificate": None},
        {"certificate": None},
    ],
)
def test_no_place_without_the_ticket_and_a_certificate(options):
    responder = at_parent()
    with pytest.raises(HandshakeFailedError, match="this ticket"):
        responder.receive(child(**options).receive_hello(responder.hello))


def test_a_stranger_costs_a_parent_no_signature(monkeypatch):
    monkeypatch.setattr(Certificate, "read", lambda *_: pytest.fail("it was checked"))
    responder = at_parent(find_psk=lambda identifier: None)
    with pytest.raises(HandshakeFailedError):
        responder.receive(bytes([2, 3]) + bytes(CERTIFICATE_BYTES) + bytes(64))


def test_roots_and_nodes_are_not_taken_for_each_other():
    with pytest.raises(TrustError, match="not its root"):
        joining().receive_hello(at_parent().hello)
    with pytest.raises(TrustError, match="this is a root"):
        child().receive_hello(at_root().hello)


def test_only_a_root_certifies_and_only_the_key_that_was_sent():
    with pytest.raises(TrustError, match="only a root certifies"):
        shake_hands(child(), at_parent(), certificate=ends.CHILD_CERTIFICATE)
    with pytest.raises(TrustError, match="another key"):
        shake_hands(joining(), at_root(), certificate=ends.PARENT_CERTIFICATE)
    foreign = ends.certify(ends.CHILD, ends.CHILD_KEY, ends.OTHER_ROOT)
    with pytest.raises(TrustError, match="has not signed"):
        shake_hands(joining(), at_root(), certificate=foreign)


# ---- what protects the messages afterwards ----


def test_messages_stay_open_where_both_ends_want_that():
    session, request, transport = shake_hands(joining(leave_open=True), at_root(), leave_open=True)
    assert request.asks_open
    assert not session.transport.is_encrypted
    assert transport.encrypt(b"a message") == b"a message"
    assert session.transport.decrypt(b"a message") == b"a message"


def test_a_root_encrypts_although_a_page_would_not():
    session, request, _ = shake_hands(joining(leave_open=True), at_root())
    assert request.asks_open
    assert session.transport.is_encrypted


def test_nobody_talks_a_native_node_out_of_encryption(way):
    initiator, responder = way
    with pytest.raises(TrustError, match="does not encrypt"):
        shake_hands(initiator(), responder(), leave_open=True)


def test_an_older_and_a_newer_version_are_told_apart():
    hello = bytearray(at_root().hello)
    hello[len(MAGIC)] = 3
    with pytest.raises(TrustError, match=r"version 2 .* version 3: the older Pando should be"):
        joining().receive_hello(hello)
    responder = at_root()
    request = bytearray(joining().receive_hello(responder.hello))
    request[0] = 1
    with pytest.raises(HandshakeFailedError, match=r"version 2 .* version 1: the older"):
        responder.receive(request)


def test_version_1_reads_in_a_hello_that_it_should_be_updated():
    for responder in (at_root(), at_parent()):
        denied = messages.decode(responder.hello)
        assert isinstance(denied, messages.JoinRejected)
        assert "update Pando" in denied.reason
        assert denied.version == messages.VERSION


def test_signatures_are_for_one_purpose():
    signature = ends.ROOT.sign(b"refusal", b"data")
    key = ends.ROOT.public.signing
    assert is_signed(key, b"refusal", b"data", signature)
    assert not is_signed(key, b"certificate", b"data", signature)
    assert not is_signed(key, b"refusal", b"other", signature)
    assert not is_signed(ends.OTHER_ROOT.public.signing, b"refusal", b"data", signature)
    assert not is_signed(b"short", b"refusal", b"data", signature)


def test_private_keys_do_not_show():
    for key in (ends.ROOT, ends.CHILD_KEY, ends.SECRET):
        text = repr(key)
        for secret in (ends.ROOT.exchange, ends.CHILD_KEY.private, ends.SECRET.value):
            assert repr(secret)[2:-1] not in text


def test_a_certificate_is_read_as_it_was_issued():
    certificate = ends.CHILD_CERTIFICATE
    assert Certificate.read(certificate.encoded, ends.ROOT.public.signing) == certificate
    assert len(certificate.encoded) == CERTIFICATE_BYTES == 113
    for place in range(CERTIFICATE_BYTES):
        with pytest.raises(TrustError):
            Certificate.read(change(certificate.encoded, place), ends.ROOT.public.signing)
    with pytest.raises(ValueError, match="wrong length"):
        Certificate.issue(ends.ROOT, b"short", ends.CHILD_KEY.public, 0)


def test_a_node_knows_the_root_only_by_its_signature():
    foreign = CertifiedNode(ends.PARENT, ends.OTHER_ROOT.public.signing)
    with pytest.raises(TrustError, match="has not signed"):
        child(responder=foreign).receive_hello(at_parent().hello)


def change(message: bytes, place: int) -> bytes:
    changed = bytearray(message)
    changed[place] ^= 1
    return bytes(changed)


def make_reply(one, other):
    other.receive(one.receive_hello(other.hello))
    return one, other.accept(b"an answer")[0]
