"""A root's connection to a server while it lasts: the channels of nodes in one WebSocket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio
import trio_websocket

from ...channel import ChannelClosedError, ProtocolViolationError
from ...errors import one_line
from ...limits import HEARTBEAT_TIMEOUT_SECONDS
from ...notifier import Notifier
from ..keepalive import HEARTBEATS_PER_TIMEOUT
from ..prefixed_stream import PrefixedStream
from . import multiplexer
from .channel import ENDINGS, RelayedChannel
from .frames import Purpose
from .multiplexer import Multiplexer
from .proof import ProofError

FINISH_SECONDS = 1.0
"""How long saying that the run is over may take."""

Serve = Callable[[RelayedChannel, Purpose, str], Awaitable[None]]


class Connection:
    """One connection to a server, until it is lost.

    Args:
        socket: on which the room is open.
        stream: what carries it.
        serve: given the channel of each node that comes, what it comes for, and the address that
            the server tells; runs until the node has left.
        tell: takes sentences of the server for the person who runs the root.

    Attributes:
        farewell: why it has ended, as far as it is known.
    """

    def __init__(
        self,
        socket: trio_websocket.WebSocketConnection,
        stream: PrefixedStream,
        serve: Serve,
        tell: Notifier,
    ) -> None:
        self.farewell = ""
        self._serve_node = serve
        self._tell = tell
        self._socket = socket
        self._stream = stream
        self._multiplexer = Multiplexer()
        self._channels: dict[int, RelayedChannel] = {}
        self._wake = trio.Event()
        self._sent = trio.current_time()
        self._come_back_after = 0.0
        self._scope = trio.CancelScope()

    async def relay(self, nodes: trio.Nursery) -> float:
        """Carry messages until the link ends.

        Args:
            nodes: in which each node is served.

        Returns:
            Seconds after which the server wants it to come back.
        """
        reason = "the link to the server is lost"
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._keep_alive)
                    with suppress(trio_websocket.ConnectionClosed):
                        while True:
                            message = await get_bytes(self._socket)
                            if self._take(message, nodes):
                                break
                    nursery.cancel_scope.cancel()
        except* (ProtocolViolationError, ProofError) as group:
            self.farewell = f"the server broke the rules: {one_line(str(group.exceptions[0]))}"
        finally:
            for channel in self._channels.values():
                channel.end(ChannelClosedError(reason))
        return self._come_back_after

    async def finish(self) -> None:
        """Say that the run is over, after what waits to be sent to nodes."""
        with trio.move_on_after(FINISH_SECONDS / 2):
            while self._multiplexer.outbox:  # noqa: ASYNC110 - the writer is at it
                await trio.sleep(0.005)
        self._multiplexer.finish()
        self._wake.set()
        with trio.move_on_after(FINISH_SECONDS / 2):
            while self._multiplexer.outbox.has_urgent:  # noqa: ASYNC110 - the writer is at it
                await trio.sleep(0.005)
            await self._socket.aclose()
        self._scope.cancel()

    def _take(self, message: bytes, nodes: trio.Nursery) -> bool:
        """Do what the frames of a message say; return whether it is the end of the link."""
        for event in self._multiplexer.receive(message):
            if isinstance(event, multiplexer.Received):
                self._channels[event.stream].take(event.part)
            elif isinstance(event, multiplexer.Credited):
                self._channels[event.stream].take_credit()
            elif isinstance(event, multiplexer.Opened):
                channel = RelayedChannel(self._multiplexer, event.stream, self._wake_writer)
                self._channels[event.stream] = channel
                nodes.start_soon(self._serve, channel, event)
            elif isinstance(event, multiplexer.Closed):
                reason = one_line(event.sentence) or ENDINGS.get(event.ending, "the link is closed")
                self._channels[event.stream].end(ChannelClosedError(reason))
            elif isinstance(event, multiplexer.Noticed):
                self._tell(one_line(event.sentence))
            else:
                self.farewell = one_line(event.sentence)
                self._come_back_after = float(event.seconds)
                return True
        return False

    async def _serve(self, channel: RelayedChannel, event: multiplexer.Opened) -> None:
        """Serve a node until it has left, or the link is lost."""
        try:
            with suppress(ChannelClosedError):
                await self._serve_node(channel, event.purpose, event.address)
        finally:
            channel.close()
            self._channels.pop(event.stream, None)

    def _wake_writer(self) -> None:
        self._wake.set()

    async def _write(self) -> None:
        outbox = self._multiplexer.outbox
        with suppress(trio_websocket.ConnectionClosed):
            while True:
                message, _ = outbox.take()
                if message:
                    self._sent = trio.current_time()
                    await self._socket.send_message(message)
                else:
                    await self._wake.wait()
                    self._wake = trio.Event()

    async def _keep_alive(self) -> None:
        """Send heartbeats, and end the link when nothing comes from the server."""
        pause = HEARTBEAT_TIMEOUT_SECONDS / HEARTBEATS_PER_TIMEOUT
        while True:
            await trio.sleep(pause)
            now = trio.current_time()
            if now - self._stream.last_activity > HEARTBEAT_TIMEOUT_SECONDS:
                self.farewell = (
                    f"nothing was heard from the server for {HEARTBEAT_TIMEOUT_SECONDS:g} s"
                )
                self._scope.cancel()
            if now - self._sent >= pause:
                self._multiplexer.beat()
                self._wake.set()


async def get_bytes(socket: trio_websocket.WebSocketConnection) -> bytes:
    """Receive a message.

    Raises:
        ProofError: it is a text.
    """
    message = await socket.get_message()
    if not isinstance(message, bytes):
        raise ProofError("it does not speak as a pando-server does")
    return message
