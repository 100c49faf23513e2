"""Answers offers, and serves what connects then, as a listener does for WebSockets."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import trio

from ...channel import Channel, ChannelClosedError
from ...errors import one_line
from ...messages import MalformedMessageError, Signal
from ..visitor import Visitor
from .ice_servers import IceServer
from .turns import WAIT_SECONDS, TooManyAskError, Turn, shared_turns

if TYPE_CHECKING:
    from .channel import DataChannel
    from .connection import Connection

REACH_SECONDS = 7.0
"""Maximum seconds from an answer until the ends have reached each other: as long as whoever has
made the offer tries, and a moment for the answer to get there. So a turn that somebody has given up
ends soon."""
OPEN_SECONDS = 10.0
"""Maximum seconds from then until the data channel is open: both ends are there, but maybe busy."""

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
        self._turns = shared_turns()
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Serve the connections, until cancelled."""
        async with trio.open_nursery() as self._nursery:
            await trio.sleep_forever()

    async def answer(self, offer: str, patience: float = WAIT_SECONDS) -> Signal:
        """Return the answer to an offer; it is empty where there is none.

        Where too many ask, it says when to ask again. Whoever has made the offer keeps the link
        that it has meanwhile, or finds another place.

        Args:
            offer: it.
            patience: seconds that it may wait for its turn.
        """
        if self._nursery is None:
            return Signal()
        try:
            turn = await self._turns.wait(patience)
        except TooManyAskError as problem:
            logger.debug("an offer is not answered: %s", one_line(str(problem)))
            return Signal(again=problem.pause)
        try:
            return Signal(str(await self._nursery.start(self._connect, offer, turn)))
        except (MalformedMessageError, ChannelClosedError) as error:
            logger.debug("an offer is not answered: %s", one_line(str(error)))
            return Signal()

    async def _connect(
        self, offer: str, turn: Turn, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
    ) -> None:
        from .connection import open_connection

        try:
            async with open_connection(self._servers()) as connection:
                task_status.started(await connection.make_answer(offer))
                channel = await _open(connection)
                turn.end(is_open=channel is not None)
                if channel is not None:
                    await self._serve(channel, Visitor(channel.host))
        finally:
            turn.end()


async def _open(connection: Connection) -> DataChannel | None:
    """Wait for a connection's channel; None where it does not open, or not in time."""
    try:
        with trio.fail_after(REACH_SECONDS):
            await connection.reach()
        with trio.fail_after(OPEN_SECONDS):
            return await connection.open()
    except (ChannelClosedError, trio.TooSlowError) as error:
        logger.debug("an offer was answered in vain: %s", one_line(str(error)))
    return None
