"""Length-prefixed framing of messages on a byte stream."""

from __future__ import annotations

import struct

HEADER = struct.Struct(">I")
RECEIVE_SIZE = 256 * 1024
"""Bytes to ask the operating system for at once."""


def frame(message: bytes) -> bytes:
    """Return a message after its length, in four bytes, big-endian."""
    return HEADER.pack(len(message)) + message


def write_header(framed: bytearray) -> None:
    """Write the length of a message before it, into the first four bytes."""
    HEADER.pack_into(framed, 0, len(framed) - HEADER.size)


class FrameReader:
    """Splits a byte stream into messages. Most of them are copied once."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that these bytes complete, often none or one."""
        buffer = self._buffer
        unread: bytes | bytearray = data
        if buffer:
            buffer += data
            unread = buffer
        messages = []
        start = 0
        size = len(unread)
        with memoryview(unread) as view:
            while size - start >= HEADER.size:
                (length,) = HEADER.unpack_from(unread, start)
                end = start + HEADER.size + length
                if size < end:
                    break
                messages.append(bytes(view[start + HEADER.size : end]))
                start = end
            if unread is data and start < size:
                buffer += view[start:]
        if unread is buffer:
            del buffer[:start]
        return messages
