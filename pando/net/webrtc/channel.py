"""A channel over a data channel: messages in parts, and credit for them.

A data channel takes messages of a limited size, and nothing holds back a fast sender. So each
message is cut into parts, and each end may have `WINDOW_BYTES` under way that the other one has
not taken yet. A frame on the data channel is one byte, its kind, and what follows: a part, or how
many bytes more may be sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import trio

from ...channel import ChannelClosedError, ProtocolViolationError
from ...messages import MAX_MESSAGE_BYTES
from .event_loop import EventLoop

if TYPE_CHECKING:
    from aiortc import RTCDataChannel

FRAME_BYTES = 16 * 1024
"""The longest frame; longer ones hold up others, and not every stack takes them."""
PART_BYTES = FRAME_BYTES - 1
WINDOW_BYTES = 4 * 1024 * 1024
"""Bytes that may be under way: 13 MB/s at a round trip of 0.3 s."""
FRAME_COST = 64
"""What a frame costs besides its bytes, so that empty ones are bounded, too."""
LOW_BYTES = 128 * 1024
HIGH_BYTES = 2 * LOW_BYTES
"""Bytes that wait in this process before a sender waits, so that other messages come between."""
MORE, LAST, CREDIT = 0, 1, 2
"""Kinds of frames: a part of a message, its last part, and credit for so many bytes."""
MAX_SEALED_BYTES = MAX_MESSAGE_BYTES + 1024
"""The longest message, encryption included."""


def cut(data: bytes | bytearray | memoryview) -> Iterator[bytes]:
    """Return a message as frames."""
    view = memoryview(data)
    last = max(0, (len(view) - 1) // PART_BYTES)
    for number in range(last + 1):
        kind = LAST if number == last else MORE
        yield b"".join((bytes([kind]), view[number * PART_BYTES : (number + 1) * PART_BYTES]))


class Wire:
    """The end of a data channel inside the asyncio loop.

    Its attributes are written in the loop's thread only, and read by Trio's.

    Attributes:
        frames: what has come and has not been taken.
        arrived: what all that has come has cost.
        written, flushed: bytes handed to the data channel, and those that it has sent.
        granted: the credit that the other end has given.
        end: why it has ended; None before.
        hang_up: ends the connection, after what has been written.
    """

    def __init__(self, notify: Callable[[], None], credited: Callable[[], int]) -> None:
        self.frames: deque[bytes] = deque()
        self.arrived = self.written = self.flushed = 0
        self.granted = WINDOW_BYTES
        self.end: ChannelClosedError | None = None
        self.hang_up: Callable[[], object] = lambda: None
        self._notify = notify
        self._credited = credited
        self._channel: RTCDataChannel | None = None

    def attach(self, channel: RTCDataChannel) -> None:
        """Take a data channel, which need not be open yet."""
        self._channel = channel
        channel.bufferedAmountLowThreshold = LOW_BYTES
        channel.on("message", self._take)
        channel.on("bufferedamountlow", self._note_flushed)
        channel.on("close", lambda: self.finish("the other end has closed the data channel"))

    def write(self, frames: list[bytes]) -> None:
        """Send frames."""
        channel = self._channel
        if channel is None or channel.readyState != "open":
            return
        for frame in frames:
            channel.send(frame)
            self.written += len(frame)
        self._note_flushed()

    def finish(self, reason: str) -> None:
        """End it; what has come before may still be taken."""
        if self.end is None:
            self.end = ChannelClosedError(reason)
            self._notify()

    def close(self, reason: str) -> None:
        """End it at this end, and tell the other one."""
        self.finish(reason)
        self.hang_up()

    def _note_flushed(self) -> None:
        assert self._channel is not None
        self.flushed = self.written - self._channel.bufferedAmount
        self._notify()

    def _take(self, frame: bytes | str) -> None:
        if self.end is not None:
            return
        broken = self._find_fault(frame)
        if broken:
            self.end = ProtocolViolationError(broken)
            self.hang_up()
        elif frame[0] == CREDIT:
            self.granted += int.from_bytes(frame[1:], "big")  # type: ignore[arg-type]
        else:
            assert isinstance(frame, bytes)
            self.arrived += len(frame) + FRAME_COST
            self.frames.append(frame)
        self._notify()

    def _find_fault(self, frame: bytes | str) -> str:
        """Return what is wrong with a frame; empty where nothing is."""
        if not isinstance(frame, bytes) or not 1 <= len(frame) <= FRAME_BYTES:
            return "what came on the data channel is no frame"
        if frame[0] == CREDIT:
            ahead = self.granted - self.written + int.from_bytes(frame[1:5], "big")
            # Trio's side may have spent credit on frames that are not written yet; never more.
            return "" if len(frame) == 5 and ahead <= 2 * WINDOW_BYTES else "wrong credit"
        if frame[0] not in (MORE, LAST) or (frame[0] == MORE and len(frame) != FRAME_BYTES):
            return "what came on the data channel is no frame"
        if self.arrived + len(frame) + FRAME_COST - self._credited() > WINDOW_BYTES:
            return "more came on the data channel than there was credit for"
        return ""


class DataChannel:
    """A `pando.channel.Channel` of bytes over one ordered, reliable data channel.

    Args:
        event_loop: where the data channel lives.

    Attributes:
        kind: what it is, in a word.
        wire: its end in the loop.
        binding: what the handshake over it must be bound to: both ends' DTLS certificates. Set
            before anything is sent.
        host: the address that the other end is seen at; empty before it is connected.
    """

    kind = "webrtc"

    def __init__(self, event_loop: EventLoop) -> None:
        self.wire = Wire(self._notify, lambda: self._credited)
        self.binding = b""
        self.host = ""
        self._event_loop = event_loop
        self._token = trio.lowlevel.current_trio_token()
        self._news = trio.lowlevel.ParkingLot()
        self._is_awaited = False
        self._sending = trio.Lock()
        self._spent = self._posted = 0
        self._taken = self._credited = 0
        self._parts: list[bytes] = []
        self._part_bytes = 0
        self._max_bytes = MAX_SEALED_BYTES
        self._end: ChannelClosedError | None = None
        self._seen_arrived, self._arrived_at = 0, trio.current_time()
        self._seen_progress, self._progressed_at = (0, 0), trio.current_time()

    @property
    def last_activity(self) -> float:
        """When frames came last, on Trio's clock.

        Of those that nobody has taken yet it is known only when somebody looks.
        """
        if self.wire.arrived != self._seen_arrived:
            self._seen_arrived, self._arrived_at = self.wire.arrived, trio.current_time()
        return self._arrived_at

    @property
    def last_progress(self) -> float:
        """When frames were sent or taken last, as far as somebody has looked since."""
        progress = self.wire.flushed, self.wire.granted
        if progress != self._seen_progress:
            self._seen_progress, self._progressed_at = progress, trio.current_time()
        return self._progressed_at

    def limit_messages(self, max_bytes: int) -> None:
        """Take no message from now on that is longer."""
        self._max_bytes = max_bytes

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send a message in parts, each when there is credit for it.

        Raises:
            ChannelClosedError: the channel has ended.
        """
        async with self._sending:
            group: list[bytes] = []
            is_begun = False
            try:
                for frame in cut(data):
                    cost = len(frame) + FRAME_COST
                    if not self._has_room(cost):
                        is_begun = is_begun or bool(group)
                        self._post(group)
                        group = []
                        await self._wait(partial(self._has_room, cost))
                    self._raise_end()
                    self._spent += cost
                    self._posted += len(frame)
                    group.append(frame)
            except trio.Cancelled:
                if is_begun:
                    # Half a message has gone: nothing that follows it would be understood.
                    self.end(ChannelClosedError("the link is closed"))
                raise
            self._post(group)

    def _has_room(self, cost: int) -> bool:
        wire = self.wire
        has_credit = self._spent + cost <= wire.granted
        return self._ended() or (has_credit and self._posted - wire.flushed <= HIGH_BYTES)

    def _post(self, frames: list[bytes]) -> None:
        if frames:
            self._event_loop.post(self.wire.write, frames)

    async def receive(self) -> bytes:
        """The next message.

        Raises:
            ChannelClosedError: the channel has ended; what came before is received first.
            ProtocolViolationError: what came breaks the rules of the data channel.
        """
        await trio.lowlevel.checkpoint()
        frames = self.wire.frames
        while True:
            while frames and self._end is None:
                message = self._add(frames.popleft())
                if message is not None:
                    return message
            self._raise_end()
            await self._wait(lambda: bool(frames) or self._ended())

    def _add(self, frame: bytes) -> bytes | None:
        """Take a part; return the message with the last one."""
        self._taken += len(frame) + FRAME_COST
        self._seen_arrived, self._arrived_at = self.wire.arrived, trio.current_time()
        if self._taken - self._credited >= WINDOW_BYTES // 2:
            credit = self._taken - self._credited
            self._credited = self._taken
            self._event_loop.post(self.wire.write, [bytes([CREDIT]) + credit.to_bytes(4, "big")])
        self._parts.append(frame[1:])
        self._part_bytes += len(frame) - 1
        if self._part_bytes > self._max_bytes:
            self.end(ProtocolViolationError("a message is too long"))
            self._raise_end()
        if frame[0] == MORE:
            return None
        message = b"".join(self._parts)
        self._parts, self._part_bytes = [], 0
        return message

    async def aclose(self) -> None:
        """End the channel, after what has been sent on it."""
        self.end(ChannelClosedError("the link is closed"))
        await trio.lowlevel.checkpoint()

    def end(self, error: ChannelClosedError) -> None:
        """End the channel at this end; its connection tells the other one."""
        if self._end is None:
            self._end = error
            self._news.unpark_all()
            self._event_loop.post(self.wire.close, str(error))

    def _ended(self) -> bool:
        return self._end is not None or self.wire.end is not None

    def _raise_end(self) -> None:
        end = self._end or self.wire.end
        if end is not None:
            raise type(end)(str(end))

    async def _wait(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so that the loop brings about."""
        while not condition():
            self._is_awaited = True
            if condition():  # between the two, the loop has seen nobody wait
                return
            await self._news.park()

    def _notify(self) -> None:
        """Wake who waits; called in the loop's thread."""
        if self._is_awaited:
            self._is_awaited = False
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._news.unpark_all, idempotent=True)
