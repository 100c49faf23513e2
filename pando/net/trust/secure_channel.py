"""A channel over another one, after the handshake."""

from __future__ import annotations

import trio

from ...channel import Channel, ProtocolViolationError, limit_messages
from .errors import TrustError
from .transport import Transport


class SecureChannel:
    """A `pando.channel.Channel` whose messages are encrypted and authenticated.

    Args:
        channel: what carries the encrypted messages: a WebSocket, or a relayed connection.
        transport: the keys, from the handshake.
    """

    def __init__(self, channel: Channel, transport: Transport) -> None:
        self._channel = channel
        self._transport = transport
        self._sending = trio.Lock()

    @property
    def last_activity(self) -> float:
        """When bytes came last, on Trio's clock."""
        return float(getattr(self._channel, "last_activity", 0.0))

    @property
    def last_progress(self) -> float:
        """When a part of a message was sent last, where the channel sends in parts."""
        return float(getattr(self._channel, "last_progress", 0.0))

    def limit_messages(self, max_bytes: int) -> None:
        """Take no message from now on that is longer, encryption included."""
        limit_messages(self._channel, max_bytes)

    async def send(self, data: bytes) -> None:
        try:
            self._sending.acquire_nowait()
        except trio.WouldBlock:
            await self._sending.acquire()
        # The nonce counts messages, so they are sent in the order in which they are encrypted.
        try:
            await self._channel.send(bytes(self._transport.encrypt(data)))
        except trio.Cancelled:
            # The other end cannot decrypt what follows a message that was not sent.
            await self._channel.aclose()
            raise
        finally:
            self._sending.release()

    async def receive(self) -> bytes | bytearray | memoryview:
        data = await self._channel.receive()
        try:
            return self._transport.decrypt(data)
        except TrustError as error:
            await self._channel.aclose()
            raise ProtocolViolationError(str(error)) from None

    async def aclose(self) -> None:
        await self._channel.aclose()


def protect(channel: Channel, transport: Transport) -> Channel:
    """Return the channel to use after the handshake."""
    return SecureChannel(channel, transport) if transport.is_encrypted else channel
