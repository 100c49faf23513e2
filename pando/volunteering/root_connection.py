"""Connect to the root of a link, directly or through a public server, and let it prove itself."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from ..channel import Channel
from ..errors import UsageError, one_line
from ..net import websocket
from ..net.addresses import is_loopback, join_address, split_address
from ..net.keepalive import KeepaliveChannel
from ..net.relayed.frames import Ending
from ..net.relayed.own_links import find_own_room
from ..net.relayed.room_channel import RoomClosedError, connect_to_room
from ..net.tls import client_context
from ..net.trust.errors import LINK_ENDED, JoinRefusedError, TrustError
from ..net.trust.identity import NodeIdentity
from ..net.trust.join_link import JoinLink, parse_fragment
from ..net.trust.peer_user import find_peer_user, is_own_user


class RootConnector:
    """Connects to the root of one link, as often as it takes.

    Args:
        link: the join link.
        identity: what this device proves itself with.
        cafile: certificates of authorities to trust besides those of the system.

    Raises:
        UsageError: there are no certificates in the file.
    """

    def __init__(
        self, link: JoinLink, identity: NodeIdentity, cafile: str | os.PathLike[str] | None
    ) -> None:
        self._link = link
        self._identity = identity
        self._tls = client_context(cafile, link.certificate) if link.tls else None

    @asynccontextmanager
    async def connect(self, hello: bytes) -> AsyncIterator[KeepaliveChannel]:
        """Connect, and let the root prove that it is the one whose link this is.

        Args:
            hello: what this device says of itself once the root has proved that.

        Raises:
            ChannelClosedError: the root cannot be reached.
            TrustError: it proves nothing, or refuses this device.
            UsageError: another user of this machine listens at the address.
        """
        async with self._open_channel() as channel:
            kind = "relay" if self._link.room else "websocket"
            yield KeepaliveChannel(await self.join(channel, hello), kind=kind)

    async def join(self, channel: Channel, hello: bytes) -> Channel:
        """Shake hands with the root over a channel to it; return the one to use afterwards.

        Raises:
            ChannelClosedError: the channel has ended.
            TrustError: the other end does not prove to be the root, or refuses this device.
        """
        link = self._link
        return await self._identity.join_root(channel, link.fingerprint, link.secret, hello)

    @asynccontextmanager
    async def _open_channel(self) -> AsyncIterator[Channel]:
        """Connect to the root, or to its room at a public server."""
        link = self._link
        if link.room:
            async with connect_to_room(link.address, link.room, self._tls) as relayed:
                yield relayed
            return
        async with websocket.connect(
            link.address, tls=self._tls, fingerprint=link.certificate
        ) as channel:
            if link.fingerprint is None:
                _check_listener(channel, link.address)
            yield channel

    def has_ended(self, problem: TrustError) -> bool:
        """Return whether the root has proved that the link has ended.

        Raises:
            UsageError: this device will not be let in, or cannot know whose run this is.
        """
        if isinstance(problem, JoinRefusedError) and problem.is_proven:
            if problem.reason == LINK_ENDED:
                return True
            raise UsageError(one_line(problem.reason)) from None
        if self._link.fingerprint is None:
            raise UsageError(one_line(str(problem))) from None
        return False


def find_own_link_at(link: JoinLink) -> JoinLink | None:
    """The link of this user's own run at a server of this machine whose bare address was given."""
    host, port = split_address(link.address)
    if link.fingerprint is not None or not (host == "localhost" or is_loopback(host)):
        return None
    own = find_own_room(f"{'https' if link.tls else 'http'}://{join_address(host, port)}")
    if own is None:
        return None
    room, fragment = own
    fingerprint, secret, _ = parse_fragment(fragment)
    return replace(link, fingerprint=fingerprint, secret=secret, room=room)


def is_over(problem: Exception) -> bool:
    """Whether the server that relays says that the run has ended, which costs nothing to believe.

    It could just as well relay no more.
    """
    return isinstance(problem, RoomClosedError) and problem.ending is Ending.FINISHED


def _check_listener(channel: Channel, address: str) -> None:
    """See that an address on this machine belongs to this user's own program.

    Without a fingerprint in the link nothing else tells whose run it is.

    Raises:
        UsageError: another user listens there, or it cannot be found out who does.
    """
    socket = getattr(channel, "socket", None)
    if socket is None:
        return
    user = find_peer_user(socket)
    is_here = user is not None or is_loopback(str(socket.getpeername()[0]))
    if is_here and not is_own_user(user):
        raise UsageError(
            f"{address} belongs to another user of this machine, as far as can be found out: "
            "use the whole link that the run prints, with what follows its # sign"
        )
