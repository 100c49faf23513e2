"""A room's parts: the control link of its root, and the nodes that are relayed to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from ..net.relayed.frames import WINDOW_BYTES, Ending
from ..net.relayed.outbox import Outbox
from .rate import TokenBucket

SENTENCES = {
    Ending.NO_ROOM: "no run is here under this link: it has not begun, or it ended long ago",
    Ending.FINISHED: "the run is over",
    Ending.AWAY: "the run has lost its connection to the server, and may come back",
    Ending.RESTART: "the server is being restarted",
    Ending.BROKEN_RULES: "what was sent broke the rules of the relay",
    Ending.SILENT: "nothing was read or sent for too long",
    Ending.CLOSED_BY_ROOT: "the run has closed the connection",
}


class RoomsFullError(Exception):
    """No more can be let in. `str` of it says which limit has been met."""


class JoinError(Exception):
    """A node cannot be relayed to the room it asks for.

    Attributes:
        ending: why.
        news: the link of the room's root, where that is told as well.
    """

    def __init__(self, ending: Ending, sentence: str = "", news: Sequence[RootLink] = ()) -> None:
        super().__init__(sentence or SENTENCES[ending])
        self.ending = ending
        self.news = news


class RootLink:
    """The control link of a root: a room.

    Attributes:
        room: the name of the room.
        is_open: whether frames are still taken from it.
        dismissal: what to send last, then to close the link; None while it is to go on.
        heard, sent: when something came, and went, last.
    """

    def __init__(self, room: str, rate: float, now: float) -> None:
        self.room = room
        self.is_open = True
        self.dismissal: bytes | None = None
        self.heard = self.sent = now
        self.outbox = Outbox()
        self.nodes: dict[int, RelayedNode] = {}
        self.bucket = TokenBucket(rate, now)
        self.owing: dict[RelayedNode, None] = {}
        self.last_node = now
        self.noticed: dict[str, float] = {}
        self.last_number = 0


class RelayedNode:
    """A node that is relayed, or has been until just now.

    Attributes:
        address: where it connects from.
        ending: why its connection is to be closed, once what waits for it has been written; None
            while it is to go on.
        sentence: the same in words.
    """

    __slots__ = (
        "address",
        "credit",
        "ending",
        "is_joined",
        "link",
        "number",
        "sentence",
        "waiting",
        "window",
        "written",
    )

    def __init__(self, link: RootLink, number: int, address: str) -> None:
        self.link = link
        self.number = number
        self.address = address
        self.ending: Ending | None = None
        self.sentence = ""
        self.is_joined = True
        self.waiting: deque[bytes] = deque()
        self.credit = WINDOW_BYTES
        """Bytes that the root still takes."""
        self.window = WINDOW_BYTES
        """Bytes that the root may still send."""
        self.written = 0
        """Bytes written to the node for which no credit has been given yet."""
