"""How a root opens a room at a server, without I/O: three messages before the first frame.

The server speaks first::

    server   hello      its version, 32 random bytes, a salt, whether this root needs the secret
    root     request    its version, its public key, 32 random bytes, a MAC, a signature
    server   reply      a MAC, its STUN port and its public address; or a refusal in words

The room's name is a hash of the root's public key, and only who signs with that key opens it; so
a server need not keep anything about rooms. The MACs prove that both know the server's secret,
which is never sent: their key is derived from it by scrypt. They and the signature are made over
all that was said before, so that nothing can be used twice. Who listens can guess at the secret in
their own time: scrypt makes each guess slow, and a secret that a person chooses must be long.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import PandoError, UsageError
from .frames import MAX_SENTENCE_BYTES, cut_bytes, read_text

if TYPE_CHECKING:
    from ..trust.keys import RootKeys

VERSION = 1
"""Of the protocol on control links."""
MIN_CHARACTERS = 12
MAX_CHARACTERS = 200
"""Of a secret that a person chooses."""
INSECURE_SECRET = "INSECURE-SECRET"
"""The original's default: as good as none, since everybody knows it."""
SCRYPT_COST = 2**15
"""Memory cost of deriving a key: 32 MB, some 0.1 s. The server cannot choose it."""
ROOM = re.compile("[A-Za-z0-9_-]{22}")
MAX_PROOF_BYTES = 1024
"""The longest of these messages."""

_MAGIC = b"PANDO-ROOM"
_PREFIX_BYTES = len(_MAGIC) + 1
_NONCE_BYTES = _KEY_BYTES = _MAC_BYTES = 32
_SALT_BYTES = 16
_PORT_BYTES = 2
_SIGNATURE_BYTES = 64
_HELLO_BYTES = _PREFIX_BYTES + _NONCE_BYTES + _SALT_BYTES + 1
_HEAD_BYTES = _PREFIX_BYTES + _KEY_BYTES + _NONCE_BYTES + 1
_REQUEST_BYTES = _HEAD_BYTES + _MAC_BYTES + _SIGNATURE_BYTES
_NEEDS_SECRET, _NEEDS_NONE = 0, 1
_ACCEPTED, _REFUSED = 0, 1
_NO_MAC = bytes(_MAC_BYTES)
_DOMAIN = b"room"
"""Of what a root signs to open its room."""


class ProofError(PandoError):
    """The other end has not proved what it must, or refuses."""


class WrongSecretError(ProofError):
    """The other end does not know the same secret."""


@dataclass(frozen=True)
class RoomKey:
    """A root's key, by which it opens its room.

    Attributes:
        public: its Ed25519 public key, 32 bytes.
        sign: signs what it is given, for this purpose alone.
    """

    public: bytes
    sign: Callable[[bytes], bytes]

    @staticmethod
    def of(keys: RootKeys) -> RoomKey:
        """The key of the room of a root with these keys."""
        return RoomKey(keys.public.signing, lambda data: keys.sign(_DOMAIN, data))

    @property
    def room(self) -> str:
        """The name of its room, which is in the link."""
        return room_of(self.public)


def room_of(public_key: bytes) -> str:
    """The name of the room of a root with this public key."""
    digest = hashlib.sha256(b"Pando room name\0" + public_key).digest()[:16]
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def check_secret(secret: str) -> str | None:
    """A secret that a person has given, ready for use; None for the one that protects nothing.

    Raises:
        UsageError: it is too easy to guess, or too long.
    """
    if secret == INSECURE_SECRET:
        return None
    if not MIN_CHARACTERS <= len(secret) <= MAX_CHARACTERS:
        raise UsageError(
            f"a server's secret must have {MIN_CHARACTERS} to {MAX_CHARACTERS} characters: who "
            "listens on the network can try short ones"
        )
    if len(set(secret)) < 5 or not secret.isprintable():
        raise UsageError("a server's secret must be printable and less regular than this one")
    return secret


def derive_key(secret: str, salt: bytes) -> bytes:
    """The key of the MACs. It takes some 0.1 s and 32 MB: call it in a thread."""
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    derivation = Scrypt(salt, _KEY_BYTES, n=SCRYPT_COST, r=8, p=1)
    return derivation.derive(b"Pando server secret\0" + secret.encode())


class RootProof:
    """The root's side.

    Args:
        key: of the room.
        hello: what the server has said.
        may_be_open: whether the server may need no secret, as on this very machine.

    Raises:
        ProofError: it is not a server of this version.
    """

    def __init__(self, key: RoomKey, hello: bytes, *, may_be_open: bool) -> None:
        _check_version(hello, "server")
        if len(hello) != _HELLO_BYTES or hello[-1] not in (_NEEDS_SECRET, _NEEDS_NONE):
            raise ProofError("it does not speak as a pando-server does")
        self.salt = hello[_PREFIX_BYTES + _NONCE_BYTES : -1]
        self.needs_secret = hello[-1] == _NEEDS_SECRET or not may_be_open
        self._key = key
        self._hello = hello
        self._said = b""
        self._mac_key: bytes | None = None

    def request(self, mac_key: bytes | None) -> bytes:
        """What to answer.

        Args:
            mac_key: derived from the secret and `salt`; None where no secret is proved.
        """
        head = (
            _prefix()
            + self._key.public
            + secrets.token_bytes(_NONCE_BYTES)
            + bytes([mac_key is not None])
        )
        mac = _NO_MAC if mac_key is None else _mac(mac_key, b"root", self._hello + head)
        said = self._hello + head + mac
        self._mac_key = mac_key
        self._said = said + self._key.sign(said)
        return self._said[len(self._hello) :]

    def check(self, reply: bytes) -> tuple[str, int]:
        """Check the server's reply; return the address under which it says that it is reached.

        With it comes the UDP port on which it answers STUN; 0 where it does not.

        Raises:
            ProofError: it refuses.
            WrongSecretError: it does not know the secret.
        """
        _check_version(reply, "server")
        status, rest = reply[_PREFIX_BYTES : _PREFIX_BYTES + 1], reply[_PREFIX_BYTES + 1 :]
        if status == bytes([_REFUSED]):
            raise ProofError(read_text(rest[:MAX_SENTENCE_BYTES]))
        mac, said = rest[:_MAC_BYTES], rest[_MAC_BYTES:]
        if status != bytes([_ACCEPTED]) or len(said) < _PORT_BYTES:
            raise ProofError("it does not speak as a pando-server does")
        if self._mac_key is not None:
            expected = _mac(self._mac_key, b"server", self._said + said)
            if not hmac.compare_digest(mac, expected):
                raise WrongSecretError("it does not know the secret: it may be another server")
        return read_text(said[_PORT_BYTES:]), int.from_bytes(said[:_PORT_BYTES], "big")


class ServerProof:
    """The server's side of one root's attempt.

    Args:
        mac_key: derived from the secret and the salt; None where the server has none.
        salt: the same for all roots of a server.
        is_own_user: whether the root is this very user's, on this machine: it needs no secret.
    """

    def __init__(self, mac_key: bytes | None, salt: bytes, *, is_own_user: bool) -> None:
        self._mac_key = mac_key
        self._is_own_user = is_own_user
        need = _NEEDS_NONE if is_own_user else _NEEDS_SECRET
        self.hello = _prefix() + secrets.token_bytes(_NONCE_BYTES) + salt + bytes([need])
        self._said = b""

    def check(self, request: bytes) -> str:
        """Check a root's request; return the name of the room that it has proved to be its own.

        Raises:
            WrongSecretError: it does not know the secret.
            ProofError: anything else is wrong.
        """
        _check_version(request, "root")
        if len(request) != _REQUEST_BYTES:
            raise ProofError("this is not the request of a run")
        head = request[:_HEAD_BYTES]
        mac = request[_HEAD_BYTES : _HEAD_BYTES + _MAC_BYTES]
        public = head[_PREFIX_BYTES : _PREFIX_BYTES + _KEY_BYTES]
        from ..trust.keys import is_signed

        self._check_secret(head, mac)
        said = self._hello_and(head + mac)
        if not is_signed(public, _DOMAIN, said, request[-_SIGNATURE_BYTES:]):
            raise ProofError("the run has not proved that the room is its own")
        self._said = self._hello_and(request)
        return room_of(public)

    def _check_secret(self, head: bytes, mac: bytes) -> None:
        if head[-1] == 0:
            self._mac_key = None
            if not self._is_own_user:
                raise ProofError("this server needs its secret: pass --secret, or set PANDO_SECRET")
        elif self._mac_key is None:
            raise ProofError("this server takes runs of its own user on its own machine only")
        elif not hmac.compare_digest(mac, _mac(self._mac_key, b"root", self._hello_and(head))):
            raise WrongSecretError("the secret is wrong")

    def _hello_and(self, data: bytes) -> bytes:
        return self.hello + data

    def accept(self, public_url: str, stun_port: int = 0) -> bytes:
        """The reply that opens the room.

        Args:
            public_url: where the server is reached.
            stun_port: the UDP port on which it answers STUN; 0 where it does not.
        """
        said = stun_port.to_bytes(_PORT_BYTES, "big") + cut_bytes(public_url, MAX_SENTENCE_BYTES)
        mac = _NO_MAC
        if self._mac_key is not None:
            mac = _mac(self._mac_key, b"server", self._said + said)
        return _prefix() + bytes([_ACCEPTED]) + mac + said


def refuse(sentence: str) -> bytes:
    """The reply that opens no room."""
    return _prefix() + bytes([_REFUSED]) + cut_bytes(sentence, MAX_SENTENCE_BYTES)


def _prefix() -> bytes:
    return _MAGIC + bytes([VERSION])


def _check_version(message: bytes, other: str) -> None:
    if len(message) < _PREFIX_BYTES or not message.startswith(_MAGIC):
        raise ProofError(f"the other end does not speak as a {other} does")
    version = message[len(_MAGIC)]
    if version != VERSION:
        own = "server" if other == "root" else "root"
        raise ProofError(
            f"this {own} speaks version {VERSION} of the relay's protocol and the {other} version "
            f"{version}: the older Pando should be updated"
        )


def _mac(key: bytes, who: bytes, said: bytes) -> bytes:
    return hmac.digest(key, who + b"\0" + said, "sha256")
