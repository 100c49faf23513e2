"""What a worker reads and writes, by hand: `pando.messages` without msgspec.

Importing msgspec would take longer than all the rest of a worker's start, and a worker says and
is told few things.
"""

from __future__ import annotations

import msgpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    Description = tuple[str, str, str]
    """An exception's type, its text and its traceback."""
    Failure = Description | tuple[str, str, str, str, bytes]
    """The same; then perhaps no device, and its encoded arguments."""

MAX_HEAD_BYTES = 64
"""A message's tag and its lease take less."""
NO_RESULT = b"\x91\xc0"
"""Encoded results: one, and it is None."""
HEADER_OF_SIX = b"\x96"
"""What an array of six fields begins with, as one byte does for any array of up to fifteen."""


def read_load(message: bytes) -> tuple[bytes, list[str], list[str], str]:
    """The fields of a `Load`, the first message of all."""
    _, function, path, arguments, folder = msgpack.unpackb(message)
    assert isinstance(function, bytes)
    return function, [*map(_text, path)], [*map(_text, arguments)], _text(folder)


def _text(name: bytes) -> str:
    """A file's name, which may be no proper Unicode."""
    return name.decode("utf-8", "surrogateescape")


def read(message: bytes) -> tuple[str, int, memoryview]:
    """The tag of any other message, its lease, and what follows, which stays encoded."""
    unpacker = msgpack.Unpacker()
    unpacker.feed(message[:MAX_HEAD_BYTES])
    unpacker.read_array_header()
    tag, lease = unpacker.unpack(), unpacker.unpack()
    return tag, lease, memoryview(message)[unpacker.tell() :]


def split(encoded: memoryview) -> list[memoryview]:
    """The members of an encoded array, each still encoded."""
    unpacker = msgpack.Unpacker(max_buffer_size=0)
    unpacker.feed(encoded)
    members = []
    for _ in range(unpacker.read_array_header()):
        start = unpacker.tell()
        unpacker.skip()
        members.append(encoded[start : unpacker.tell()])
    return members


def write(*fields: str | float) -> bytes:
    """A message of a tag and fields."""
    message: bytes = msgpack.packb(fields)
    return message


def write_results(
    lease: int, offset: int, seconds: float, encoded: bytes, failures: dict[int, Failure]
) -> bytes:
    """A message with results that have been encoded already."""
    head = write("results", lease, offset, seconds)
    return b"".join([HEADER_OF_SIX, head[1:], encoded, msgpack.packb(failures)])
