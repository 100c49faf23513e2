"""Length-prefixed framing of messages on a byte stream."""

from __future__ import annotations

import struct

from ..buffers import Pieces

HEADER = struct.Struct(">I")
RECEIVE_SIZE = 256 * 1024
"""Bytes to ask the operating system for at once."""


def frame(*message: bytes) -> bytes:
    """Return a message, given in pieces, after its length, in four bytes, big-endian."""
    return b"".join((HEADER.pack(sum(map(len, message))), *message))


def write_header(framed: bytearray) -> None:
    """Write the length of a message before it, into the first four bytes."""
    HEADER.pack_into(framed, 0, len(framed) - HEADER.size)


class FrameReader:
    """Splits a byte stream into messages. Each is copied once, however it comes."""

    def __init__(self) -> None:
        self._header = b""
        """A header's beginning, whose end has not come."""
        self._pieces = Pieces()
        self._missing = 0
        """Bytes of a message whose beginning has come."""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that these bytes complete, often none or one."""
        if self._header:
            data, self._header = self._header + data, b""
        messages = []
        start, size = 0, len(data)
        view = memoryview(data)
        while start < size:
            if not self._missing:
                if size - start < HEADER.size:
                    self._header = data[start:]
                    break
                (self._missing,) = HEADER.unpack_from(data, start)
                start += HEADER.size
            piece = view[start : start + self._missing]
            start += len(piece)
            self._missing -= len(piece)
            self._pieces.add(piece)
            if not self._missing:
                messages.append(self._pieces.take())
        return messages
