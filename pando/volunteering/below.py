"""Joining a parent below the root: the ways to reach it are raced, and the first one is used."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

import trio

from .. import messages
from ..channel import Channel, ChannelClosedError
from ..errors import one_line
from ..net import websocket
from ..net.keepalive import KeepaliveChannel
from ..net.trust.errors import TrustError
from ..net.trust.identity import NodeIdentity
from ..net.webrtc.answerer import OPEN_SECONDS
from ..notifier import Notifier

if TYPE_CHECKING:
    from ..net.webrtc.connection import Connection

logger = logging.getLogger(__name__)

CONNECT_PARENT_SECONDS = 5.0
"""Maximum seconds for connecting to one address of a parent, or for reaching it by WebRTC."""
WELCOME_SECONDS = 10.0
"""Maximum seconds from then until it lets this node in: it is there, but may be busy with others
that have come at the same time. Trying elsewhere would make it busier."""
WEBSOCKET_SECONDS = 0.5
"""Seconds that a WebSocket may take before WebRTC is tried beside it."""
MAX_TRIED = 8
"""Addresses of a parent that are tried."""
NO_ANSWER = "it does not answer"

Compute = Callable[[KeepaliveChannel], Awaitable[bool]]
Open = Callable[[], AbstractAsyncContextManager[Channel]]


class ParentSearch:
    """A parent below the root that is being connected to.

    Args:
        redirect: who it is, and where.
        identity: what this node proves itself with.
        hello: what it says of itself.
        compute: computes for the parent, until the link ends; returns whether the run has ended.
        say: takes sentences for the person at the device.
        seconds: time for all ways together, after which the root is told that none leads there. It
            must be less than the root waits, or this node would be sent there again and again.

    Attributes:
        why: why it could not be reached.
    """

    def __init__(
        self,
        redirect: messages.Redirect,
        identity: NodeIdentity,
        hello: messages.Hello,
        compute: Compute,
        say: Notifier,
        seconds: float,
    ) -> None:
        self.why = "it has no address"
        self._redirect = redirect
        self._identity = identity
        self._hello = messages.encode(hello)
        self._compute = compute
        self._say = say
        self._seconds = seconds
        self._limit = trio.CancelScope()
        self._attempts: list[trio.CancelScope] = []
        self._has_joined = False
        self._has_ended = False
        self._websockets_failed = trio.Event()

    async def run(self, offered: Connection | None, *, websockets: bool) -> bool | None:
        """Reach the parent, and compute for it.

        Args:
            offered: the connection whose offer the parent may have answered.
            websockets: whether to try its addresses.

        Returns:
            Whether the run has ended; None where the parent cannot be reached.
        """
        addresses = self._redirect.addresses[:MAX_TRIED] if websockets else []
        self._limit.deadline = trio.current_time() + self._seconds
        with self._limit:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._try_addresses, addresses)
                if offered is not None and self._redirect.answer:
                    nursery.start_soon(self._try_data_channel, offered)
        if self._limit.cancelled_caught:
            self.why = NO_ANSWER
        return self._has_ended if self._has_joined else None

    async def _try_addresses(self, addresses: list[str]) -> None:
        with trio.CancelScope() as scope:
            self._attempts.append(scope)
            for address in addresses:
                await self._try(
                    lambda at=address: websocket.connect(at),  # type: ignore[misc]
                    scope,
                    address,
                    CONNECT_PARENT_SECONDS,
                )
                if self._has_joined:
                    return
            self._websockets_failed.set()

    async def _try_data_channel(self, offered: Connection) -> None:
        with trio.CancelScope() as scope:
            self._attempts.append(scope)
            with trio.move_on_after(WEBSOCKET_SECONDS):
                await self._websockets_failed.wait()
            await self._try(
                lambda: open_answered(offered, self._redirect.answer),
                scope,
                "what answers by WebRTC",
                CONNECT_PARENT_SECONDS + OPEN_SECONDS,
            )

    async def _try(
        self, open_channel: Open, scope: trio.CancelScope, where: str, seconds: float
    ) -> None:
        joined = False
        limit = trio.CancelScope(deadline=trio.current_time() + seconds)
        try:
            with limit:
                async with open_channel() as channel:
                    limit.deadline = trio.current_time() + WELCOME_SECONDS
                    link = await self._enter(channel)
                    if link is None or self._has_joined:
                        self.why = "unexpected reply"
                        return
                    joined = self._has_joined = True
                    limit.deadline = self._limit.deadline = math.inf
                    for other in self._attempts:
                        if other is not scope:
                            other.cancel()
                    self._has_ended = await self._compute(link)
        except (ChannelClosedError, TrustError, messages.MalformedMessageError) as problem:
            if joined:
                return
            self.why = one_line(str(problem)) or NO_ANSWER
            if isinstance(problem, TrustError):
                self._say(f"{where} is not the device that this run has named: {self.why}")
        except trio.TooSlowError:
            self.why = NO_ANSWER
        if limit.cancelled_caught:
            self.why = NO_ANSWER

    async def _enter(self, channel: Channel) -> KeepaliveChannel | None:
        """Shake hands with the parent; return the link to it, where it is welcome there."""
        redirect = self._redirect
        secured = await self._identity.join_parent(
            channel, redirect.parent, redirect.ticket, self._hello
        )
        link = KeepaliveChannel(secured, kind=channel_kind(channel))
        return link if isinstance(await link.receive(), messages.Welcome) else None


@asynccontextmanager
async def open_answered(offered: Connection, answer: str) -> AsyncIterator[Channel]:
    """Take the answer to an offer, and give the data channel, which the connection closes.

    Raises:
        ChannelClosedError: the ends cannot reach each other.
        MalformedMessageError: the answer is none.
        TooSlowError: they do not do so in time, or the data channel is not open in time then.
    """
    with trio.fail_after(CONNECT_PARENT_SECONDS):
        await offered.accept_answer(answer)
        await offered.reach()
    with trio.fail_after(OPEN_SECONDS):
        channel = await offered.open()
    yield channel


def channel_kind(channel: Channel) -> str:
    """Return what carries a channel, in a word."""
    return str(getattr(channel, "kind", "websocket"))
