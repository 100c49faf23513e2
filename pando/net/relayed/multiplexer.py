"""The root's end of a control link, without I/O: one stream for each relayed node."""

from __future__ import annotations

from dataclasses import dataclass

from . import frames
from .frames import WINDOW_BYTES, Ending, Kind, MalformedFrameError, Purpose
from .outbox import Outbox

CREDIT_BYTES = WINDOW_BYTES // 4
"""Bytes that are taken in before credit is given for them."""


@dataclass(frozen=True)
class Opened:
    """A node has come."""

    stream: int
    purpose: Purpose
    address: str


@dataclass(frozen=True)
class Received:
    """A part has come."""

    stream: int
    part: bytes


@dataclass(frozen=True)
class Credited:
    """More may be sent."""

    stream: int


@dataclass(frozen=True)
class Closed:
    """A stream has ended, by the server."""

    stream: int
    ending: Ending
    sentence: str


@dataclass(frozen=True)
class Noticed:
    """The server has a sentence for the person who runs this root."""

    sentence: str


@dataclass(frozen=True)
class Dismissed:
    """The server ends the link, and says when to come back."""

    seconds: int
    sentence: str


Event = Opened | Received | Credited | Closed | Noticed | Dismissed


class _Stream:
    def __init__(self) -> None:
        self.credit = WINDOW_BYTES
        self.window = WINDOW_BYTES
        self.taken_in = 0


class Multiplexer:
    """Tells what comes apart by stream, and keeps what is to be sent.

    Attributes:
        outbox: what waits to be sent.
    """

    def __init__(self) -> None:
        self.outbox = Outbox()
        self._streams: dict[int, _Stream] = {}
        self._last_stream = 0

    def receive(self, message: bytes) -> list[Event]:
        """Take a message from the server.

        Raises:
            MalformedFrameError: the server does not keep to the protocol; the link must end.
        """
        events: list[Event] = []
        for kind, number, payload in frames.decode(message):
            if kind is Kind.OPENED:
                events.append(self._open(number, payload))
            elif kind is Kind.PART:
                if (stream := self._find(number)) is not None:
                    stream.window -= len(payload)
                    if stream.window < 0:
                        raise MalformedFrameError("more has come than there was credit for")
                    events.append(Received(number, payload))
            elif kind is Kind.CREDIT:
                size = frames.read_credit(payload)
                if (stream := self._find(number)) is not None:
                    stream.credit += size
                    if stream.credit > WINDOW_BYTES:
                        raise MalformedFrameError("more credit has come than was used")
                    events.append(Credited(number))
            elif kind is Kind.CLOSED:
                ending, sentence = frames.read_closed(payload)
                if self._find(number) is not None:
                    del self._streams[number]
                    self.outbox.discard(number)
                    events.append(Closed(number, ending, sentence))
            elif kind is Kind.NOTICE:
                events.append(Noticed(frames.read_text(payload)))
            elif kind is Kind.GOODBYE:
                events.append(Dismissed(*frames.read_goodbye(payload)))
            elif kind is not Kind.HEARTBEAT:
                raise MalformedFrameError(f"a server sends no frame of kind {kind.name}")
        return events

    def _open(self, number: int, payload: bytes) -> Opened:
        if number <= self._last_stream:
            raise MalformedFrameError("a stream was opened twice")
        self._last_stream = number
        self._streams[number] = _Stream()
        return Opened(number, *frames.read_opened(payload))

    def _find(self, number: int) -> _Stream | None:
        """The stream; None where it has ended here already, which the server may not know yet."""
        if number > self._last_stream:
            raise MalformedFrameError("a frame is about a stream that was never opened")
        return self._streams.get(number)

    def is_open(self, number: int) -> bool:
        """Whether neither end has closed the stream."""
        return number in self._streams

    def may_send(self, number: int, size: int) -> bool:
        """Whether there is credit for a part of this many bytes on an open stream."""
        return self._streams[number].credit >= size

    def send(self, number: int, part: bytes) -> None:
        """Let a part wait for its turn; `may_send` must have allowed it."""
        stream = self._streams[number]
        assert stream.credit >= len(part)
        stream.credit -= len(part)
        self.outbox.push_part(number, part)

    def take_in(self, number: int, size: int) -> None:
        """Say that this many bytes of what came have been used, so that as many may follow."""
        stream = self._streams.get(number)
        if stream is None:
            return
        stream.taken_in += size
        if stream.taken_in >= CREDIT_BYTES:
            stream.window += stream.taken_in
            self.outbox.push_urgent(frames.encode_credit(number, stream.taken_in))
            stream.taken_in = 0

    def close(self, number: int, sentence: str = "") -> None:
        """End a stream after what waits on it."""
        if self._streams.pop(number, None) is not None:
            frame = frames.encode_closed(number, Ending.CLOSED_BY_ROOT, sentence)
            self.outbox.push_end(number, frame)

    def beat(self) -> None:
        """Send a heartbeat."""
        self.outbox.push_urgent(frames.encode(Kind.HEARTBEAT))

    def finish(self) -> None:
        """Say that the run is over."""
        self.outbox.push_urgent(frames.encode(Kind.FINISHED))
