"""What waits to be sent over a control link: who is next. No I/O.

Frames about the link itself, credit and news of streams go first. Parts follow, one of each stream
in turn, so that a stream with a long message holds up no other.
"""

from __future__ import annotations

from collections import deque

from . import frames
from .frames import HEADER_BYTES, MAX_MESSAGE_BYTES


class Outbox:
    """The frames that wait.

    Attributes:
        queued_bytes: bytes of parts that wait, in all.
    """

    def __init__(self) -> None:
        self.queued_bytes = 0
        self._urgent: deque[bytes] = deque()
        self._parts: dict[int, deque[bytes]] = {}
        self._sizes: dict[int, int] = {}
        self._ends: dict[int, bytes] = {}
        self._turns: deque[int] = deque()

    def __bool__(self) -> bool:
        return bool(self._urgent or self._turns)

    @property
    def has_urgent(self) -> bool:
        """Whether something waits that is not a part."""
        return bool(self._urgent)

    def push_urgent(self, frame: bytes) -> None:
        """Add a frame that goes before all parts."""
        self._urgent.append(frame)

    def push_part(self, stream: int, part: bytes) -> None:
        """Add a part to the end of its stream."""
        queue = self._parts.get(stream)
        if queue is None:
            queue = self._parts[stream] = deque()
            self._turns.append(stream)
        queue.append(part)
        self._sizes[stream] = self._sizes.get(stream, 0) + len(part)
        self.queued_bytes += len(part)

    def push_end(self, stream: int, frame: bytes) -> None:
        """Add the last frame of a stream, which goes when its parts have gone."""
        if stream in self._parts:
            self._ends[stream] = frame
        else:
            self._urgent.append(frame)

    def discard(self, stream: int) -> None:
        """Forget the parts of a stream, and its end."""
        if self._parts.pop(stream, None) is not None:
            self._turns.remove(stream)
        self._ends.pop(stream, None)
        self.queued_bytes -= self._sizes.pop(stream, 0)

    def size_of(self, stream: int) -> int:
        """Bytes of parts of a stream that wait."""
        return self._sizes.get(stream, 0)

    def take(self, *, parts: bool = True) -> tuple[bytes, dict[int, int]]:
        """Take out the next message, as long as it may be; empty where nothing waits.

        Args:
            parts: whether parts may go as well.

        Returns:
            The message, and how many bytes of parts of which streams are in it.
        """
        taken: list[bytes] = []
        sent: dict[int, int] = {}
        room = MAX_MESSAGE_BYTES
        while self._urgent and len(self._urgent[0]) <= room:
            room -= len(self._urgent[0])
            taken.append(self._urgent.popleft())
        while parts and self._turns and not self._urgent:
            stream = self._turns[0]
            queue = self._parts[stream]
            size = len(queue[0])
            end = self._ends.get(stream, b"") if len(queue) == 1 else b""
            if HEADER_BYTES + size + len(end) > room:
                break
            room -= HEADER_BYTES + size + len(end)
            taken += frames.encode_part_head(stream, size), queue.popleft()
            sent[stream] = sent.get(stream, 0) + size
            self._turns.popleft()
            if queue:
                self._turns.append(stream)
            else:
                del self._parts[stream]
            if end:
                taken.append(self._ends.pop(stream))
            self._sizes[stream] -= size
            if not self._sizes[stream]:
                del self._sizes[stream]
            self.queued_bytes -= size
        return b"".join(taken), sent
