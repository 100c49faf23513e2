"""Join a run: ask the root for a parent, reach it, and compute for it until it is lost.

The root answers each request with itself as the parent, or with a node below it:

- With itself: compute over the channel that stands. Where that goes through a public server, try
  WebRTC meanwhile, and change over to it.
- With a node below: reach it by the addresses that the root tells, or by the offer that went with
  the request. Where none leads there, tell the root why, and ask for another parent; since
  WebSocket has failed, this request has an offer in any case, unless WebRTC is not wanted.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
import trio

from .. import messages
from ..channel import Channel, ChannelClosedError
from ..errors import one_line
from ..net.keepalive import KeepaliveChannel
from ..net.trust.identity import NodeIdentity
from ..net.trust.join_link import JoinLink
from ..net.webrtc.availability import AUTO, WEBRTC, WEBSOCKET
from ..net.webrtc.ice_servers import IceServer
from ..notifier import Notifier
from .below import ParentSearch
from .root_connection import RootConnector
from .root_replies import receive_reply
from .second_link import SecondLink
from .session import Session

if TYPE_CHECKING:
    from ..net.webrtc.connection import Offered

    Compute = Callable[[Session, KeepaliveChannel, bytes, messages.RunInfo], Awaitable[bool]]

logger = logging.getLogger(__name__)

SEARCH_WAITS = 1 / 2
"""Part of the time that the root waits for an answer, for reaching the parent that it has named."""


class Joiner:
    """Joins the runs of one link.

    Args:
        name: the name of the device.
        link: the join link.
        identity: what the device proves itself with.
        root: connects to the root once more, by WebRTC.
        compute: computes for a parent until it is lost; returns whether the run has ended.
        hello: makes the message that a device introduces itself with.
        say: takes sentences for the person at the device.
        say_once: takes those that may come again and again.
    """

    def __init__(
        self,
        name: str,
        link: JoinLink,
        identity: NodeIdentity,
        root: RootConnector,
        compute: Compute,
        *,
        hello: Callable[[], bytes],
        say: Notifier,
        say_once: Callable[[str], None],
    ) -> None:
        self._name = name
        self._link = link
        self._identity = identity
        self._root = root
        self._compute = compute
        self._hello = hello
        self._say = say
        self._say_once = say_once

    async def join(
        self, session: Session, root: KeepaliveChannel, assigned: messages.RunInfo
    ) -> bool:
        """Join the root or a node below it, as the root says, and compute.

        Args:
            session: of the run.
            root: a channel to the root, which has told the run.
            assigned: what it has told.

        Returns:
            Whether the run has ended; where not, the parent has been lost.

        Raises:
            ChannelClosedError: the root has been lost before a parent has been found.
        """
        # Who reaches the root itself will reach the others by WebSocket, too, unless it fails.
        offers = self._prefers_webrtc(session)
        ask: messages.Ready | messages.Unreachable
        ask = messages.Ready(session.port, session.addresses)
        while True:
            async with _offering(session.ice_servers if offers else None) as offered:
                offer = offered.offer if offered is not None else ""
                await root.send(msgspec.structs.replace(ask, offer=offer))
                answer = await receive_reply(root)
                if isinstance(answer, messages.Redirect):
                    ask = messages.Unreachable("")
                    ended = await self._join_below(session, root, answer, assigned, offered)
                    if isinstance(ended, bool):
                        return ended
                    ask = messages.Unreachable(ended)
                    offers = session.protocol != WEBSOCKET
                if isinstance(answer, messages.Welcome):
                    return await self._compute_for_root(
                        session, root, answer.parent, assigned, offered
                    )
            if isinstance(answer, messages.RunEnded):
                return True
            if not isinstance(answer, messages.Redirect):
                raise ChannelClosedError("unexpected reply from the root")

    def _prefers_webrtc(self, session: Session) -> bool:
        """Whether a data channel is tried first: where it is asked for, or a server would relay."""
        protocol = session.protocol
        return protocol == WEBRTC or (protocol == AUTO and bool(self._link.room))

    async def _join_below(
        self,
        session: Session,
        root: KeepaliveChannel,
        redirect: messages.Redirect,
        assigned: messages.RunInfo,
        offered: Offered | None,
    ) -> bool | str:
        """Connect to a parent below the root, and compute; return why if it cannot be reached."""

        async def compute(link: KeepaliveChannel) -> bool:
            await root.send(messages.Joined())
            await root.aclose()
            return await self._compute(session, link, redirect.parent, assigned)

        search = ParentSearch(
            redirect,
            self._identity,
            session.hello(self._name),
            compute,
            self._say_once,
            seconds=SEARCH_WAITS * assigned.bootstrap_timeout,
        )
        wants_websocket = session.protocol != WEBRTC
        connection = offered.connection if offered is not None else None
        ended = await search.run(connection, websockets=wants_websocket)
        if ended is None:
            logger.debug("%s cannot reach its parent: %s", self._name, one_line(search.why))
            return search.why
        return ended

    async def _compute_for_root(
        self,
        session: Session,
        link: KeepaliveChannel,
        parent: bytes,
        assigned: messages.RunInfo,
        offered: Offered | None,
    ) -> bool:
        """Compute for the root, and try to connect to it by WebRTC where that may be better."""
        can_prove = self._link.fingerprint is not None
        if not (can_prove and self._prefers_webrtc(session)):
            if offered is not None:
                await offered.connection.aclose()
            return await self._compute(session, link, parent, assigned)

        async def compute(link: KeepaliveChannel, parent: bytes) -> bool:
            return await self._compute(session, link, parent, assigned)

        async def join_root(channel: Channel) -> Channel:
            return await self._root.join(channel, self._hello())

        second = SecondLink(session, join_root, compute, self._say, offered)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(second.run)
            ended = await compute(link, parent)
            ended = await second.after_first() or ended
            nursery.cancel_scope.cancel()
        return ended


@asynccontextmanager
async def _offering(
    servers: tuple[IceServer, ...] | None,
) -> AsyncIterator[Offered | None]:
    """Make a connection and an offer, with these ICE servers; None where none is wanted."""
    if servers is None:
        yield None
        return
    from ..net.webrtc.connection import open_offered

    async with open_offered(servers) as offered:
        yield offered
