"""A link: a channel to another machine, with signs of life, and an end to waiting."""

from __future__ import annotations

from collections import deque

import msgspec
import trio

from .. import messages
from ..channel import Channel, ChannelClosedError
from ..limits import SILENCE_SECONDS

BEATS = 3
"""Signs of life sent in that time."""
MAX_BUNDLE_BYTES = 1024 * 1024
"""Bytes of messages that are sent as one."""
SEND_SECONDS = 30.0
"""Seconds that the other end may take to read a message before it is cut off."""
UNREAD = f"the other end read nothing for {SEND_SECONDS:g} s"


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
        self._heard = self._sent = trio.current_time()
        self._sending = 0
        self._unbundled: deque[msgspec.Raw] = deque()
        self._end = ""

    async def run(self) -> None:
        """Send signs of life, and close the channel when the other end gives none."""
        pause = self._silence / BEATS
        try:
            while True:
                await trio.sleep(pause)
                now = trio.current_time()
                if now - max(self._heard, self._activity()) > self._silence:
                    await self._cut_off(f"nothing was heard for {self._silence:g} s")
                    return
                if self._sending:
                    # Whatever is on its way is a sign of life, unless nobody takes it.
                    if now - self._sent > SEND_SECONDS:
                        await self._cut_off(UNREAD)
                        return
                elif now - self._sent >= pause:
                    with trio.move_on_after(SEND_SECONDS) as deadline:
                        await self.send(messages.Heartbeat())
                    if deadline.cancelled_caught:
                        await self._cut_off(UNREAD)
                        return
        except ChannelClosedError:
            # What cannot be sent on is over. What is still under way may come, but not for ever.
            await trio.sleep(self._silence)
            await self._channel.aclose()

    async def _cut_off(self, reason: str) -> None:
        self._end = reason
        await self._channel.aclose()

    def _activity(self) -> float:
        """When bytes came last, where the channel knows: a long message is a sign of life."""
        return float(getattr(self._channel, "last_activity", 0.0))

    async def send(self, message: messages.Message) -> None:
        if not self._sending:
            self._sent = trio.current_time()
        self._sending += 1
        try:
            await self._channel.send(message)
        except ChannelClosedError as error:
            raise ChannelClosedError(self._end or str(error)) from None
        finally:
            self._sending -= 1
            self._sent = trio.current_time()

    async def send_bundle(self, bundled: list[messages.Message]) -> None:
        """Send several messages as one, which costs little more than one."""
        encoded = [messages.encode(message) for message in bundled]
        if len(bundled) == 1 or sum(map(len, encoded)) > MAX_BUNDLE_BYTES:
            for message in bundled:
                await self.send(message)
        else:
            await self.send(messages.Bundle([msgspec.Raw(each) for each in encoded]))

    async def receive(self) -> messages.Message:
        while True:
            if self._unbundled:
                message = messages.decode(self._unbundled.popleft())
                if isinstance(message, messages.Bundle):
                    raise messages.MalformedMessageError("a bundle inside a bundle")
                return message
            try:
                message = await self._channel.receive()
            except ChannelClosedError:
                if self._end:
                    raise ChannelClosedError(self._end) from None
                raise
            self._heard = trio.current_time()
            if isinstance(message, messages.Bundle):
                self._unbundled.extend(message.messages)
            elif not isinstance(message, messages.Heartbeat):
                return message

    async def aclose(self) -> None:
        await self._channel.aclose()
