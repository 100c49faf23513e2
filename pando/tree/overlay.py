"""The overlay: who accepts a joining node, and who delegates it. Decisions only, no I/O, no clock.

The scheme is Genet's (Lavoie, Hendren, Desprez, Correia: "Genet: A Quickly Scalable Fat-Tree
Overlay for Personal Volunteer Computing using WebRTC", 2019). Each node decides by what it knows
itself, a joining node is sent one of two ways, and the subtrees are balanced in probability. A
node that asks for a place meets one of these cases:

1. It has a place here already, as a child or a candidate: its connection was lost, perhaps before
   this node has noticed. It keeps that place, so that asking twice takes no second one.
2. There are fewer than `degree` children and candidates: it is accepted, and its place is kept
   for `timeout` seconds while it connects.
3. The node is full: a hash of both identifiers selects two slots, and it is delegated to the child
   to which this node has sent fewer. In Genet there is one slot; of two, the better one brings
   nearly all nodes to the depth that they have in an ideal tree (Mitzenmacher, "The Power of Two
   Choices in Randomized Load Balancing", 2001). Why not to the least loaded child of all: what
   children say of their loads comes late and may be a lie, and this node's own count forgets
   nothing, so that a new child would be sent all the joining nodes. Like this it is sent a few.
4. The child in that slot is still connecting: the request waits for it, since another slot would
   break the balance. The number of requests that wait, and their time, are bounded.
5. The child in that slot takes no children, or none that offers no WebRTC, has failed to find a
   place, or too many requests wait for it: the other one, then the next slots in order, are looked
   through for a connected child. In the original each node takes children.
6. There is no such child, but one is still connecting: the joining node is put off, and asks again.
7. No child here takes it: it is accepted beyond the degree, so that no device is refused for the
   shape of the tree. The original has no such case.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..limits import DEGREE
from ..messages import ID_BYTES

MAX_WAITING = 4096
"""Join requests that may wait for candidates to connect."""


@dataclass(frozen=True, slots=True)
class Accept:
    """Take the joining node as a child: a place is kept for it until it has connected."""

    origin: bytes


@dataclass(frozen=True, slots=True)
class Delegate:
    """Delegate the join request to this child."""

    origin: bytes
    child: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait: a decision on this node follows when a candidate has connected."""

    origin: bytes


@dataclass(frozen=True, slots=True)
class Busy:
    """There is no place at present: the joining node should ask again."""

    origin: bytes


Decision = Accept | Delegate | Wait | Busy


def choose_slots(origin: bytes, node: bytes, degree: int) -> tuple[int, int]:
    """Return two slots of `node` for a joining node: a hash of the exclusive-or of both."""
    mixed = bytes(a ^ b for a, b in zip(origin, node, strict=True))
    digest = hashlib.blake2b(mixed, digest_size=16).digest()
    return int.from_bytes(digest[:8], "big") % degree, int.from_bytes(digest[8:], "big") % degree


@dataclass(slots=True)
class _Slot:
    """A child's place: a candidate until it has connected.

    Attributes:
        needs_offer: whether a node can connect to it only by the answer to an offer of WebRTC.
        sent: how many joining nodes have been sent there, or wait for that.
        waiting: the joining nodes that wait, and whether they offer WebRTC.
    """

    node: bytes
    connected: bool
    takes_children: bool = True
    needs_offer: bool = False
    sent: int = 0
    deadline: float = 0.0
    waiting: dict[bytes, bool] = field(default_factory=dict)

    def takes(self, *, offers: bool) -> bool:
        """Whether a joining node could connect to it, which may offer WebRTC."""
        return self.takes_children and (offers or not self.needs_offer)


class Overlay:
    """One node's part in the overlay. Times are in seconds, as they are told.

    Args:
        node: this node's identifier, `ID_BYTES` long.
        degree: children before it delegates.
        timeout: how long a candidate may take to connect, and a request may wait.
        max_waiting: join requests that may wait for candidates.
    """

    def __init__(
        self,
        node: bytes,
        *,
        degree: int = DEGREE,
        timeout: float = 60.0,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        assert len(node) == ID_BYTES
        self.node = node
        self._degree = degree
        self._timeout = timeout
        self.max_waiting = max_waiting
        self._slots: list[_Slot | None] = [None] * degree
        self._extra: dict[bytes, _Slot] = {}
        self._waiting: dict[bytes, _Slot] = {}

    # ---- join requests ----

    def request(
        self,
        origin: bytes,
        now: float,
        *,
        avoid: frozenset[bytes] = frozenset(),
        offers: bool = False,
    ) -> Decision:
        """Decide where a joining node finds its place. The module's docstring has the cases.

        Args:
            origin: its identifier.
            now: the time.
            avoid: children that have failed to place it already.
            offers: whether it has made an offer to connect by WebRTC.
        """
        own = self._find(origin)
        if own is not None:  # it has lost its link, perhaps before this node has noticed
            own.connected = False
            own.deadline = now + self._timeout
            return Accept(origin)
        self._forget(origin)
        if None in self._slots:
            return self._accept(origin, now)
        connecting = False
        for step, slot in enumerate(self._ways(origin)):
            if not slot.takes(offers=offers) or slot.node in avoid:
                continue
            if slot.connected:
                slot.sent += 1
                return Delegate(origin, slot.node)
            if step == 0 and len(self._waiting) < self.max_waiting:
                # Any other slot would break the balance.
                slot.sent += 1
                slot.waiting[origin] = offers
                self._waiting[origin] = slot
                return Wait(origin)
            connecting = True
        return Busy(origin) if connecting else self._accept(origin, now)

    def accept(self, origin: bytes, now: float) -> Accept:
        """Give a joining node without another place one here, beyond the degree if need be."""
        self._forget(origin)
        if self._find(origin) is not None:
            self._remove(origin)
        return self._accept(origin, now)

    def connected(
        self,
        node: bytes,
        now: float = 0.0,
        *,
        takes_children: bool = True,
        needs_offer: bool = False,
    ) -> list[Decision]:
        """Note that a candidate has connected; return the decisions on those that waited for it."""
        self._forget(node)
        slot = self._find(node) or self._add(node)
        slot.connected = True
        slot.takes_children = takes_children
        slot.needs_offer = needs_offer
        decisions: list[Decision] = []
        for joining, offers in self._take_waiting(slot).items():
            if slot.takes(offers=offers):
                decisions.append(Delegate(joining, node))
            else:
                decisions.append(self.request(joining, now, offers=offers))
        return decisions

    def set_takes_children(self, node: bytes, takes_children: bool) -> None:
        """Note whether others can connect to a child, from now on."""
        slot = self._find(node)
        if slot is not None:
            slot.takes_children = takes_children

    def left(self, node: bytes, now: float) -> list[Decision]:
        """Free the place of a child that is gone; return the decisions on those that waited."""
        slot = self._find(node)
        if slot is None:
            return []
        self._remove(node)
        return self._release(slot, now)

    def expire(self, now: float) -> list[Decision]:
        """Free the places of candidates that have taken too long."""
        decisions: list[Decision] = []
        for slot in [*self._slots, *self._extra.values()]:
            if slot is not None and not slot.connected and slot.deadline <= now:
                decisions += self.left(slot.node, now)
        return decisions

    # ---- state ----

    @property
    def children(self) -> list[bytes]:
        """The children that are connected."""
        return [slot.node for slot in self._all() if slot.connected]

    @property
    def beyond_degree(self) -> list[bytes]:
        """Those of them that have a place beyond the degree."""
        return [node for node, slot in self._extra.items() if slot.connected]

    def needs_offer(self, origin: bytes) -> bool:
        """Whether a candidate has its place beyond the degree since it has made no offer."""
        return origin in self._extra and any(
            slot.connected and slot.takes(offers=True) and not slot.takes(offers=False)
            for slot in self._all()
        )

    @property
    def candidates(self) -> list[bytes]:
        """Those for whom a place is kept until they have connected."""
        return [slot.node for slot in self._all() if not slot.connected]

    @property
    def waiting(self) -> int:
        """How many requests wait for a candidate to connect."""
        return len(self._waiting)

    def validate_state(self) -> None:
        """Raise AssertionError where the state contradicts itself; for tests."""
        nodes = [slot.node for slot in self._all()]
        assert len(nodes) == len(set(nodes))
        assert len(self._waiting) == sum(len(slot.waiting) for slot in self._all())
        assert len(self._waiting) <= self.max_waiting
        assert all(not slot.waiting for slot in self._all() if slot.connected)
        origins = [origin for slot in self._all() for origin in slot.waiting]
        assert len(origins) == len(set(origins))
        assert not set(origins) & set(nodes)

    # ---- slots ----

    def _ways(self, origin: bytes) -> Iterator[_Slot]:
        """The slots of a full node for a joining node, in the order in which they are tried."""
        first, second = choose_slots(origin, self.node, self._degree)
        slots = [slot for slot in self._slots if slot is not None]
        pair = sorted({first: slots[first], second: slots[second]}.values(), key=lambda s: s.sent)
        yield from pair
        for step in range(1, self._degree):
            slot = slots[(first + step) % self._degree]
            if slot is not pair[-1]:
                yield slot

    def _all(self) -> list[_Slot]:
        return [slot for slot in self._slots if slot is not None] + list(self._extra.values())

    def _find(self, node: bytes) -> _Slot | None:
        return next((slot for slot in self._all() if slot.node == node), None)

    def _add(self, node: bytes) -> _Slot:
        slot = _Slot(node, connected=False)
        if None in self._slots:
            free, _ = choose_slots(node, self.node, self._degree)
            while self._slots[free] is not None:
                free = (free + 1) % self._degree
            self._slots[free] = slot
        else:
            self._extra[node] = slot
        return slot

    def _remove(self, node: bytes) -> None:
        self._extra.pop(node, None)
        self._slots = [None if s is not None and s.node == node else s for s in self._slots]

    def _accept(self, origin: bytes, now: float) -> Accept:
        self._add(origin).deadline = now + self._timeout
        return Accept(origin)

    def _forget(self, origin: bytes) -> None:
        """Remove the waiting request of a node that asks again, or has connected."""
        slot = self._waiting.pop(origin, None)
        if slot is not None:
            slot.sent -= 1
            del slot.waiting[origin]

    def _take_waiting(self, slot: _Slot) -> dict[bytes, bool]:
        """Remove and return those that waited for a slot."""
        waiting, slot.waiting = slot.waiting, {}
        for origin in waiting:
            del self._waiting[origin]
        return waiting

    def _release(self, slot: _Slot, now: float) -> list[Decision]:
        """Decide anew on those that waited for a slot that is free."""
        waiting = self._take_waiting(slot)
        return [self.request(origin, now, offers=offers) for origin, offers in waiting.items()]
