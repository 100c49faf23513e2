"""A channel: two nodes' link, or a node's to its worker. Messages in order, both ways."""

from __future__ import annotations

from typing import Protocol

import trio

from .messages import Message


class ChannelClosedError(Exception):
    """The channel has ended; nothing more comes or goes. `str` of it says why."""


class BrokenRulesError(ChannelClosedError):
    """The channel has ended because what the other end sent broke its rules."""


class Channel(Protocol):
    """What a node needs of a link. Each kind of link implements it in the room it belongs to."""

    async def send(self, message: Message) -> None:
        """Send one message, waiting for room.

        Raises:
            ChannelClosedError: the channel has ended.
        """

    async def receive(self) -> Message:
        """The next message.

        Raises:
            ChannelClosedError: the channel has ended, at either end.
        """

    async def aclose(self) -> None:
        """End the channel at once; both ends notice."""


class MemoryChannel:
    """One end of a channel inside a process, for tests and simulations."""

    def __init__(
        self,
        outgoing: trio.MemorySendChannel[Message],
        incoming: trio.MemoryReceiveChannel[Message],
    ) -> None:
        self._outgoing = outgoing
        self._incoming = incoming

    async def send(self, message: Message) -> None:
        try:
            await self._outgoing.send(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ChannelClosedError("the other end is gone") from None

    async def receive(self) -> Message:
        try:
            return await self._incoming.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise ChannelClosedError("the other end is gone") from None

    async def aclose(self) -> None:
        self._outgoing.close()
        self._incoming.close()
        await trio.lowlevel.checkpoint()


def memory_channel_pair(capacity: int = 16) -> tuple[MemoryChannel, MemoryChannel]:
    """Two ends of a channel, with room for so many messages each way."""
    down_send, down_receive = trio.open_memory_channel[Message](capacity)
    up_send, up_receive = trio.open_memory_channel[Message](capacity)
    return MemoryChannel(down_send, up_receive), MemoryChannel(up_send, down_receive)
