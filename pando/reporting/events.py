"""What happened in a run: events and errors, the newest of each."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import msgspec

from ..errors import sanitize_text
from ..reports.records import one_line

MAX_EVENTS = 500
MAX_ERRORS = 100
MAX_EVENT_TEXT = 300
"""Characters of an event's text."""
MAX_TRACEBACK = 8 * 1024
"""Characters of a traceback that are kept; its end says most."""

JOINED, LEFT, LOST, RETURNED, MOVED = "joined", "left", "lost", "returned", "moved"
REASSIGNED, STRUCK_OUT, REFUSED = "reassigned", "struck out", "refused"
SENT_AWAY, LET_BACK = "sent away", "let back"

T = TypeVar("T")


class Event(msgspec.Struct, frozen=True):
    """Something that happened.

    Attributes:
        at: when, in seconds since the run began.
        kind: what; one of the constants of this module.
        id: the device's identifier, empty where it has none.
        name: what the device is called.
        text: more about it.
    """

    at: float
    kind: str
    id: str = ""
    name: str = ""
    text: str = ""


class ErrorRecord(msgspec.Struct, frozen=True):
    """An item that failed.

    Attributes:
        at: when, in seconds since the run began.
        index: the item's place in the input.
        item: the item as text, shortened.
        device: what ran it.
        type, reason, traceback: of the function's exception, as text.
    """

    at: float
    index: int
    item: str
    device: str
    type: str
    reason: str
    traceback: str = ""


def new_event(at: float, kind: str, id: str = "", name: str = "", text: str = "") -> Event:
    """Return an event whose texts are short and in one line."""
    return Event(at, kind, id, one_line(name), one_line(sanitize_text(text), MAX_EVENT_TEXT))


def new_error(
    at: float, index: int, item: str, device: str, type: str, reason: str, traceback: str
) -> ErrorRecord:
    """Return an error whose texts are bounded."""
    return ErrorRecord(
        at,
        index,
        one_line(sanitize_text(item), MAX_EVENT_TEXT),
        one_line(device),
        one_line(type),
        sanitize_text(reason)[:MAX_TRACEBACK],
        sanitize_text(traceback)[-MAX_TRACEBACK:],
    )


class Ring(Generic[T]):
    """The newest of what was added.

    Attributes:
        total: how many have been added.
    """

    def __init__(self, size: int) -> None:
        self.total = 0
        self._newest: deque[T] = deque(maxlen=size)

    def add(self, item: T) -> None:
        """Add one; the oldest may be dropped for it."""
        self.total += 1
        self._newest.append(item)

    def since(self, total: int) -> list[T]:
        """Return those that were added after this many, as far as they are kept."""
        count = min(self.total - total, len(self._newest))
        return list(self._newest)[len(self._newest) - count :] if count > 0 else []
