"""The two handshakes of the Noise specification, by published test vectors."""

from __future__ import annotations

import json
from itertools import cycle
from pathlib import Path

import pytest

from pando.net.trust.errors import TrustError
from pando.net.trust.noise import KK, MAX_NONCE, NK, CipherState, HandshakeState

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "noise.json").read_text())["vectors"]
PATTERNS = {
    "Noise_NKpsk0_25519_ChaChaPoly_SHA256": NK,
    "Noise_KKpsk0_25519_ChaChaPoly_SHA256": KK,
}


def one_end(vector: dict[str, object], side: str) -> HandshakeState:
    def get(name: str) -> bytes | None:
        value = vector.get(f"{side}_{name}")
        return bytes.fromhex(value) if isinstance(value, str) else None

    psks = vector[f"{side}_psks"]
    assert isinstance(psks, list)
    prologue = get("prologue")
    assert prologue is not None
    return HandshakeState(
        PATTERNS[str(vector["protocol_name"])],
        is_initiator=side == "init",
        prologue=prologue,
        psk=bytes.fromhex(psks[0]),
        static=get("static"),
        remote_static=get("remote_static"),
        ephemeral=get("ephemeral"),
    )


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["protocol_name"])
def test_published_vectors(vector):
    initiator, responder = one_end(vector, "init"), one_end(vector, "resp")
    messages = [
        (bytes.fromhex(m["payload"]), bytes.fromhex(m["ciphertext"])) for m in vector["messages"]
    ]
    for (payload, ciphertext), (writer, reader) in zip(
        messages[:2], [(initiator, responder), (responder, initiator)], strict=True
    ):
        assert writer.write(payload) == ciphertext
        assert reader.read(ciphertext) == payload
    to_responder, from_responder = initiator.split()
    to_initiator, from_initiator = responder.split()
    pairs = cycle([(to_responder, from_initiator), (to_initiator, from_responder)])
    for (payload, ciphertext), (sender, receiver) in zip(messages[2:], pairs, strict=False):
        assert sender.encrypt(payload) == ciphertext
        assert receiver.decrypt(ciphertext) == payload


def test_every_name_in_the_vectors_is_tested():
    assert {vector["protocol_name"] for vector in VECTORS} == set(PATTERNS)


def test_a_pattern_does_without_no_key():
    with pytest.raises(ValueError, match="needs a key"):
        HandshakeState(KK, is_initiator=True, prologue=b"", psk=bytes(32), remote_static=bytes(32))
    with pytest.raises(ValueError, match="needs a key"):
        HandshakeState(NK, is_initiator=True, prologue=b"", psk=bytes(32))


@pytest.mark.parametrize("low_order", [bytes(32), b"\x01" + bytes(31)])
def test_a_key_that_makes_the_secret_known_is_refused(low_order):
    """Points of small order: the exchange would give zero with any private key."""
    initiator = HandshakeState(
        NK, is_initiator=True, prologue=b"", psk=bytes(32), remote_static=low_order
    )
    with pytest.raises(TrustError, match="is none"):
        initiator.write(b"")


def test_a_payload_has_an_end():
    initiator = HandshakeState(
        NK, is_initiator=True, prologue=b"", psk=bytes(32), remote_static=b"\x09" + bytes(31)
    )
    with pytest.raises(ValueError, match="too long"):
        initiator.write(bytes(65_535))


def test_a_counter_is_never_used_twice():
    cipher = CipherState(bytes(32))
    cipher._nonce = MAX_NONCE - 1
    cipher.encrypt(b"the last one")
    with pytest.raises(TrustError, match="not used any more"):
        cipher.encrypt(b"one more")


def test_after_a_failure_nothing_is_decrypted():
    sender, receiver = CipherState(bytes(32)), CipherState(bytes(32))
    good, next_one = sender.encrypt(b"good"), sender.encrypt(b"the next one")
    with pytest.raises(TrustError):
        receiver.decrypt(good[:-1] + bytes([good[-1] ^ 1]))
    for message in (good, next_one):
        with pytest.raises(TrustError, match="not used any more"):
            receiver.decrypt(message)
