"""The messages of a worker process, encoded by hand: `pando.messages` without msgspec.

Importing msgspec would take longer than all the rest of a worker's start, and a worker says and
is told few things.
"""

from __future__ import annotations

import msgpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    Description = tuple[str, str, str]
    """An exception's type, its text and its traceback."""
    FailureTuple = Description | tuple[str, str, str, str, bytes]
    """The same; then perhaps no device, and its encoded arguments."""

MAX_HEAD_BYTES = 64
"""A message's tag and its lease take less."""
NO_RESULT = b"\x91\xc0"
"""Encoded results: one, and it is None."""
HEADER_OF_SIX = b"\x96"
"""What an array of six fields begins with, as one byte does for any array of up to fifteen."""


def read_load(message: bytes) -> tuple[list[str], list[str], str, dict[str, str]]:
    """Return the fields of a `Load`, the first message of all."""
    _, path, arguments, folder, places = msgpack.unpackb(message)
    texts = {name: _text(place) for name, place in places.items()}
    return [*map(_text, path)], [*map(_text, arguments)], _text(folder), texts


def _text(name: bytes) -> str:
    """Return a file's name, which may be no proper Unicode."""
    return name.decode("utf-8", "surrogateescape")


def read(message: bytes) -> tuple[str, int, memoryview]:
    """Return the tag of any other message, its lease, and what follows, which stays encoded.

    Of a `Lend` that is the items, without the last byte: whether it is a copy is not for workers.
    """
    unpacker = msgpack.Unpacker()
    unpacker.feed(message[:MAX_HEAD_BYTES])
    unpacker.read_array_header()
    tag, lease = unpacker.unpack(), unpacker.unpack()
    end = len(message) - (tag == "lend")
    return tag, lease, memoryview(message)[unpacker.tell() : end]


def split(encoded: memoryview) -> list[memoryview]:
    """Return the members of an encoded array, each still encoded."""
    unpacker = msgpack.Unpacker(max_buffer_size=0)
    unpacker.feed(encoded)
    members = []
    for _ in range(unpacker.read_array_header()):
        start = unpacker.tell()
        unpacker.skip()
        members.append(encoded[start : unpacker.tell()])
    return members


def write(*fields: str | float) -> bytes:
    """Return a message of a tag and fields."""
    message: bytes = msgpack.packb(fields)
    return message


def write_results(
    lease: int, offset: int, seconds: float, encoded: bytes, failures: dict[int, FailureTuple]
) -> tuple[bytes, bytes, bytes]:
    """Return a message with results that have been encoded already, in pieces."""
    head = write("results", lease, offset, seconds)
    return HEADER_OF_SIX + head[1:], encoded, msgpack.packb(failures)
