"""Frames: messages on a byte stream, each behind its length."""

from __future__ import annotations

import struct

HEADER = struct.Struct(">I")
RECEIVE_SIZE = 256 * 1024
"""Bytes to ask the operating system for at once."""


def frame(message: bytes) -> bytes:
    """A message behind its length, in four bytes, big-endian."""
    return HEADER.pack(len(message)) + message


class FrameReader:
    """Takes bytes as they come and gives whole messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that these bytes complete, often none or one."""
        buffer = self._buffer
        buffer += data
        messages = []
        start = 0
        while len(buffer) - start >= HEADER.size:
            (length,) = HEADER.unpack_from(buffer, start)
            end = start + HEADER.size + length
            if len(buffer) < end:
                break
            messages.append(bytes(buffer[start + HEADER.size : end]))
            start = end
        del buffer[:start]
        return messages
