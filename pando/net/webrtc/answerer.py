"""Answers offers, and serves what connects then, as a listener does for WebSockets."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

import trio

from ...channel import Channel, ChannelClosedError
from ...errors import one_line
from ...messages import MalformedMessageError
from ..visitor import Visitor
from .ice_servers import IceServer

MAX_UNCONNECTED = 64
"""Offers that are answered at once, until a data channel is open; no others are."""
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
        self._unconnected = 0
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Serve the connections, until cancelled."""
        async with trio.open_nursery() as self._nursery:
            await trio.sleep_forever()

    async def answer(self, offer: str) -> str:
        """Return the answer to an offer; empty where there is none."""
        if self._nursery is None or self._unconnected >= MAX_UNCONNECTED:
            return ""
        self._unconnected += 1
        try:
            return str(await self._nursery.start(self._connect, offer))
        except (MalformedMessageError, ChannelClosedError) as error:
            logger.debug("an offer is not answered: %s", one_line(str(error)))
            return ""

    async def _connect(
        self, offer: str, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
    ) -> None:
        from .connection import open_connection

        is_connected = False
        try:
            async with open_connection(self._servers()) as connection:
                task_status.started(await connection.make_answer(offer))
                with trio.move_on_after(OPEN_SECONDS) as patience:
                    try:
                        channel = await connection.open()
                    except ChannelClosedError as error:
                        logger.debug("an offer was answered in vain: %s", one_line(str(error)))
                        return
                if patience.cancelled_caught:
                    return
                self._unconnected -= 1
                is_connected = True
                await self._serve(channel, Visitor(channel.host))
        finally:
            if not is_connected:
                self._unconnected -= 1
