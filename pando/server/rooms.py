"""Rooms: who is in which, what waits for whom, who may send. No I/O, no clock.

A room exists while its root's control link does. The methods are told what has happened. They
return the links and the nodes for which there is news, each of which must then be looked at: what
to send to it (`take_for_root`, `take_for_node`), whether to read from it (`may_read`), and whether
it is to be closed (`ending`, `dismissal`).

Memory is bounded by credit for each node and direction. A node is read only while the root has
given credit for it and while not too much of it waits here; the root sends only as much as has
been written to the node, and a window. So a slow reader holds up nobody else.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable

from ..net.relayed import frames
from ..net.relayed.frames import (
    MAX_PART_BYTES,
    WINDOW_BYTES,
    Ending,
    Kind,
    MalformedFrameError,
    Purpose,
)
from ..net.relayed.outbox import Outbox
from . import limits as defaults
from .limits import ServerLimits
from .room import SENTENCES, JoinError, RelayedNode, RoomsFullError, RootLink

CREDIT_BYTES = WINDOW_BYTES // 4
"""Bytes that are written to a node before the root is given credit for them."""
NOTICE_SECONDS = 60.0
"""A limit is spoken of so often."""

News = Iterable[RootLink | RelayedNode]


class Rooms:
    """All rooms of a server.

    Args:
        limits: how many of each there may be.

    Attributes:
        counters: what has happened so far, by name.
    """

    def __init__(self, limits: ServerLimits | None = None) -> None:
        self.limits = limits or ServerLimits()
        self.counters: Counter[str] = Counter()
        self._links: dict[str, RootLink] = {}
        self._ended: OrderedDict[str, tuple[Ending, float]] = OrderedDict()
        self._per_address: Counter[str] = Counter()

    @property
    def rooms(self) -> list[str]:
        """The names of the rooms."""
        return list(self._links)

    @property
    def nodes(self) -> int:
        """How many nodes are relayed."""
        return self._per_address.total()

    @property
    def queued_bytes(self) -> int:
        """Bytes of parts that wait here."""
        return sum(
            link.outbox.queued_bytes + sum(len(p) for n in link.nodes.values() for p in n.waiting)
            for link in self._links.values()
        )

    # ---- roots ----

    def open_room(self, room: str, now: float) -> tuple[RootLink, News]:
        """Open a room for a root that has proved that it is its own.

        Where the room is open already, its root has come back before the loss of its last link was
        noticed: that one ends.

        Raises:
            RoomsFullError: too many rooms are open.
        """
        news: list[RootLink | RelayedNode] = []
        before = self._links.get(room)
        if before is not None:
            sentence = "the same run has connected again"
            news = [before, *self._end_room(before, Ending.AWAY, now)]
            before.dismissal = frames.encode_goodbye(defaults.IDLE_PAUSE_SECONDS, sentence)
        elif len(self._links) >= self.limits.rooms:
            self.counters["rooms_refused"] += 1
            raise RoomsFullError(
                f"this server is full: it takes {self.limits.rooms} runs at once (MAX_ROOMS)"
            )
        link = self._links[room] = RootLink(room, self.limits.bytes_per_second, now)
        self._ended.pop(room, None)
        self.counters["rooms_opened"] += 1
        return link, news

    def lose_root(self, link: RootLink, now: float) -> News:
        """The control link is lost, or closed."""
        return self._end_room(link, Ending.AWAY, now)

    def receive_from_root(self, link: RootLink, message: bytes, now: float) -> News:
        """A message has come on a control link."""
        if not link.is_open:
            return []
        link.heard = now
        news: dict[RootLink | RelayedNode, None] = {}
        try:
            for kind, number, payload in frames.decode(message):
                if kind is Kind.PART:
                    if (node := self._find(link, number)) is not None:
                        self._take_part(node, payload, now)
                        news[node] = None
                elif kind is Kind.CREDIT:
                    size = frames.read_credit(payload)
                    if (node := self._find(link, number)) is not None:
                        node.credit += size
                        if node.credit > WINDOW_BYTES:
                            raise MalformedFrameError("more credit has come than was used")
                        news[node] = None
                elif kind is Kind.CLOSED:
                    _, sentence = frames.read_closed(payload)
                    if (node := self._find(link, number)) is not None:
                        self._remove(node)
                        node.link.outbox.discard(number)
                        self._close(node, Ending.CLOSED_BY_ROOT, sentence)
                        news[node] = None
                elif kind is Kind.FINISHED:
                    return [*news, *self._end_room(link, Ending.FINISHED, now)]
                elif kind is not Kind.HEARTBEAT:
                    raise MalformedFrameError(f"a root sends no frame of kind {kind.name}")
        except MalformedFrameError as error:
            self.counters["roots_that_broke_rules"] += 1
            link.dismissal = frames.encode_goodbye(defaults.IDLE_PAUSE_SECONDS, str(error))
            return [*news, link, *self._end_room(link, Ending.AWAY, now)]
        return news

    def take_for_root(self, link: RootLink, now: float) -> tuple[bytes, News]:
        """The next message for a root, empty where there is none now; and who may be read again.

        Where the room has used up its rate, `seconds_to_wait` says how long there will be none.
        """
        may_pass = self.seconds_to_wait(link, now) == 0.0
        if may_pass and link.owing:
            for node in link.owing:
                self._give_credit(node)
            link.owing.clear()
        elif not may_pass:
            self._notify(
                link,
                f"more waits than this server relays for one run: "
                f"{self.limits.bytes_per_second / 1e6:.3g} MB/s (ROOM_BYTES_PER_SECOND)",
                now,
            )
        message, sent = link.outbox.take(parts=may_pass)
        if message:
            link.sent = now
        size = sum(sent.values())
        if size:
            link.bucket.spend(size, now)
            self.counters["bytes_to_roots"] += size
        return message, [link.nodes[number] for number in sent if number in link.nodes]

    def seconds_to_wait(self, link: RootLink, now: float) -> float:
        """Seconds until the room's rate allows more, where something waits for that."""
        if link.outbox.queued_bytes or link.owing:
            return link.bucket.seconds_to_wait(now)
        return 0.0

    # ---- nodes ----

    def join(
        self, room: str, address: str, now: float, purpose: Purpose = Purpose.NODE
    ) -> tuple[RelayedNode, News]:
        """A node asks for a room.

        Raises:
            JoinError: there is no such room now, or a limit has been met.
        """
        link = self._links.get(room)
        if link is None:
            self.counters["joins_without_room"] += 1
            ending, _ = self._ended.get(room, (Ending.NO_ROOM, 0.0))
            raise JoinError(ending)
        self._check_limits(link, address, now)
        link.last_number = number = link.last_number + 1
        node = link.nodes[number] = RelayedNode(link, number, address)
        self._per_address[address] += 1
        link.last_node = now
        link.outbox.push_urgent(frames.encode_opened(number, purpose, address))
        self.counters["nodes_joined"] += 1
        return node, [link]

    def _check_limits(self, link: RootLink, address: str, now: float) -> None:
        limits = self.limits
        sentence = ""
        if len(link.nodes) >= limits.nodes_per_room:
            sentence = (
                f"this server relays {limits.nodes_per_room} volunteers for one run at most "
                "(MAX_NODES_PER_ROOM)"
            )
            self._notify(link, sentence, now)
        elif self.nodes >= limits.nodes:
            sentence = f"this server relays {limits.nodes} volunteers at most (MAX_NODES)"
            self._notify(link, sentence, now)
        elif self._per_address[address] >= limits.nodes_per_address:
            sentence = (
                f"this server relays {limits.nodes_per_address} volunteers from one address at "
                "most (MAX_NODES_PER_ADDRESS)"
            )
        if sentence:
            self.counters["joins_refused"] += 1
            raise JoinError(Ending.FULL, sentence, [link])

    def may_read(self, node: RelayedNode) -> bool:
        """Whether to read the next part from a node."""
        return (
            node.is_joined
            and node.credit >= MAX_PART_BYTES
            and node.link.outbox.size_of(node.number) < MAX_PART_BYTES
        )

    def receive_from_node(self, node: RelayedNode, part: bytes, now: float) -> News:
        """A part has come from a node; `may_read` has allowed it."""
        if not node.is_joined:
            return []
        if not 0 < len(part) <= MAX_PART_BYTES:
            return self.drop_node(node, Ending.BROKEN_RULES)
        node.credit -= len(part)
        node.link.outbox.push_part(node.number, part)
        return [node.link]

    def take_for_node(self, node: RelayedNode) -> bytes | None:
        """The next part to write to a node, if one waits."""
        return node.waiting.popleft() if node.waiting else None

    def wrote_to_node(self, node: RelayedNode, size: int, now: float) -> News:
        """A part has been written to a node."""
        self.counters["bytes_to_nodes"] += size
        if not node.is_joined:
            return []
        node.written += size
        if node.written < CREDIT_BYTES:
            return []
        if node.link.bucket.seconds_to_wait(now):
            node.link.owing[node] = None
        else:
            self._give_credit(node)
        return [node.link]

    def drop_node(self, node: RelayedNode, ending: Ending = Ending.LEFT) -> News:
        """A node has left, or must."""
        if not node.is_joined:
            return []
        self._remove(node)
        sentence = SENTENCES.get(ending, "")
        if ending is not Ending.LEFT:
            self.counters[f"nodes_{ending.name.lower()}"] += 1
            self._close(node, ending, sentence)
        node.waiting.clear()
        node.link.outbox.push_end(node.number, frames.encode_closed(node.number, ending, sentence))
        return [node.link, node]

    # ---- all ----

    def tick(self, now: float, silence: float) -> News:
        """Time has passed: send heartbeats, end what is silent or idle.

        Args:
            now: the time, in seconds.
            silence: seconds after which a silent root is lost.
        """
        news: list[RootLink | RelayedNode] = []
        for link in list(self._links.values()):
            if now - link.heard > silence:
                self.counters["roots_silent"] += 1
                link.dismissal = b""
                news += [link, *self._end_room(link, Ending.AWAY, now)]
            elif not link.nodes and now - link.last_node > self.limits.idle_seconds:
                self.counters["rooms_idle"] += 1
                sentence = (
                    f"no volunteer came through this server for {self.limits.idle_seconds:g} s "
                    "(IDLE_ROOM_SECONDS)"
                )
                link.dismissal = frames.encode_goodbye(defaults.IDLE_PAUSE_SECONDS, sentence)
                news += [link, *self._end_room(link, Ending.AWAY, now)]
            elif now - link.sent > silence / 3 and not link.outbox:
                link.outbox.push_urgent(frames.encode(Kind.HEARTBEAT))
                news.append(link)
            if link.nodes:
                link.last_node = now
        while self._ended:
            room, (_, since) = next(iter(self._ended.items()))
            if now - since <= defaults.REMEMBERED_SECONDS:
                break
            del self._ended[room]
        return news

    def close(self, now: float) -> News:
        """The server ends: tell everybody to come back."""
        news: list[RootLink | RelayedNode] = []
        for link in list(self._links.values()):
            link.dismissal = frames.encode_goodbye(
                defaults.RESTART_PAUSE_SECONDS, SENTENCES[Ending.RESTART]
            )
            news += [link, *self._end_room(link, Ending.RESTART, now)]
        return news

    # ---- inside ----

    def _take_part(self, node: RelayedNode, part: bytes, now: float) -> None:
        node.window -= len(part)
        if node.window < 0:
            raise MalformedFrameError("more has come than there was credit for")
        node.link.bucket.spend(len(part), now)
        node.waiting.append(part)

    def _give_credit(self, node: RelayedNode) -> None:
        if node.is_joined and node.written:
            node.window += node.written
            node.link.outbox.push_urgent(frames.encode_credit(node.number, node.written))
            node.written = 0

    def _find(self, link: RootLink, number: int) -> RelayedNode | None:
        """The node; None where it has left, which the root may not know yet."""
        node = link.nodes.get(number)
        if node is None and number > link.last_number:
            raise MalformedFrameError("a frame is about a stream that was never opened")
        return node

    def _remove(self, node: RelayedNode) -> None:
        """Let a node be in no room."""
        node.is_joined = False
        del node.link.nodes[node.number]
        node.link.owing.pop(node, None)
        self._per_address[node.address] -= 1
        if not self._per_address[node.address]:
            del self._per_address[node.address]

    @staticmethod
    def _close(node: RelayedNode, ending: Ending, sentence: str = "") -> None:
        node.ending = ending
        node.sentence = sentence or SENTENCES[ending]

    def _end_room(self, link: RootLink, ending: Ending, now: float) -> list[RelayedNode]:
        """Take no more from a root; end its nodes once what waits for them has been written."""
        if not link.is_open:
            return []
        link.is_open = False
        link.outbox = Outbox()
        nodes = list(link.nodes.values())
        for node in nodes:
            self._remove(node)
            self._close(node, ending)
        if self._links.get(link.room) is link:
            del self._links[link.room]
            self._ended[link.room] = (ending, now)
            self._ended.move_to_end(link.room)
            if len(self._ended) > defaults.MAX_REMEMBERED:
                self._ended.popitem(last=False)
        return nodes

    def _notify(self, link: RootLink, sentence: str, now: float) -> None:
        """Tell the root of a limit, not too often."""
        limit = sentence.rpartition("(")[2]
        if now - link.noticed.get(limit, -NOTICE_SECONDS) >= NOTICE_SECONDS:
            link.noticed[limit] = now
            link.outbox.push_urgent(frames.encode_notice(sentence))
