"""Whole messages in a WebSocket's frames (RFC 6455, section 5), each copied as seldom as possible.

`websockets` reads and writes frames of every kind, and copies a payload four times over. Nearly
all that nodes send are binary messages in one frame each: those are taken from the stream here.
All else is left to the library as it came: the opening handshake, pings and closing, messages in
several frames, and whatever breaks a rule.
"""

from __future__ import annotations

import secrets
from typing import NamedTuple

from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, CONNECTING, SERVER, Event, Protocol

from ..buffers import LARGE_BYTES, Pieces, keep_freed_memory

try:
    from websockets.speedups import apply_mask
except ImportError:  # where it could not be compiled
    from websockets.utils import apply_mask

FIN, CONTROL = 0x80, 0x08
"""In the first byte: nothing of the message follows this frame; it is no part of a message."""
FIN_BINARY = FIN | Opcode.BINARY
"""The first byte of a binary message in one frame, with no extension."""
MASKED = 0x80
"""In the second byte: the payload is masked, as everything is that a client sends."""
SHORT, TWO_BYTES, EIGHT_BYTES = 125, 126, 127
LENGTH_BYTES = {TWO_BYTES: 2, EIGHT_BYTES: 8}
"""In the second byte: a length of `SHORT` or less, or in how many bytes it follows."""
MASK_BYTES = 4
MAX_HEAD_BYTES = 2 + 8 + MASK_BYTES
JOINED_BYTES = 16 * 1024
"""The longest message that is copied after its head: copying it costs less than a second piece."""


def encode_message(protocol: Protocol, data: bytes) -> list[bytes]:
    """Return the frame of a message in pieces, which are to be sent one after the other."""
    length = len(data)
    if length > LARGE_BYTES:
        keep_freed_memory()
    masked = MASKED if protocol.side is CLIENT else 0
    if length <= SHORT:
        head = bytes((FIN_BINARY, masked | length))
    elif length < 1 << 16:
        head = bytes((FIN_BINARY, masked | TWO_BYTES)) + length.to_bytes(2, "big")
    else:
        head = bytes((FIN_BINARY, masked | EIGHT_BYTES)) + length.to_bytes(8, "big")
    if masked:
        mask = secrets.token_bytes(MASK_BYTES)
        head += mask
        data = apply_mask(data, mask)
    return [head + data] if length <= JOINED_BYTES else [head, data]


class _Head(NamedTuple):
    """The head of a frame.

    Attributes:
        size: bytes of the head itself.
        length: bytes of the payload.
        mask: what the payload is masked with; empty where it is not.
        first: its first byte, which tells the kind of frame.
    """

    size: int
    length: int
    mask: bytes
    first: int


def _parse_head(data: bytes) -> _Head | None:
    """Return the head of the frame that begins here; None where its end has not come."""
    if len(data) < 2:
        return None
    length = data[1] & ~MASKED
    at_mask = 2 + LENGTH_BYTES.get(length, 0)
    size = at_mask + (MASK_BYTES if data[1] & MASKED else 0)
    if len(data) < size:
        return None
    if at_mask > 2:
        length = int.from_bytes(data[2:at_mask], "big")
    return _Head(size, length, data[at_mask:size], data[0])


class FrameReader:
    """Reads what comes on a WebSocket.

    Args:
        protocol: the library's end of it, which reads all but whole messages.
    """

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._has_masks = protocol.side is SERVER
        self._head = b""
        """A head's beginning, whose end has not come."""
        self._early = b""
        """What a client has sent before its request was answered."""
        self._message: _Head | None = None
        """The head of the message that is coming; None where the frame is for the library."""
        self._pieces = Pieces()
        self._is_amid = False
        """Whether a message in several frames has begun and not ended."""
        self.missing = 0
        """Bytes of a frame's payload that have not come."""

    @property
    def is_behind(self) -> bool:
        """Whether something that has come can be read now."""
        return bool(self._early) and self._protocol.state is not CONNECTING

    def receive(self, data: bytes) -> list[Event]:
        """Take what has come; return the events that it completes, the first one first."""
        events: list[Event] = []
        rest = memoryview(self._early + self._head + data)
        self._early = self._head = b""
        while rest:
            if self._protocol.state is CONNECTING:
                if events:
                    self._early = bytes(rest)
                    break
                rest = self._read_line(rest, events)
            elif self._has_failed:
                rest = self._leave(rest, len(rest), events)
            elif self.missing:
                rest = self._read_payload(rest, events)
            else:
                rest = self._read_head(rest, events)
        return events

    @property
    def _has_failed(self) -> bool:
        """Whether the library takes no frames any more: one broke a rule, or was the last."""
        return self._protocol.parser_exc is not None or self._protocol.close_rcvd is not None

    def _read_line(self, rest: memoryview, events: list[Event]) -> memoryview:
        """Leave one line of the handshake to the library, and nothing that may follow it."""
        end = bytes(rest).find(b"\n") + 1
        return self._leave(rest, end or len(rest), events)

    def _read_head(self, rest: memoryview, events: list[Event]) -> memoryview:
        head = _parse_head(bytes(rest[:MAX_HEAD_BYTES]))
        if head is None:
            self._head = bytes(rest)
            return rest[:0]
        self.missing = head.length
        if not self._is_wanted(head):
            self._message = None
            if not head.first & CONTROL:
                self._is_amid = not head.first & FIN
            return self._leave(rest, head.size, events)
        self._message = head
        rest = rest[head.size :]
        return rest if self.missing else self._read_payload(rest, events)

    def _is_wanted(self, head: _Head) -> bool:
        """Whether it is the head of a whole message that keeps to the rules."""
        most = self._protocol.max_message_size
        return (
            head.first == FIN_BINARY
            and bool(head.mask) is self._has_masks
            and (most is None or head.length <= most)
            and not self._is_amid
        )

    def _read_payload(self, rest: memoryview, events: list[Event]) -> memoryview:
        size = min(self.missing, len(rest))
        self.missing -= size
        if self._message is None:
            return self._leave(rest, size, events)
        self._pieces.add(rest[:size])
        if not self.missing:
            data = self._pieces.take()
            mask = self._message.mask
            events.append(Frame(Opcode.BINARY, apply_mask(data, mask) if mask else data))
        return rest[size:]

    def _leave(self, rest: memoryview, size: int, events: list[Event]) -> memoryview:
        """Leave so many bytes to the library; return what follows them."""
        self._protocol.receive_data(bytes(rest[:size]))
        events += self._protocol.events_received()
        return rest[size:]
