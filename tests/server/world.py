"""Roots, a server and nodes as state machines, with wires between them that hold what is sent.

Each step is one thing that may happen. What has been delivered is checked at each delivery: it must
be the next part that the other end of this very stream has sent.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from pando.net.relayed import multiplexer
from pando.net.relayed.frames import MAX_PART_BYTES, WINDOW_BYTES, Ending
from pando.net.relayed.multiplexer import Multiplexer
from pando.server.limits import ServerLimits
from pando.server.room import JoinError, RelayedNode, RootLink
from pando.server.rooms import Rooms

SILENCE = 10.0


@dataclass(eq=False)
class Node:
    """A joining node, and what the other ends should see of it."""

    label: str
    server_end: RelayedNode
    root: Root
    number: int
    incarnation: int
    sent: int = 0
    root_got: int = 0
    root_sent: int = 0
    got: int = 0
    is_alive: bool = True
    ending: Ending | None = None
    reads: bool = True
    root_ended: bool = False


@dataclass(eq=False)
class Root:
    """A root with its present control link, if it has one."""

    room: str
    incarnation: int = 0
    link: RootLink | None = None
    mux: Multiplexer = field(default_factory=Multiplexer)
    to_server: deque[bytes] = field(default_factory=deque)
    to_root: deque[bytes] = field(default_factory=deque)
    by_number: dict[int, Node] = field(default_factory=dict)
    unread: deque[tuple[int, int]] = field(default_factory=deque)
    dismissed: bool = False


def content(who: str, number: int, size: int) -> bytes:
    """A part that tells where it belongs."""
    text = f"{who}:{number}:".encode()
    return text + b"." * max(0, size - len(text))


class World:
    """All of it."""

    def __init__(self, rooms: int = 3, limits: ServerLimits | None = None) -> None:
        self.now = 0.0
        self.limits = limits or ServerLimits()
        self.rooms = Rooms(self.limits)
        self.roots = [Root(f"room{number}") for number in range(rooms)]
        self.nodes: list[Node] = []
        self.delivered = 0

    # ---- steps ----

    def connect(self, root: Root) -> None:
        """A root opens its room, whatever the server knows of its last link."""
        if root.link is not None:
            self.lose_at_root(root)
        link, _ = self.rooms.open_room(root.room, self.now)
        root.link, root.mux = link, Multiplexer()
        root.incarnation += 1
        root.dismissed = False

    def lose_at_root(self, root: Root) -> None:
        """The root's end of the link is gone; the server may not know yet."""
        root.link = None
        root.to_server.clear()
        root.to_root.clear()
        root.by_number.clear()
        root.unread.clear()

    def kill_root(self, root: Root) -> None:
        """The root dies, and the server notices."""
        link = root.link
        self.lose_at_root(root)
        if link is not None:
            self.rooms.lose_root(link, self.now)

    def kill_server(self) -> None:
        """The server dies with all it knows; another one takes its place."""
        self.rooms = Rooms(self.limits)
        for root in self.roots:
            self.lose_at_root(root)
        for node in self.nodes:
            node.is_alive = False
        self.nodes.clear()

    def join(self, root: Root) -> Node | None:
        """A node asks for a room."""
        try:
            end, _ = self.rooms.join(root.room, "192.0.2.1", self.now)
        except JoinError:
            return None
        label = f"{root.room}/{root.incarnation}/{end.number}/{len(self.nodes)}"
        node = Node(label, end, root, end.number, root.incarnation)
        self.nodes.append(node)
        if root.link is end.link:
            root.by_number[end.number] = node
        return node

    def node_sends(self, node: Node, size: int) -> None:
        if node.is_alive and self.rooms.may_read(node.server_end):
            part = content(node.label, node.sent, size)
            node.sent += 1
            self.rooms.receive_from_node(node.server_end, part, self.now)

    def node_reads(self, node: Node) -> None:
        """The server writes the next part to a node, or closes it."""
        if not node.is_alive:
            return
        part = self.rooms.take_for_node(node.server_end)
        if part is not None:
            self._check(part, f"to {node.label}", node.got)
            node.got += 1
            self.rooms.wrote_to_node(node.server_end, len(part), self.now)
        elif node.server_end.ending is not None:
            node.is_alive = False
            node.ending = node.server_end.ending
            self.nodes.remove(node)

    def node_leaves(self, node: Node) -> None:
        if node.is_alive:
            node.is_alive = False
            self.nodes.remove(node)
            self.rooms.drop_node(node.server_end)

    def root_sends(self, node: Node, size: int) -> None:
        root = node.root
        part = content(f"to {node.label}", node.root_sent, size)
        if root.by_number.get(node.number) is not node or not root.mux.is_open(node.number):
            return
        if root.mux.may_send(node.number, len(part)):
            node.root_sent += 1
            root.mux.send(node.number, part)

    def root_closes(self, node: Node) -> None:
        mux = node.root.mux
        if node.root.by_number.get(node.number) is node and mux.is_open(node.number):
            mux.close(node.number)
            node.root_ended = True

    def root_uses(self, root: Root) -> None:
        """The root has used something of what came."""
        if root.unread:
            root.mux.take_in(*root.unread.popleft())

    def flush_root(self, root: Root) -> None:
        """A message of the root goes on the wire."""
        if root.link is not None:
            message, _ = root.mux.outbox.take()
            if message:
                root.to_server.append(message)

    def flush_server(self, root: Root) -> None:
        """A message of the server goes on the wire."""
        if root.link is not None:
            message, _ = self.rooms.take_for_root(root.link, self.now)
            if message:
                root.to_root.append(message)
            elif root.link.dismissal is not None:
                if root.link.dismissal:
                    root.to_root.append(root.link.dismissal)
                root.link.dismissal = b""
                root.dismissed = True

    def arrive_at_server(self, root: Root) -> None:
        if root.to_server and root.link is not None:
            self.rooms.receive_from_root(root.link, root.to_server.popleft(), self.now)

    def arrive_at_root(self, root: Root) -> None:
        if not root.to_root:
            return
        for event in root.mux.receive(root.to_root.popleft()):
            if isinstance(event, multiplexer.Received):
                node = root.by_number[event.stream]
                self._check(event.part, node.label, node.root_got)
                node.root_got += 1
                root.unread.append((event.stream, len(event.part)))
            elif isinstance(event, multiplexer.Closed):
                node = root.by_number[event.stream]
                assert not node.root_ended, "a stream has ended twice"
                node.root_ended = True
                if event.ending is Ending.LEFT:
                    assert node.root_got == node.sent, "the end came before what was sent"
            elif isinstance(event, multiplexer.Dismissed):
                self.lose_at_root(root)
                return

    def tick(self, seconds: float) -> None:
        self.now += seconds
        self.rooms.tick(self.now, SILENCE)
        for root in self.roots:
            if root.link is not None and seconds < SILENCE:
                root.mux.beat()

    # ---- what must hold ----

    def _check(self, part: bytes, who: str, number: int) -> None:
        assert part.startswith(f"{who}:{number}:".encode()), (part[:60], who, number)
        self.delivered += 1

    def check(self) -> None:
        """What holds at any time."""
        assert self.rooms.nodes == sum(n.server_end.is_joined for n in self.nodes)
        assert len(self.rooms.rooms) <= self.limits.rooms
        for node in self.nodes:
            end = node.server_end
            assert sum(map(len, end.waiting)) <= WINDOW_BYTES
            assert end.link.outbox.size_of(end.number) < 2 * MAX_PART_BYTES
            assert 0 <= end.credit <= WINDOW_BYTES
            assert 0 <= end.window <= WINDOW_BYTES
            if end.is_joined:
                assert end.link.is_open
                assert end.link.nodes[end.number] is end
            else:
                assert end.ending is not None

    def settle(self) -> None:
        """Let everything that can arrive arrive; then nothing may be missing."""
        idle = 0
        while idle < 3:
            before = self._progress()
            for root in self.roots:
                self.flush_root(root)
                self.arrive_at_server(root)
                self.flush_server(root)
                self.arrive_at_root(root)
                self.root_uses(root)
            for node in list(self.nodes):
                self.node_reads(node)
            self.now += 5.0  # more than any debt takes to be paid
            idle = idle + 1 if self._progress() == before else 0
        for node in self.nodes:
            if node.server_end.is_joined and node.root.link is node.server_end.link:
                assert node.root_got == node.sent, f"{node.label}: lost on the way up"
                assert node.got == node.root_sent, f"{node.label}: lost on the way down"

    def _progress(self) -> tuple[object, ...]:
        return (
            self.delivered,
            [len(root.to_root) + len(root.to_server) + len(root.unread) for root in self.roots],
            [bool(root.mux.outbox) for root in self.roots],
            self.rooms.queued_bytes,
            len(self.nodes),
        )
