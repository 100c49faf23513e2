"""The frames on a control link, between a root and the server that relays for it.

A message of the control link holds one frame or several. A frame is a header and a payload::

    kind     1 byte
    stream   4 bytes, big endian: which joining node; 0 where the frame is about the link itself
    length   4 bytes, big endian: of the payload

The server passes the payload of a `PART` on as it came. It is one part of a message between root
and joining node, which are the only ones to understand it.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from ...errors import ProtocolViolationError

MAX_PART_BYTES = 64 * 1024
"""The longest part of a message: after it others have their turn."""
WINDOW_BYTES = 4 * MAX_PART_BYTES
"""Bytes of parts that may be on their way in one direction of a stream, before credit comes."""
MAX_SENTENCE_BYTES = 500
MAX_ADDRESS_BYTES = 64
MAX_MESSAGE_BYTES = 256 * 1024
"""The longest message of the control link."""
CLOSE_CODE = 4000
"""A server closes a node's WebSocket with this code and the number of the `Ending` added."""

_HEADER = struct.Struct(">BII")
_CREDIT = struct.Struct(">I")
_GOODBYE = struct.Struct(">I")
HEADER_BYTES = _HEADER.size


class Kind(IntEnum):
    """What a frame is."""

    HEARTBEAT = 1
    """From both ends, when nothing else is sent."""
    OPENED = 2
    """From the server: a node has come. Its purpose, and its address as text."""
    PART = 3
    """A part of a message."""
    CREDIT = 4
    """So many bytes more of parts may be sent on this stream."""
    CLOSED = 5
    """The stream has ended: an `Ending`, and a sentence. Nothing follows on it."""
    GOODBYE = 6
    """From the server, at the end of the link: seconds after which to come back, a sentence."""
    NOTICE = 7
    """From the server: a sentence for the person who runs the root."""
    FINISHED = 8
    """From the root, at the end of the link: the run is over."""


class Ending(IntEnum):
    """Why a stream has ended."""

    LEFT = 0
    """The node has closed its connection, or lost it."""
    CLOSED_BY_ROOT = 1
    NO_ROOM = 2
    """The run is not known: it has not begun, or ended long ago."""
    FINISHED = 3
    """The run is over."""
    AWAY = 4
    """The root's link is lost; it may come back."""
    RESTART = 5
    """The server ends; it, or another one, may come back."""
    FULL = 6
    """A limit has been met."""
    BROKEN_RULES = 7
    """What the node sent was malformed or too large."""
    SILENT = 8
    """Nothing has come from the node, or it has read nothing."""


class Purpose(IntEnum):
    """What a stream is for."""

    NODE = 0
    MONITORING = 1
    PAGE = 2
    """A page that asks what the run is."""


_MAX_PAYLOAD = {
    Kind.HEARTBEAT: 0,
    Kind.OPENED: 1 + MAX_ADDRESS_BYTES,
    Kind.PART: MAX_PART_BYTES,
    Kind.CREDIT: _CREDIT.size,
    Kind.CLOSED: 1 + MAX_SENTENCE_BYTES,
    Kind.GOODBYE: _GOODBYE.size + MAX_SENTENCE_BYTES,
    Kind.NOTICE: MAX_SENTENCE_BYTES,
    Kind.FINISHED: 0,
}
_MIN_PAYLOAD = {
    Kind.OPENED: 1,
    Kind.PART: 1,
    Kind.CREDIT: _CREDIT.size,
    Kind.CLOSED: 1,
    Kind.GOODBYE: _GOODBYE.size,
}
_OF_STREAMS = frozenset({Kind.OPENED, Kind.PART, Kind.CREDIT, Kind.CLOSED})


class Frame(NamedTuple):
    """A frame that has come."""

    kind: Kind
    stream: int
    payload: bytes


class MalformedFrameError(ProtocolViolationError):
    """What came on a control link is not what may come on one."""


def encode(kind: Kind, stream: int = 0, payload: bytes = b"") -> bytes:
    """A frame as it is sent."""
    return _HEADER.pack(kind, stream, len(payload)) + payload


def encode_part_head(stream: int, size: int) -> bytes:
    """What comes before a part of this many bytes, which then need not be copied once more."""
    return _HEADER.pack(Kind.PART, stream, size)


def encode_credit(stream: int, size: int) -> bytes:
    """The frame that grants a stream more bytes."""
    return encode(Kind.CREDIT, stream, _CREDIT.pack(size))


def encode_opened(stream: int, purpose: Purpose, address: str) -> bytes:
    """The frame that tells the root of a new stream."""
    return encode(Kind.OPENED, stream, bytes([purpose]) + cut_bytes(address, MAX_ADDRESS_BYTES))


def encode_closed(stream: int, ending: Ending, sentence: str) -> bytes:
    """The frame that ends a stream, with the reason in words."""
    return encode(Kind.CLOSED, stream, bytes([ending]) + cut_bytes(sentence, MAX_SENTENCE_BYTES))


def encode_goodbye(seconds: int, sentence: str) -> bytes:
    """The frame that ends a control link, with the seconds after which to come back."""
    payload = _GOODBYE.pack(seconds) + cut_bytes(sentence, MAX_SENTENCE_BYTES)
    return encode(Kind.GOODBYE, 0, payload)


def encode_notice(sentence: str) -> bytes:
    """The frame that tells the person who runs the root something."""
    return encode(Kind.NOTICE, 0, cut_bytes(sentence, MAX_SENTENCE_BYTES))


def decode(message: bytes) -> list[Frame]:
    """The frames of one message.

    Raises:
        MalformedFrameError: it is not a row of frames, each within its bounds.
    """
    if not message or len(message) > MAX_MESSAGE_BYTES:
        raise MalformedFrameError("a control message is empty or too long")
    found = []
    at, end = 0, len(message)
    while at < end:
        if end - at < HEADER_BYTES:
            raise MalformedFrameError("a frame is cut off")
        number, stream, length = _HEADER.unpack_from(message, at)
        at += HEADER_BYTES
        kind = _KINDS.get(number)
        if kind is None:
            raise MalformedFrameError(f"a frame is of no known kind: {number}")
        if not _MIN_PAYLOAD.get(kind, 0) <= length <= _MAX_PAYLOAD[kind]:
            raise MalformedFrameError(f"a frame of kind {kind.name} has {length} bytes")
        if length > end - at:
            raise MalformedFrameError("a frame is cut off")
        if (stream != 0) != (kind in _OF_STREAMS):
            raise MalformedFrameError(f"a frame of kind {kind.name} is about stream {stream}")
        found.append(Frame(kind, stream, message[at : at + length]))
        at += length
    return found


_KINDS = {int(kind): kind for kind in Kind}


def read_credit(payload: bytes) -> int:
    """The bytes that a credit frame gives.

    Raises:
        MalformedFrameError: more than a window, or nothing.
    """
    (size,) = _CREDIT.unpack(payload)
    if not 0 < size <= WINDOW_BYTES:
        raise MalformedFrameError(f"a credit of {size} bytes")
    return int(size)


def read_opened(payload: bytes) -> tuple[Purpose, str]:
    """The purpose and the address of a node that has come."""
    try:
        purpose = Purpose(payload[0])
    except ValueError:
        raise MalformedFrameError("a stream is of no known purpose") from None
    return purpose, read_text(payload[1:])


def read_closed(payload: bytes) -> tuple[Ending, str]:
    """Why a stream has ended."""
    try:
        ending = Ending(payload[0])
    except ValueError:
        raise MalformedFrameError("a stream has ended for no known reason") from None
    return ending, read_text(payload[1:])


def read_goodbye(payload: bytes) -> tuple[int, str]:
    """The seconds after which to come back, and why the link ends."""
    (seconds,) = _GOODBYE.unpack_from(payload)
    return int(seconds), read_text(payload[_GOODBYE.size :])


def read_text(data: bytes) -> str:
    """A sentence from the other end; what is not UTF-8 is replaced."""
    return data.decode("utf-8", "replace")


def cut_bytes(text: str, size: int) -> bytes:
    """A text in UTF-8, cut between two characters where it is too long."""
    data = text.encode("utf-8", "replace")[:size]
    return data.decode("utf-8", "ignore").encode()
