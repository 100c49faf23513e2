"""A channel that a test listens to, as a server between its two ends could."""

from __future__ import annotations

from pando.channel import Channel


class Overheard:
    """A channel, and all that has gone through it, both ways."""

    def __init__(self, channel: Channel) -> None:
        self.seen: list[bytes] = []
        self._channel = channel

    async def send(self, data: bytes) -> None:
        self.seen.append(bytes(data))
        await self._channel.send(data)

    async def receive(self) -> bytes:
        data = bytes(await self._channel.receive())
        self.seen.append(data)
        return data

    async def aclose(self) -> None:
        await self._channel.aclose()
