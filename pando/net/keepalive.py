"""A link: messages over a channel to another machine, with heartbeats, and an end to waiting."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

import msgspec
import trio

from .. import messages
from ..channel import Channel, ChannelClosedError
from ..errors import one_line
from ..limits import HEARTBEAT_TIMEOUT_SECONDS
from .large_messages import FREE_BYTES, MAX_WHOLE_BYTES, Assembly, Memory, cut, shared_memory
from .round_trip import RoundTrip

logger = logging.getLogger(__name__)

HEARTBEATS_PER_TIMEOUT = 3
"""Signs of life sent in that time."""
LATE_SECONDS = 0.5
"""How late it may be looked whether the other end is silent; beyond that, the machine slept, or is
very busy, and whatever has come meanwhile is read first."""
MAX_BUNDLE_BYTES = 1024 * 1024
"""Bytes of messages that are sent as one."""
SEND_SECONDS = 30.0
"""Seconds that the other end may take to read a message before it is cut off."""
STALL_SECONDS = 60.0
"""Seconds that a large message may take to go on, once there is room for it."""
UNREAD = f"the other end read nothing for {SEND_SECONDS:g} s"


class Traffic(msgspec.Struct):
    """What was transferred on some links.

    Attributes:
        bytes_in, bytes_out: bytes of messages received and sent.
        seconds: time in which a message was being sent or received.
    """

    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0


class KeepaliveChannel:
    """A `pando.channel.MessageChannel` over a channel that crosses a network.

    Here messages are encoded and decoded, each once. While `run` runs beside it, heartbeats are
    sent and expected; nobody else sees them.

    Attributes:
        kind: what carries it, in a word.
        round_trip: the round-trip time, where `measures` is set before `run`.

    Args:
        channel: what carries the encoded messages.
        silence: seconds after which a silent other end is dead; may be set later, before `run`.
        memory: what large messages may take; by default what this process has for them.
        traffic: counts what is transferred; may be set later.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        silence: float = HEARTBEAT_TIMEOUT_SECONDS,
        memory: Memory | None = None,
        kind: str = "websocket",
    ) -> None:
        self.kind = kind
        self._channel = channel
        self.silence = silence
        self.traffic = Traffic()
        self._heard = self._sent = trio.current_time()
        self._sending = 0
        self._unbundled: deque[msgspec.Raw] = deque()
        self._end = ""
        self._assembly = Assembly(memory or shared_memory)
        self._part_came = 0.0
        self._sending_large = trio.Lock()
        self._granted = trio.Event()
        self.round_trip = RoundTrip()
        self.measures = False
        self._answer_due = trio.Event()
        self._grant_due = False
        self._pong_due = 0
        self._has_ended = False

    def __repr__(self) -> str:
        return f"<KeepaliveChannel over {self._channel!r}>"

    async def run(self) -> None:
        """Send heartbeats, and close the channel when nothing comes from the other end."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_answers)
            await self._watch()
            nursery.cancel_scope.cancel()

    async def _send_answers(self) -> None:
        """Tell the other end when there is room for what it has announced, and send numbers back.

        Of the numbers that come while one is being sent back, only the last one follows it.
        """
        with suppress(ChannelClosedError):
            while True:
                await self._answer_due.wait()
                self._answer_due = trio.Event()
                if self._grant_due:
                    self._grant_due = False
                    self._part_came = trio.current_time()
                    await self.send(messages.Grant())
                if self._pong_due:
                    pong, self._pong_due = self._pong_due, 0
                    await self.send(messages.Heartbeat(pong=pong))

    async def _watch(self) -> None:
        pause = self.silence / HEARTBEATS_PER_TIMEOUT
        self._heard = self._sent = trio.current_time()
        try:
            if self.measures and not await self._beat():
                return
            while True:
                due = min(trio.current_time() + pause, self._last_heard() + self.silence)
                await trio.sleep_until(due)
                now = trio.current_time()
                if now - due > LATE_SECONDS:
                    # What came while this process could not run has not been read yet.
                    self._heard = max(self._heard, now - self.silence + pause)
                if now >= self._last_heard() + self.silence:
                    await self._cut_off(f"nothing was heard for {self.silence:g} s")
                    return
                if self._assembly.is_open and now - self._part_came > STALL_SECONDS:
                    await self._cut_off(f"a message did not go on for {STALL_SECONDS:g} s")
                    return
                if self._sending:
                    # Whatever is on its way is a sign of life, unless nobody takes it.
                    if now - max(self._sent, self._progress()) > SEND_SECONDS:
                        await self._cut_off(UNREAD)
                        return
                elif (self.measures or now - self._sent >= pause) and not await self._beat():
                    return
        except ChannelClosedError:
            # What cannot be sent on is over. What is still under way may come, but not for ever.
            await trio.sleep(self.silence)
            await self._channel.aclose()

    async def _beat(self) -> bool:
        """Send a sign of life; return whether it was taken, or else the link has been cut off."""
        ping = self.round_trip.begin(trio.current_time()) if self.measures else 0
        with trio.move_on_after(SEND_SECONDS) as deadline:
            await self.send(messages.Heartbeat(ping))
        if deadline.cancelled_caught:
            await self._cut_off(UNREAD)
        return not deadline.cancelled_caught

    async def _cut_off(self, reason: str) -> None:
        self._end = reason
        logger.info("closed %r: %s", self, one_line(reason))
        await self._channel.aclose()

    def _last_heard(self) -> float:
        """When a message came last, or a part of one where the channel knows."""
        return max(self._heard, float(getattr(self._channel, "last_activity", 0.0)))

    def _arrival_seconds(self) -> float:
        """Return how long the last message took to arrive, where the channel knows."""
        return float(getattr(self._channel, "arrival_seconds", 0.0))

    def _progress(self) -> float:
        """When a part of a long message was taken, where the channel sends in parts."""
        return float(getattr(self._channel, "last_progress", 0.0))

    async def send(self, message: messages.Message) -> None:
        await self.send_encoded(messages.encode(message))

    async def send_encoded(self, data: bytes) -> None:
        """Send a message that has been encoded, as several others may be sent it.

        A large one is cut into parts. Other messages may overtake it, but not those of the same
        task, which waits until all has been sent.
        """
        if len(data) <= MAX_WHOLE_BYTES:
            await self._send_whole(data)
            return
        async with self._sending_large:
            self._granted = trio.Event()
            await self._send_whole(messages.encode(messages.Large(len(data))))
            if len(data) > FREE_BYTES and not self._has_ended:
                await self._granted.wait()
            for part in cut(data):
                await self._send_whole(part)

    async def send_while_taken(self, encoded: Sequence[bytes], seconds: float) -> None:
        """Send messages to an end that must take some of them again and again; without `run`.

        Args:
            encoded: the messages.
            seconds: time without progress after which the channel is closed.

        Raises:
            ChannelClosedError: the channel has ended, or nothing was taken for so long.
        """
        problem: ChannelClosedError | None = None
        self._sent = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_progress, seconds)
            try:
                for each in encoded:
                    await self.send_encoded(each)
            except ChannelClosedError as error:
                problem = error
            nursery.cancel_scope.cancel()
        if problem is not None:
            raise problem

    async def _watch_progress(self, seconds: float) -> None:
        due = trio.current_time() + seconds
        while due > trio.current_time():
            await trio.sleep_until(due)
            due = max(self._sent, self._progress()) + seconds
        await self._cut_off(f"the other end read nothing for {seconds:g} s")

    async def _send_whole(self, data: bytes) -> None:
        if not self._sending:
            self._sent = trio.current_time()
        self._sending += 1
        self.traffic.bytes_out += len(data)
        begin = trio.current_time()
        try:
            await self._channel.send(data)
        except ChannelClosedError:
            if self._end:
                raise ChannelClosedError(self._end, silent=True) from None
            raise
        finally:
            self._sending -= 1
            self._sent = trio.current_time()
            self.traffic.seconds += self._sent - begin

    async def send_bundle(self, bundled: list[messages.Message]) -> None:
        """Send several messages as one, which costs little more than one."""
        encoded = [messages.encode(message) for message in bundled]
        if len(encoded) == 1 or sum(map(len, encoded)) > MAX_BUNDLE_BYTES:
            for each in encoded:
                await self.send_encoded(each)
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
                data: bytes | bytearray | memoryview | None = await self._channel.receive()
            except ChannelClosedError:
                self._note_end()
                if self._end:
                    raise ChannelClosedError(self._end, silent=True) from None
                raise
            self._heard = trio.current_time()
            self.traffic.bytes_in += 0 if data is None else len(data)
            self.traffic.seconds += self._arrival_seconds()
            while data is not None:
                message = messages.decode(data)
                data = None
                match message:
                    case messages.Part(part):
                        self._part_came = self._heard
                        data = self._assembly.add(part)
                    case messages.Large(size):
                        self._part_came = self._heard if size <= FREE_BYTES else math.inf
                        self._assembly.begin(size, self._grant)
                    case messages.Grant():
                        self._granted.set()
                    case messages.Bundle():
                        self._unbundled.extend(message.messages)
                    case messages.Heartbeat(ping, pong):
                        self.round_trip.end(pong, self._heard)
                        if ping:
                            self._pong_due = ping
                            self._answer_due.set()
                    case _:
                        return message

    def _grant(self) -> None:
        self._part_came = trio.current_time()
        self._grant_due = True
        self._answer_due.set()

    def _note_end(self) -> None:
        """Let nobody wait for the other end any more."""
        self._has_ended = True
        self._granted.set()
        self._assembly.drop()

    async def aclose(self) -> None:
        self._note_end()
        await self._channel.aclose()
