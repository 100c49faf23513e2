"""The proof that opens a room: each of its bytes counts, and nothing of it can be used again."""

from __future__ import annotations

import os

import pytest

from pando.errors import UsageError
from pando.net.relayed import proof
from pando.net.relayed.proof import (
    INSECURE_SECRET,
    MAX_PROOF_BYTES,
    ProofError,
    RootProof,
    ServerProof,
    WrongSecretError,
    check_secret,
    derive_key,
    refuse,
)

from .serving import new_key

KEY, OTHER = os.urandom(32), os.urandom(32)
SALT = os.urandom(16)
ROOM_KEY = new_key()


def talk(server_key=KEY, root_key=KEY, *, change=lambda step, message: message, own=False):
    """The whole of it; `change` is a man in between. Returns the room, and what the root hears."""
    server = ServerProof(server_key, SALT, is_own_user=own)
    root = RootProof(ROOM_KEY, change(0, server.hello), may_be_open=own)
    room = server.check(change(1, root.request(root_key)))
    return room, root.check(change(2, server.accept("https://pando.example.org", 5000)))


def test_both_are_sure_and_the_secret_is_not_sent():
    said = []

    def watch(step, message):
        said.append(message)
        return message

    assert talk(change=watch) == (ROOM_KEY.room, ("https://pando.example.org", 5000))
    assert all(KEY not in message and len(message) <= MAX_PROOF_BYTES for message in said)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_each_changed_byte_is_noticed(step):
    lengths = []
    talk(change=lambda at, message: lengths.append(len(message)) or message)
    for place in range(lengths[step]):

        def change(at, message, place=place):
            if at != step:
                return message
            changed = bytearray(message)
            changed[place] ^= 1
            return bytes(changed)

        with pytest.raises(ProofError):
            talk(change=change)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_what_is_cut_off_is_refused(step):
    for size in (0, 5, 20, 42):
        with pytest.raises(ProofError):
            talk(change=lambda at, message, size=size: message[:size] if at == step else message)


def test_a_proof_cannot_be_used_again():
    recorded = []
    talk(change=lambda step, message: recorded.append(message) or message)
    with pytest.raises(ProofError):
        talk(change=lambda step, message: recorded[1] if step == 1 else message)
    with pytest.raises(ProofError):
        talk(change=lambda step, message: recorded[2] if step == 2 else message)


def test_another_secret_is_refused_on_both_sides():
    with pytest.raises(WrongSecretError, match="the secret is wrong"):
        talk(root_key=OTHER)
    server = ServerProof(KEY, SALT, is_own_user=False)
    root = RootProof(ROOM_KEY, server.hello, may_be_open=False)
    server.check(root.request(KEY))
    server._mac_key = OTHER
    with pytest.raises(WrongSecretError, match="does not know the secret"):
        root.check(server.accept(""))


def test_no_secret_is_enough_for_the_same_user_alone():
    assert talk(root_key=None, own=True)[0] == ROOM_KEY.room
    with pytest.raises(ProofError, match="pass --secret"):
        talk(root_key=None)
    with pytest.raises(ProofError, match="its own user"):
        talk(server_key=None)


def test_a_server_elsewhere_cannot_say_that_no_secret_is_needed():
    hello = ServerProof(KEY, SALT, is_own_user=True).hello
    assert not RootProof(ROOM_KEY, hello, may_be_open=True).needs_secret
    assert RootProof(ROOM_KEY, hello, may_be_open=False).needs_secret


def test_somebody_elses_room_cannot_be_opened():
    other = new_key()
    stolen = proof.RoomKey(other.public, ROOM_KEY.sign)
    server = ServerProof(KEY, SALT, is_own_user=False)
    root = RootProof(stolen, server.hello, may_be_open=False)
    with pytest.raises(ProofError, match="not proved that the room is its own"):
        server.check(root.request(KEY))


def test_a_refusal_is_understood():
    server = ServerProof(KEY, SALT, is_own_user=False)
    root = RootProof(ROOM_KEY, server.hello, may_be_open=False)
    root.request(KEY)
    with pytest.raises(ProofError, match=r"^this server is full$"):
        root.check(refuse("this server is full"))


def test_versions_are_named_at_both_ends():
    hello = bytearray(ServerProof(KEY, SALT, is_own_user=False).hello)
    hello[len(b"PANDO-ROOM")] = 9
    with pytest.raises(ProofError, match=r"this root speaks version 1 .* the server version 9"):
        RootProof(ROOM_KEY, bytes(hello), may_be_open=False)


@pytest.mark.parametrize("weak", ["", "short", "x" * 11, "a" * 30, "x" * 300, "line\nline line\n"])
def test_weak_secrets_are_refused(weak):
    with pytest.raises(UsageError):
        check_secret(weak)


def test_the_original_default_is_no_secret():
    assert check_secret(INSECURE_SECRET) is None
    assert check_secret("correct horse battery") == "correct horse battery"


def test_keys_depend_on_secret_and_salt():
    assert derive_key("a" * 12, SALT) == derive_key("a" * 12, SALT)
    assert len({derive_key("a", SALT), derive_key("b", SALT), derive_key("a", bytes(16))}) == 3
