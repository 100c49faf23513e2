"""Channels: what carries messages between two nodes, or between a node and its worker.

Between machines a `Channel` carries bytes, in whole messages and in order, both ways; each kind
of it lives in the package of what it is made of. What a node speaks over is a `MessageChannel`: a
`pando.net.keepalive.KeepaliveChannel` over a channel, or a worker process. So each message is
encoded once.
"""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar

import trio

from .errors import ChannelClosedError, ProtocolViolationError
from .messages import Message

Content = TypeVar("Content")


class Channel(Protocol):
    """What carries encoded messages to another node."""

    async def send(self, data: bytes) -> None:
        """Send one encoded message, waiting for room.

        Raises:
            ChannelClosedError: the channel has ended.
        """

    async def receive(self) -> bytes | bytearray | memoryview:
        """The next encoded message.

        Raises:
            ChannelClosedError: the channel has ended, at either end.
        """

    async def aclose(self) -> None:
        """End the channel at once; both ends notice."""


def limit_messages(channel: Channel, max_bytes: int) -> None:
    """Let a channel take no message from now on that is longer, where it can keep to that."""
    limit = getattr(channel, "limit_messages", None)
    if limit is not None:
        limit(max_bytes)


class MessageChannel(Protocol):
    """What a node speaks over: to a child, a parent or a worker."""

    async def send(self, message: Message) -> None:
        """Send one message, waiting for room.

        Raises:
            ChannelClosedError: the channel has ended.
        """

    async def receive(self) -> Message:
        """The next message.

        Raises:
            ChannelClosedError: the channel has ended, at either end.
            MalformedMessageError: what came is no message.
        """

    async def aclose(self) -> None:
        """End the channel at once; both ends notice."""


class MemoryChannel(Generic[Content]):
    """One end of a channel inside a process, of bytes or of messages; for tests."""

    def __init__(
        self,
        outgoing: trio.MemorySendChannel[Content],
        incoming: trio.MemoryReceiveChannel[Content],
    ) -> None:
        self._outgoing = outgoing
        self._incoming = incoming

    def __repr__(self) -> str:
        return f"<MemoryChannel at {id(self):#x}>"

    async def send(self, content: Content) -> None:
        try:
            await self._outgoing.send(content)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ChannelClosedError("the other end is gone") from None

    async def receive(self) -> Content:
        try:
            return await self._incoming.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise ChannelClosedError("the other end is gone") from None

    async def aclose(self) -> None:
        self._outgoing.close()
        self._incoming.close()
        await trio.lowlevel.checkpoint()


def memory_channel_pair(capacity: int = 16) -> tuple[MemoryChannel[Any], MemoryChannel[Any]]:
    """Two ends of a channel, with room for this many messages each way."""
    down_send, down_receive = trio.open_memory_channel[Any](capacity)
    up_send, up_receive = trio.open_memory_channel[Any](capacity)
    return MemoryChannel(down_send, up_receive), MemoryChannel(up_send, down_receive)


__all__ = [
    "Channel",
    "ChannelClosedError",
    "MemoryChannel",
    "MessageChannel",
    "ProtocolViolationError",
    "limit_messages",
    "memory_channel_pair",
]
