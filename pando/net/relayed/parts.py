"""Messages in parts: a long one must not hold up what else goes through the same link.

A part begins with one byte, which tells whether more parts of its message follow.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...errors import ProtocolViolationError
from .frames import MAX_PART_BYTES

MORE, LAST = b"\x00", b"\x01"
_CONTENT_BYTES = MAX_PART_BYTES - 1


def split(message: bytes | bytearray | memoryview) -> Iterator[bytes]:
    """The parts of a message, in order."""
    view = memoryview(message)
    last = max(0, len(view) - 1) // _CONTENT_BYTES * _CONTENT_BYTES
    for start in range(0, last, _CONTENT_BYTES):
        yield MORE + view[start : start + _CONTENT_BYTES]
    yield LAST + view[last:]


class Assembler:
    """Puts parts together again.

    Args:
        max_bytes: of a message; may be set later.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, part: bytes) -> bytes | None:
        """Take a part; return the message that it completes, if it does.

        Raises:
            ProtocolViolationError: it is no part, or its message is too long.
        """
        self._size += len(part) - 1
        if part[:1] not in (MORE, LAST) or (part[:1] == MORE and len(part) == 1):
            raise ProtocolViolationError("a part of a message was malformed")
        if self._size > self.max_bytes:
            raise ProtocolViolationError("a message was too large")
        if part[:1] == MORE:
            self._parts.append(part[1:])
            return None
        if not self._parts:
            self._size = 0
            return part[1:]
        message = b"".join([*self._parts, part[1:]])
        self._parts, self._size = [], 0
        return message
