"""A second link to the root, by WebRTC, for a node whose first one is relayed.

Offer and answer go over the first link. The second one is a join of the same node: it has its own
handshake, and the first link stays until the root has let it in. What the first one still holds
then has been given back or delivered.
"""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from .. import messages
from ..channel import Channel, ChannelClosedError
from ..errors import one_line
from ..net.addresses import AddressWatch
from ..net.keepalive import KeepaliveChannel
from ..net.trust.errors import TrustError
from ..net.webrtc.turns import TooManyAskError
from .below import channel_kind, open_answered
from .root_replies import receive_reply
from .session import Session

if TYPE_CHECKING:
    from ..net.webrtc.connection import Offered

logger = logging.getLogger(__name__)

PAUSES = (0.0, 30.0, 120.0, 600.0)
"""Seconds before each try; the last pause is repeated."""
SPREAD = 0.5
"""How much longer a pause may be, as a part of it: many nodes whose tries have failed at once do
not come back at once."""
BUSY_SPREAD = 1.0
"""The same of the pause that a root names to which too many come."""
LONGEST_BUSY_PAUSE_SECONDS = 60.0
"""The longest that a root may name."""
ANSWER_SECONDS = 10.0
"""Maximum seconds for the root's answer."""
FINISH_SECONDS = 1.0
"""Maximum seconds for delivering on the first link what is finished."""

JoinRoot = Callable[[Channel], Awaitable[Channel]]
Compute = Callable[[KeepaliveChannel, bytes], Awaitable[bool]]
Say = Callable[[str], None]


class SecondLink:
    """Tries to connect to the root by WebRTC while a session computes for it.

    When this machine's network changes, it begins anew.

    Args:
        session: computes over the first link.
        join_root: shakes hands with the root.
        compute: computes for a parent until the link ends.
        say: takes sentences for the person at the device.
        offered: for the first try, which closes it; where it is None, that makes an offer.
        network_changed: waits until the addresses of this machine's interfaces change.
        chance: gives a random number from 0 to 1.
    """

    def __init__(
        self,
        session: Session,
        join_root: JoinRoot,
        compute: Compute,
        say: Say,
        offered: Offered | None = None,
        *,
        network_changed: Callable[[], Awaitable[None]] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._session = session
        self._join_root = join_root
        self._compute = compute
        self._say = say
        self._offered = offered
        self._network_changed = network_changed or AddressWatch().changed
        self._chance = chance
        self._said = ""
        self._is_joining = False
        self._first_ended = trio.Event()
        self._done = trio.Event()
        self._has_ended = False

    async def run(self) -> None:
        """Try, again after a pause, until it has been used or the task is cancelled."""
        tries, pause = 0, PAUSES[0]
        while not self._done.is_set():
            with trio.move_on_after(pause):
                await self._network_changed()
                logger.debug("%r: the network has changed", self._session)
                tries = 0
            tries += 1
            pause = PAUSES[min(tries, len(PAUSES) - 1)] * (1 + SPREAD * self._chance())
            why = "it does not answer"
            try:
                await self._try()
                return
            except TooManyAskError as problem:
                why = str(problem)
                tries -= 1  # it has not been tried
                longest = min(problem.pause, LONGEST_BUSY_PAUSE_SECONDS)
                pause = longest * (1 + BUSY_SPREAD * self._chance())
            except (ChannelClosedError, TrustError, messages.MalformedMessageError) as problem:
                why = one_line(str(problem))
            except trio.TooSlowError:
                pass
            finally:
                if self._is_joining:  # the first link is gone, or useless: join anew
                    await self._session.hang_up()
                    self._done.set()
            logger.debug("%r: no WebRTC to the root: %s", self._session, one_line(why))
            if tries <= 1 and why != self._said:
                self._said = why
                self._say(f"no WebRTC to the root: {why}; it stays connected as it is")

    async def after_first(self) -> bool:
        """Note that the first link has ended; return whether the run has, once that is known."""
        self._first_ended.set()
        if self._is_joining:
            await self._done.wait()
        return self._has_ended

    async def _try(self) -> None:
        async with self._offering() as offered:
            with trio.fail_after(ANSWER_SECONDS):
                answer = await self._session.signal(offered.offer)
            if answer.again and not answer.description:
                raise TooManyAskError(answer.again)
            if not answer.description:
                raise ChannelClosedError("the root does not take part")
            async with open_answered(offered.connection, answer.description) as channel:
                with trio.fail_after(ANSWER_SECONDS):
                    link = KeepaliveChannel(
                        await self._join_root(channel), kind=channel_kind(channel)
                    )
                    assigned = await receive_reply(link)
                    if not isinstance(assigned, messages.RunInfo):
                        raise ChannelClosedError("unexpected reply from the root")
                await self._change_to(link)

    @asynccontextmanager
    async def _offering(self) -> AsyncIterator[Offered]:
        """A connection that makes an offer, which is closed with the block."""
        from ..net.webrtc.connection import open_offered

        offered, self._offered = self._offered, None
        if offered is None:
            async with open_offered(self._session.ice_servers) as offered:
                yield offered
            return
        try:
            yield offered
        finally:
            await offered.connection.aclose()

    async def _change_to(self, link: KeepaliveChannel) -> None:
        session = self._session
        self._is_joining = True
        with trio.move_on_after(FINISH_SECONDS):
            await session.finish()  # saying goodbye would give the place to somebody else
        with trio.fail_after(ANSWER_SECONDS):
            await link.send(messages.Ready(session.port, session.addresses))
            welcome = await receive_reply(link)
            if not isinstance(welcome, messages.Welcome):
                raise ChannelClosedError("unexpected reply from the root")
            await session.hang_up()
            await self._first_ended.wait()
        self._has_ended = await self._compute(link, welcome.parent)
