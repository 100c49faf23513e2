"""The overlay: who accepts a newcomer and who passes it on. Decisions only, no I/O, no clock.

The scheme is Genet's (Lavoie, Hendren, Desprez, Correia: "Genet: A Quickly Scalable Fat-Tree
Overlay for Personal Volunteer Computing using WebRTC", 2019): a node accepts newcomers while it
has fewer than `degree` children and candidates; a full one passes a newcomer on to the child in
the slot that a hash of both their identifiers selects. Each node decides by what it knows itself,
the same newcomer is always sent the same way, and the subtrees are balanced in probability.

What differs from the original: a slot whose child cannot take children is skipped, requests that
wait for a slot are bounded in number and time, and a newcomer for whom there is no place below is
accepted past the degree, so that no volunteer is ever lost to topology.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from ..limits import DEGREE
from ..messages import ID_BYTES

MAX_WAITING = 4096
"""Join requests that may wait for candidates to connect."""


@dataclass(frozen=True, slots=True)
class Accept:
    """Take the newcomer as a child; its place is kept as a candidate's until it has connected."""

    origin: bytes


@dataclass(frozen=True, slots=True)
class Delegate:
    """Pass the newcomer's request on to this child."""

    origin: bytes
    child: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """Say nothing yet: a decision on this newcomer follows when a candidate has connected."""

    origin: bytes


@dataclass(frozen=True, slots=True)
class Busy:
    """Too many wait already: the newcomer should ask again in a moment."""

    origin: bytes


Decision = Accept | Delegate | Wait | Busy


def choose_slot(origin: bytes, node: bytes, degree: int) -> int:
    """The slot of `node` that a newcomer is sent to: a hash of the exclusive-or of both."""
    mixed = bytes(a ^ b for a, b in zip(origin, node, strict=True))
    return int.from_bytes(hashlib.blake2b(mixed, digest_size=8).digest(), "big") % degree


@dataclass(slots=True)
class _Slot:
    """A child's place: a candidate until it has connected."""

    node: bytes
    connected: bool
    takes_children: bool = True
    deadline: float = 0.0
    waiting: dict[bytes, None] = field(default_factory=dict)


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

    # ---- newcomers ----

    def request(
        self, origin: bytes, now: float, *, avoid: frozenset[bytes] = frozenset()
    ) -> Decision:
        """A newcomer asks for a place, here or below.

        Args:
            origin: the newcomer's identifier.
            now: the time.
            avoid: children that have failed to place it already.
        """
        own = self._find(origin)
        if own is not None:  # it has lost its link, perhaps before this node has noticed
            own.connected = False
            own.deadline = now + self._timeout
            return Accept(origin)
        self._forget(origin)
        if None in self._slots:
            return self._accept(origin, now)
        first = choose_slot(origin, self.node, self._degree)
        connecting = False
        for step in range(self._degree):
            slot = self._slots[(first + step) % self._degree]
            assert slot is not None
            if not slot.takes_children or slot.node in avoid:
                continue
            if slot.connected:
                return Delegate(origin, slot.node)
            if step == 0 and len(self._waiting) < self.max_waiting:
                # Its own slot is about to be ready; any other would break the balance.
                slot.waiting[origin] = None
                self._waiting[origin] = slot
                return Wait(origin)
            connecting = True
        # Nobody is refused for topology's sake, only put off while places below are about to be.
        return Busy(origin) if connecting else self._accept(origin, now)

    def connected(
        self, node: bytes, now: float = 0.0, *, takes_children: bool = True
    ) -> list[Decision]:
        """A candidate has connected; those who waited for it are sent there."""
        self._forget(node)
        slot = self._find(node) or self._add(node)
        slot.connected = True
        slot.takes_children = takes_children
        return self._send_on(slot) if takes_children else self._release(slot, now)

    def set_takes_children(self, node: bytes, takes_children: bool) -> None:
        """A child can, or cannot, be connected to by others."""
        slot = self._find(node)
        if slot is not None:
            slot.takes_children = takes_children

    def left(self, node: bytes, now: float) -> list[Decision]:
        """A child is gone, or a candidate has failed; its place is free again."""
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

    # ---- looking in ----

    @property
    def children(self) -> list[bytes]:
        """The children that are connected."""
        return [slot.node for slot in self._all() if slot.connected]

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

    # ---- inside ----

    def _all(self) -> list[_Slot]:
        return [slot for slot in self._slots if slot is not None] + list(self._extra.values())

    def _find(self, node: bytes) -> _Slot | None:
        return next((slot for slot in self._all() if slot.node == node), None)

    def _add(self, node: bytes) -> _Slot:
        slot = _Slot(node, connected=False)
        if None in self._slots:
            free = choose_slot(node, self.node, self._degree)
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
        """Who asks again does not wait any more."""
        slot = self._waiting.pop(origin, None)
        if slot is not None:
            del slot.waiting[origin]

    def _take_waiting(self, slot: _Slot) -> list[bytes]:
        """Those who waited for a slot; they do not any more."""
        waiting, slot.waiting = list(slot.waiting), {}
        for origin in waiting:
            del self._waiting[origin]
        return waiting

    def _send_on(self, slot: _Slot) -> list[Decision]:
        return [Delegate(origin, slot.node) for origin in self._take_waiting(slot)]

    def _release(self, slot: _Slot, now: float) -> list[Decision]:
        """Decide anew on those who waited for a slot that will not take them."""
        return [self.request(origin, now) for origin in self._take_waiting(slot)]
