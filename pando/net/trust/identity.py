"""What a root, or another node, proves itself with, for as long as it lives.

Cryptography is imported when the first handshake begins, so that a run that nobody joins does
without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from ...channel import Channel, ChannelClosedError
from ..visitor import Visitor
from .errors import TrustError
from .join_link import LinkSecret, from_base64, to_base64
from .key_store import LinkKeys

if TYPE_CHECKING:
    from .certificate import Certificate
    from .keys import NodeKey, RootKeys
    from .shaking import IncomingHandshake

LASTS = b"\1"
"""What a root tells with its reply where its link is good for later runs."""
HELLO_SECONDS = 20.0
"""Maximum seconds until the end that was connected to shows who it is; older ones never do."""


@dataclass(frozen=True)
class LinkInUse:
    """What a root proves itself with.

    Attributes:
        keys: those of the root.
        secret: what joining nodes must know; None where everybody may join.
        lasts: whether the link is good for later runs.
    """

    keys: LinkKeys
    secret: LinkSecret | None
    lasts: bool


class RootIdentity:
    """The keys of a root, and the secret that invites.

    Args:
        open_link: called when the first node connects.
        asks_for_link: whether this visitor must know the secret.
    """

    def __init__(
        self, open_link: Callable[[], LinkInUse], asks_for_link: Callable[[Visitor], bool]
    ) -> None:
        self._open_link = open_link
        self._asks_for_link = asks_for_link
        self._keys: RootKeys | None = None
        self._psk: bytes | None = None
        self._payload = b""
        self._preparing = trio.Lock()

    async def begin(self, channel: Channel, visitor: Visitor) -> IncomingHandshake:
        """Begin the handshake with a node that has connected."""
        from .responder import Responder
        from .shaking import IncomingHandshake

        async with self._preparing:
            if self._keys is None:
                await self._prepare()
        assert self._keys is not None
        without_secret = not self._asks_for_link(visitor)
        responder = Responder.for_root(
            self._keys, self._psk, without_secret=without_secret, binding=_binding_of(channel)
        )
        return IncomingHandshake(channel, responder, self._payload)

    async def _prepare(self) -> None:
        link = self._open_link()
        if link.secret is not None:
            self._psk = await _derive_psk(link.secret, link.keys.fingerprint)
        self._payload = LASTS if link.lasts else b""
        self._keys = link.keys.root_keys()

    def certify(self, identifier: bytes, key: bytes) -> Certificate:
        """Certify the key of a node that joins."""
        from .certificate import LIFETIME_SECONDS, Certificate

        assert self._keys is not None, "a handshake has begun"
        expiry = int(time.time()) + LIFETIME_SECONDS
        return Certificate.issue(self._keys, identifier, key, expiry)


class NodeIdentity:
    """The key of a node that joins, and what the root has certified of it.

    Args:
        find_kept: called once with the key that a root signs with; returns what `keep` has
            returned before, to be the same device again. Anything else is ignored.

    Attributes:
        root_signing_key: what the root signs with; empty before it has been joined.
        link_lasts: whether the root's link is good for later runs.
    """

    def __init__(self, find_kept: Callable[[bytes], str] | None = None) -> None:
        self._find_kept = find_kept
        self._key: NodeKey | None = None
        self._certificate: Certificate | None = None
        self.root_signing_key = b""
        self._psk: bytes | None = None
        self.link_lasts = False

    @property
    def identifier(self) -> bytes:
        """What the root has certified it as; empty before."""
        return self._certificate.identifier if self._certificate else b""

    def keep(self) -> str:
        """Return the key and what is certified of it, as text; empty where nothing is.

        It is a secret: whoever has it can join as this device.
        """
        if self._key is None or self._certificate is None:
            return ""
        parts = (self._key.private, self.root_signing_key, self._certificate.encoded)
        return ":".join(map(to_base64, parts))

    def _restore(self, root_signing_key: bytes) -> None:
        """Be the device of what was kept for a root, if anything was that is still good."""
        from .certificate import Certificate
        from .keys import NodeKey

        find_kept, self._find_kept = self._find_kept, None
        kept = find_kept(root_signing_key) if find_kept is not None else ""
        with suppress(ValueError, TrustError):
            private, signing_key, encoded = map(from_base64, kept.split(":"))
            certificate = Certificate.read(encoded, signing_key)
            certificate.check_time(time.time())
            key = NodeKey(private)
            if key.public == certificate.key:
                self._key, self._certificate = key, certificate
                self.root_signing_key = signing_key

    async def join_root(
        self,
        channel: Channel,
        fingerprint: bytes | None,
        secret: LinkSecret | None,
        payload: bytes,
    ) -> Channel:
        """Shake hands with the root.

        Args:
            channel: to it.
            fingerprint: of its keys; None takes any root.
            secret: what invites; None without a link.
            payload: what it is told.

        Returns:
            The channel to use from now on.

        Raises:
            ChannelClosedError: the channel has ended.
            JoinRefusedError: the root refuses.
            TrustError: it is not the root whose link this is.
        """
        from .handshake import read_hello
        from .initiator import Initiator, LinkedRoot
        from .noise import KEY_BYTES
        from .shaking import shake_hands

        if secret is not None and fingerprint is not None and self._psk is None:
            self._psk = await _derive_psk(secret, fingerprint)
        hello = await _receive_hello(channel)
        _, shown = read_hello(hello)
        if self._key is None:
            self._restore(shown[KEY_BYTES:])
        is_known = shown[KEY_BYTES:] == self.root_signing_key
        initiator = Initiator(
            LinkedRoot(fingerprint),
            self._own_key(),
            psk=self._psk,
            certificate=self._certificate if is_known else None,
            payload=payload,
            binding=_binding_of(channel),
        )
        secured, session = await shake_hands(channel, initiator, hello)
        if session.certificate is None:
            raise TrustError("the root has certified nothing")
        self._certificate = session.certificate
        self.root_signing_key = session.root_signing_key
        self.link_lasts = session.payload[:1] == LASTS
        return secured

    async def join_parent(
        self, channel: Channel, parent: bytes, ticket: str, payload: bytes
    ) -> Channel:
        """Shake hands with a parent below the root.

        Args:
            channel: to it.
            parent: its identifier.
            ticket: what the root has given to both.
            payload: what it is told.

        Returns:
            The channel to use from now on.

        Raises:
            ChannelClosedError: the channel has ended.
            TrustError: it is not the parent that was meant, or it refuses.
        """
        from .initiator import CertifiedNode, Initiator
        from .keys import derive_ticket_psk
        from .shaking import shake_hands

        initiator = Initiator(
            CertifiedNode(parent, self.root_signing_key),
            self._own_key(),
            psk=derive_ticket_psk(ticket.encode()),
            certificate=self._certificate,
            payload=payload,
            binding=_binding_of(channel),
        )
        return (await shake_hands(channel, initiator, await _receive_hello(channel)))[0]

    async def begin(
        self, channel: Channel, find_ticket: Callable[[bytes], str | None]
    ) -> IncomingHandshake:
        """Begin the handshake with a node that has connected to this one.

        Args:
            channel: to it.
            find_ticket: the ticket of the place that is kept for a node, if one is.
        """
        from .keys import derive_ticket_psk
        from .responder import Responder
        from .shaking import IncomingHandshake

        def find_psk(identifier: bytes) -> bytes | None:
            ticket = find_ticket(identifier)
            return derive_ticket_psk(ticket.encode()) if ticket else None

        assert self._certificate is not None, "who has children has joined"
        responder = Responder.for_node(
            self._own_key(),
            self._certificate,
            self.root_signing_key,
            find_psk,
            binding=_binding_of(channel),
        )
        return IncomingHandshake(channel, responder)

    def _own_key(self) -> NodeKey:
        from .keys import NodeKey

        if self._key is None:
            self._key = NodeKey.generate()
        return self._key


async def _derive_psk(secret: LinkSecret, fingerprint: bytes) -> bytes:
    """The key of a link's secret; a chosen one takes a moment, so a thread does it."""
    from .keys import derive_link_psk

    if not secret.is_chosen:
        return derive_link_psk(secret, fingerprint)
    return await trio.to_thread.run_sync(derive_link_psk, secret, fingerprint)


async def _receive_hello(channel: Channel) -> bytes:
    with trio.move_on_after(HELLO_SECONDS):
        try:
            return bytes(await channel.receive())
        except ChannelClosedError as error:
            if error.code is not None:  # it has said why
                raise
    raise ChannelClosedError("the other end does not show who it is: is Pando older there?")


def _binding_of(channel: Channel) -> bytes:
    """What protects a channel below, which both ends must see alike; empty where nothing does."""
    return bytes(getattr(channel, "binding", b""))
