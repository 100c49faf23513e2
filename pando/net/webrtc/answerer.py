"""Answers offers, and serves what connects then, as a listener does for WebSockets."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import trio

from ...channel import Channel, ChannelClosedError
from ...errors import one_line
from ...messages import MalformedMessageError
from ..visitor import Visitor
from .ice_servers import IceServer

if TYPE_CHECKING:
    from .channel import DataChannel
    from .connection import Connection

MAX_UNCONNECTED = 16
"""Offers that are answered at a time, each until its data channel is open; others wait. More at
once would make all of them slow, so that none might be open in time."""
WAIT_SECONDS = 5.0
"""Maximum seconds that an offer waits for its turn; then it is not answered. Whoever made it has
another link, and tries again later."""
OPEN_SECONDS = 10.0
"""Maximum seconds from an answer to an open data channel."""

logger = logging.getLogger(__name__)

Serve = Callable[[Channel, Visitor], Awaitable[None]]
IceServers = Callable[[], Sequence[IceServer]]


class Answerer:
    """Answers offers. Each is a stranger's until the handshake over its channel.

    Args:
        serve: serves each connection, from its first message to its last.
        servers: gives the STUN and TURN servers, with passwords that are good at that time.
    """

    def __init__(self, serve: Serve, servers: IceServers = lambda: ()) -> None:
        self._serve = serve
        self._servers = servers
        self._turns = trio.Semaphore(MAX_UNCONNECTED, max_value=MAX_UNCONNECTED)
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Serve the connections, until cancelled."""
        async with trio.open_nursery() as self._nursery:
            await trio.sleep_forever()

    async def answer(self, offer: str) -> str:
        """Return the answer to an offer; empty where there is none."""
        if self._nursery is None or not await self._take_turn():
            return ""
        try:
            return str(await self._nursery.start(self._connect, offer))
        except (MalformedMessageError, ChannelClosedError) as error:
            logger.debug("an offer is not answered: %s", one_line(str(error)))
            return ""

    async def _take_turn(self) -> bool:
        """Wait until fewer than `MAX_UNCONNECTED` others are being connected; whether it is so."""
        with trio.move_on_after(WAIT_SECONDS):
            await self._turns.acquire()
            return True
        logger.debug("an offer is not answered: too many are")
        return False

    async def _connect(
        self, offer: str, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
    ) -> None:
        from .connection import open_connection

        with ExitStack() as turn:
            turn.callback(self._turns.release)
            async with open_connection(self._servers()) as connection:
                task_status.started(await connection.make_answer(offer))
                channel = await _open(connection)
                if channel is not None:
                    turn.close()
                    await self._serve(channel, Visitor(channel.host))


async def _open(connection: Connection) -> DataChannel | None:
    """Wait for a connection's channel; None where it does not open, or not in time."""
    with trio.move_on_after(OPEN_SECONDS):
        try:
            return await connection.open()
        except ChannelClosedError as error:
            logger.debug("an offer was answered in vain: %s", one_line(str(error)))
    return None
