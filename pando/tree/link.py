"""A link: a channel to another machine, with signs of life, and an end to waiting."""

from __future__ import annotations

import trio

from .. import messages
from ..channel import Channel, ChannelClosedError
from ..serve_options import SILENCE_SECONDS

BEATS = 3
"""Signs of life sent in that time."""
SEND_SECONDS = 30.0
"""Seconds that the other end may take to read a message before it is cut off."""


class Link:
    """A `pando.channel.Channel` over another one, for channels that cross a network.

    `run` must run beside it. Signs of life are sent and taken here; nobody else sees them.

    Args:
        channel: what carries the messages.
        silence: seconds after which a silent other end is dead.
    """

    def __init__(self, channel: Channel, *, silence: float = SILENCE_SECONDS) -> None:
        self._channel = channel
        self._silence = silence
        self._heard = trio.current_time()
        self._end = ""

    async def run(self) -> None:
        """Send signs of life, and close the channel when none have come for too long."""
        pause = self._silence / BEATS
        try:
            while True:
                await trio.sleep(pause)
                if trio.current_time() - max(self._heard, self._activity()) > self._silence:
                    self._end = f"nothing was heard for {self._silence:g} s"
                    await self._channel.aclose()
                    return
                await self.send(messages.Heartbeat())
        except ChannelClosedError:
            return

    def _activity(self) -> float:
        """When bytes came last, where the channel knows: a long message is a sign of life."""
        return float(getattr(self._channel, "last_activity", 0.0))

    async def send(self, message: messages.Message) -> None:
        with trio.move_on_after(SEND_SECONDS):
            await self._channel.send(message)
            return
        self._end = f"the other end read nothing for {SEND_SECONDS:g} s"
        await self._channel.aclose()
        raise ChannelClosedError(self._end)

    async def receive(self) -> messages.Message:
        while True:
            try:
                message = await self._channel.receive()
            except ChannelClosedError:
                if self._end:
                    raise ChannelClosedError(self._end) from None
                raise
            self._heard = trio.current_time()
            if not isinstance(message, messages.Heartbeat):
                return message

    async def aclose(self) -> None:
        await self._channel.aclose()
