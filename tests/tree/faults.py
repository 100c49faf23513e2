"""Links with faults, for nodes under Trio on a clock that jumps.

A link gives messages in order until it is lost, as TCP does. What may happen to it: messages take
a while, it stalls, one way of it ends, it breaks and both ends notice, or it vanishes and neither
does. Delays come from the random generator that is given; the other faults happen when a test says
so. `Network` gives volunteers such links in the place of sockets.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from pando.channel import Channel, ChannelClosedError
from pando.net.visitor import Visitor

CAPACITY = 8
"""Messages under way in one direction; a sender waits for room."""

Welcome = Callable[[Channel, Visitor], Awaitable[None]]


class _Way:
    """One direction of a link.

    Attributes:
        sender_closed: the sender has closed it; so the receiver learns, behind what is under way.
        receiver_closed: the receiver has closed it; so the sender learns.
        vanished: nothing arrives any more, and nobody learns anything.
        broken: both know.
    """

    def __init__(self, chance: random.Random, delay: float) -> None:
        self.sender_closed = self.receiver_closed = self.vanished = self.broken = False
        self._chance = chance
        self._delay = delay
        self._under_way: deque[tuple[float, bytes]] = deque()
        self._earliest = 0.0
        self._changed = trio.Event()

    async def put(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        while not self._has_ended_for_sender() and len(self._under_way) >= CAPACITY:
            await self._changed.wait()
        if self._has_ended_for_sender():
            raise ChannelClosedError("the link is lost")
        due = trio.current_time() + self._chance.uniform(0, self._delay)
        self._earliest = max(self._earliest, due)
        self._under_way.append((self._earliest, data))
        self.pulse()

    async def get(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while not self._has_ended_for_receiver():
            due = math.inf
            if self._under_way and not self.vanished:
                due = self._under_way[0][0]
            if due <= trio.current_time():
                data = self._under_way.popleft()[1]
                self.pulse()
                return data
            with trio.move_on_at(due):
                await self._changed.wait()
        raise ChannelClosedError("the link is lost")

    def _has_ended_for_sender(self) -> bool:
        told = self.receiver_closed and not self.vanished
        return self.sender_closed or self.broken or told

    def _has_ended_for_receiver(self) -> bool:
        told = self.sender_closed and not self.vanished and not self._under_way
        return self.receiver_closed or self.broken or told

    def stall(self, seconds: float) -> None:
        """Nothing more arrives for so long."""
        resumes = trio.current_time() + seconds
        self._earliest = max(self._earliest, resumes)
        self._under_way = deque((max(due, resumes), data) for due, data in self._under_way)
        self.pulse()

    def pulse(self) -> None:
        """Let both ends look again."""
        self._changed.set()
        self._changed = trio.Event()


class FaultyChannel:
    """One end of a link; a `pando.channel.Channel`."""

    def __init__(self, outgoing: _Way, incoming: _Way) -> None:
        self._outgoing = outgoing
        self._incoming = incoming

    async def send(self, data: bytes) -> None:
        await self._outgoing.put(data)

    async def receive(self) -> bytes:
        return await self._incoming.get()

    @property
    def is_closed(self) -> bool:
        """Whether this end has closed it."""
        return self._outgoing.sender_closed

    async def aclose(self) -> None:
        self._outgoing.sender_closed = self._incoming.receiver_closed = True
        self._outgoing.pulse()
        self._incoming.pulse()
        await trio.lowlevel.checkpoint()


class FaultyLink:
    """Two ends, and what can happen between them.

    Args:
        chance: where delays come from.
        delay: seconds that a message takes at the most.
    """

    def __init__(self, chance: random.Random, delay: float = 0.0) -> None:
        self._ways = (_Way(chance, delay), _Way(chance, delay))
        self.ends = (FaultyChannel(*self._ways), FaultyChannel(*reversed(self._ways)))

    def lose(self) -> None:
        """It breaks: both ends notice, and what is under way is lost."""
        for way in self._ways:
            way.broken = True
            way.pulse()

    def vanish(self) -> None:
        """It breaks, and neither end is told."""
        for way in self._ways:
            way.vanished = True

    def half_close(self, way: int) -> None:
        """What the one end sends has an end, and the other way goes on."""
        self._ways[way].sender_closed = True
        self._ways[way].pulse()

    def stall(self, way: int, seconds: float) -> None:
        """One way of it stands still for so long."""
        self._ways[way].stall(seconds)


class Network:
    """Addresses at which somebody can be reached, over links with faults.

    Args:
        chance: where delays come from.
        delay: seconds that a message takes at the most.
    """

    def __init__(self, chance: random.Random, delay: float = 0.0) -> None:
        self.links: list[FaultyLink] = []
        self._chance = chance
        self._delay = delay
        self._doors: dict[str, tuple[Welcome, trio.Nursery]] = {}

    def listen(self, welcome: Welcome, nursery: trio.Nursery) -> int:
        """Let others connect, for as long as the nursery is open; gives the port."""
        port = 5000 + len(self._doors)
        self._doors[f"net:{port}"] = (welcome, nursery)
        return port

    @asynccontextmanager
    async def connect(
        self, address: str, *, tls: object = None, fingerprint: str = ""
    ) -> AsyncIterator[Channel]:
        """What `pando.net.websocket.connect` does, here."""
        welcome, nursery = self._doors.get(address, (None, None))
        await trio.sleep(self._chance.uniform(0, self._delay))
        if welcome is None or nursery is None or nursery.cancel_scope.cancel_called:
            raise ChannelClosedError(f"{address} cannot be reached")
        link = FaultyLink(self._chance, self._delay)
        self.links.append(link)
        ours, theirs = link.ends

        async def serve() -> None:
            try:
                await welcome(theirs, Visitor("net"))
            finally:
                await theirs.aclose()

        try:
            nursery.start_soon(serve)
        except RuntimeError:  # its nursery has been closed
            raise ChannelClosedError(f"{address} cannot be reached") from None
        try:
            yield ours
        finally:
            if link in self.links:
                self.links.remove(link)
            await ours.aclose()
