"""Large messages: cut into parts, so that others overtake them, and put together again.

A message of more than `MAX_WHOLE_BYTES` is announced and sent in parts; heartbeats and what other
tasks send go in between. One that is larger than `FREE_BYTES` waits until the other end grants
it, which it does when it has the memory: all that a process puts together at once shares one
`Memory`. Each direction has one large message at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from .. import messages
from ..limits import MAX_VALUE_BYTES

MAX_WHOLE_BYTES = 1024 * 1024
"""The largest message that is sent as it is."""
PART_BYTES = 256 * 1024
"""What of a larger one goes into one part."""
FREE_BYTES = 16 * 1024 * 1024
"""The largest message that needs no grant."""
SHARED_BYTES = 256 * 1024 * 1024
"""Memory for messages that are being put together, besides the largest one."""
ENVELOPE_BYTES = 1024 * 1024
"""What a message may have besides its largest value."""


class Memory:
    """What the large messages that a process receives may take while they are incomplete.

    Args:
        max_value: bytes of the largest value that is taken.
    """

    def __init__(self, max_value: int = MAX_VALUE_BYTES) -> None:
        self.max_message = max_value + ENVELOPE_BYTES
        self._free = self.max_message + SHARED_BYTES
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()

    def reserve(self, size: int, granted: Callable[[], None]) -> None:
        """Call `granted` as soon as there is room for a message, in the order of the requests."""
        self._waiting.append((size, granted))
        self._grant()

    def release(self, size: int, granted: Callable[[], None]) -> None:
        """Take back what was reserved, whether it has been granted or not."""
        if (size, granted) in self._waiting:
            self._waiting.remove((size, granted))
        else:
            self._free += size
        self._grant()

    def _grant(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            size, granted = self._waiting.popleft()
            self._free -= size
            granted()


shared_memory = Memory()
"""The memory of this process."""


def cut(data: bytes) -> Iterator[bytes]:
    """Return a message in parts, each encoded."""
    view = memoryview(data)
    for start in range(0, len(data), PART_BYTES):
        yield messages.encode(messages.Part(bytes(view[start : start + PART_BYTES])))


class Assembly:
    """A large message that is being put together."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._size = 0
        self._data = bytearray()
        self._granted: Callable[[], None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether parts are missing."""
        return self._size > 0

    def begin(self, size: int, grant: Callable[[], None]) -> None:
        """Take note that a message follows; `grant` is called where it needs one.

        Raises:
            MalformedMessageError: it is too large, or comes amid another one.
        """
        if self._size or not MAX_WHOLE_BYTES < size <= self._memory.max_message:
            most = self._memory.max_message
            raise messages.MalformedMessageError(
                f"a message of {size:,} bytes, of which {most:,} are taken, or amid another"
            )
        self._size = size
        if size > FREE_BYTES:
            self._granted = grant
            self._memory.reserve(size, grant)

    def add(self, data: bytes) -> bytearray | None:
        """Add a part; returns the message with the last one.

        Raises:
            MalformedMessageError: more comes than was announced.
        """
        if not data or len(self._data) + len(data) > self._size:
            raise messages.MalformedMessageError("a part of no message")
        self._data += data
        if len(self._data) < self._size:
            return None
        whole = self._data
        self.drop()
        return whole

    def drop(self) -> None:
        """Forget the message, whose end has come or never will."""
        if self._granted is not None:
            self._memory.release(self._size, self._granted)
        self._size, self._data, self._granted = 0, bytearray(), None
