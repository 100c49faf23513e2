"""The root's channel to one relayed node."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import trio

from ...channel import ChannelClosedError, ProtocolViolationError
from ...messages import MAX_MESSAGE_BYTES
from . import parts
from .frames import Ending
from .multiplexer import Multiplexer

MAX_SEALED_BYTES = MAX_MESSAGE_BYTES + 1024
"""The longest message, encryption included."""
ENDINGS = {
    Ending.LEFT: "the link is closed",
    Ending.BROKEN_RULES: "what it sent broke the rules of the relay",
    Ending.SILENT: "nothing was heard from it at the server, or it read nothing there",
    Ending.RESTART: "the server is being restarted",
}


class RelayedChannel:
    """A `pando.channel.Channel` of bytes over one stream of a control link.

    Args:
        multiplexer: the link's.
        number: the stream's.
        wake: called when something waits to be sent.

    Attributes:
        last_activity: when a part came last, on Trio's clock.
        last_progress: when a part was sent last.
    """

    def __init__(self, multiplexer: Multiplexer, number: int, wake: Callable[[], None]) -> None:
        self.last_activity = self.last_progress = trio.current_time()
        self._multiplexer = multiplexer
        self._number = number
        self._wake = wake
        self._assembler = parts.Assembler(MAX_SEALED_BYTES)
        self._received: deque[bytes] = deque()
        self._news = trio.lowlevel.ParkingLot()
        self._credit = trio.lowlevel.ParkingLot()
        self._sending = trio.Lock()
        self._end: ChannelClosedError | None = None

    def limit_messages(self, max_bytes: int) -> None:
        """Take no message from now on that is longer."""
        self._assembler.max_bytes = max_bytes

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send a message in parts, each when there is credit for it.

        Raises:
            ChannelClosedError: the channel has ended.
        """
        async with self._sending:
            try:
                for part in parts.split(data):
                    while self._end is None and not self._multiplexer.may_send(
                        self._number, len(part)
                    ):
                        await self._credit.park()
                    if self._end is not None:
                        raise ChannelClosedError(str(self._end))
                    self._multiplexer.send(self._number, part)
                    self.last_progress = trio.current_time()
                    self._wake()
            except trio.Cancelled:
                # Half a message may have gone: nothing that follows it would be understood.
                self.close()
                raise

    async def receive(self) -> bytes:
        """The next message.

        Raises:
            ChannelClosedError: the channel has ended; what came before is received first.
            ProtocolViolationError: what came is no message.
        """
        while True:
            while not self._received:
                if self._end is not None:
                    raise type(self._end)(str(self._end))
                await self._news.park()
            part = self._received.popleft()
            if self._end is None:
                self._multiplexer.take_in(self._number, len(part))
                self._wake()
            try:
                message = self._assembler.add(part)
            except ProtocolViolationError as error:
                self.close()
                self._received.clear()
                self._end = error
                raise
            if message is not None:
                return message

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """End the channel, after what has been sent on it."""
        if self._end is None:
            self._multiplexer.close(self._number)
            self._wake()
            self._received.clear()
            self.end(ChannelClosedError("the link is closed"))

    # ---- told by the link ----

    def take(self, part: bytes) -> None:
        """A part has come."""
        self.last_activity = trio.current_time()
        self._received.append(part)
        self._news.unpark_all()

    def take_credit(self) -> None:
        """More may be sent."""
        self._credit.unpark_all()

    def end(self, error: ChannelClosedError) -> None:
        """The stream has ended, or the whole link."""
        if self._end is None:
            self._end = error
            self._news.unpark_all()
            self._credit.unpark_all()
