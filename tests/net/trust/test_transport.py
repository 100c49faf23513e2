"""The channel after the handshake: what is sent comes, in order, or the channel ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pando.messages import MAX_MESSAGE_BYTES
from pando.net.trust.errors import TrustError
from pando.net.trust.noise import TAG_BYTES
from pando.net.trust.transport import Transport

from .ends import at_root, joining, shake_hands


def pair() -> tuple[Transport, Transport]:
    session, _, transport = shake_hands(joining(), at_root())
    return session.transport, transport


MESSAGES = st.lists(st.binary(max_size=200) | st.integers(0, 100_000).map(bytes), max_size=12)


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=300)), max_size=30))
def test_whatever_is_sent_comes(turns):
    ends = pair()
    for from_first, message in turns:
        sender, receiver = ends if from_first else ends[::-1]
        sealed = sender.encrypt(message)
        assert len(sealed) == len(message) + TAG_BYTES
        assert receiver.decrypt(memoryview(sealed)) == message


@given(MESSAGES, st.data())
def test_what_is_not_what_was_sent_ends_the_channel(texts, data):
    """One message is changed, left out, repeated, cut, lengthened, or comes too early."""
    sender, receiver = pair()
    sealed = [bytes(sender.encrypt(text)) for text in [b"first", *texts, b"the last"]]
    place = data.draw(st.integers(1, len(sealed) - 1))
    one = sealed[place]
    match data.draw(st.sampled_from(["change", "early", "repeat", "cut", "join"])):
        case "change":
            at = data.draw(st.integers(0, len(one) - 1))
            bit = 1 << data.draw(st.integers(0, 7))
            spoiled = one[:at] + bytes([one[at] ^ bit]) + one[at + 1 :]
        case "early":
            place -= 1
            spoiled = one
        case "repeat":
            spoiled = sealed[data.draw(st.integers(0, place - 1))]
        case "cut":
            spoiled = one[: data.draw(st.integers(0, len(one) - 1))]
        case _:
            spoiled = one + sealed[place - 1]
    for good in sealed[:place]:
        receiver.decrypt(good)
    with pytest.raises(TrustError, match="changed on the way, or is out of order"):
        receiver.decrypt(spoiled)
    with pytest.raises(TrustError):  # and nothing that follows is believed
        receiver.decrypt(sealed[place])


def test_each_changed_byte_is_noticed():
    length = 40 + TAG_BYTES
    for place in range(length):
        sender, receiver = pair()
        sealed = bytearray(sender.encrypt(bytes(40)))
        sealed[place] ^= 0x80
        with pytest.raises(TrustError):
            receiver.decrypt(sealed)


def test_what_one_end_has_sent_is_not_taken_back_from_it():
    one, _ = pair()
    with pytest.raises(TrustError):
        one.decrypt(one.encrypt(b"an echo"))


def test_two_handshakes_share_no_key():
    (one, _), (_, other) = pair(), pair()
    with pytest.raises(TrustError):
        other.decrypt(one.encrypt(b"a message"))


def test_the_largest_message():
    one, other = pair()
    largest = bytes(MAX_MESSAGE_BYTES)
    assert other.decrypt(one.encrypt(largest)) == largest
    with pytest.raises(ValueError, match="too long"):
        one.encrypt(largest + b"\0")
    with pytest.raises(TrustError, match="too long"):
        other.decrypt(bytes(MAX_MESSAGE_BYTES + TAG_BYTES + 1))
