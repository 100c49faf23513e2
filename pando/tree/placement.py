"""Placement: finds each joining node a parent, here or below.

The overlay decides, without I/O, who goes where. Here its decisions are waited for and carried
out: a child that a join request is delegated to is asked for a place, and a place that this node
keeps itself gets a one-time ticket, with which the joining node connects.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import trio

from .. import messages
from ..channel import ChannelClosedError
from .child import Child
from .overlay import Accept, Decision, Delegate, Overlay, Wait

logger = logging.getLogger(__name__)

OFFER_SECONDS = 30.0
"""How long a child may take to find a place below it."""
LINE_SECONDS = 20.0
"""How long a joining node may wait until it is its turn to connect here by WebRTC: whoever is sent
elsewhere for that makes the tree flat, and has to begin anew. It is less than `OFFER_SECONDS`."""
MAX_TRIES = 3
"""Children that a joining node is sent to in vain before it is accepted here."""
EXPIRE_SECONDS = 1.0
"""How often the places of candidates that have not come are looked through."""

Answer = TypeVar("Answer")


class AnswerOffer(Protocol):
    """Answers offers to connect by WebRTC."""

    async def __call__(self, offer: str, patience: float = ...) -> messages.Signal:
        """Return the answer, which is empty where there is none in so many seconds."""


@dataclass(frozen=True, slots=True)
class Here:
    """The joining node is to be a child of this node, which keeps a place for it."""


@dataclass(frozen=True, slots=True)
class Below:
    """The joining node has a place below a child.

    Attributes:
        child: the child that was asked.
        offer: what it has answered.
    """

    child: bytes
    offer: messages.Offer


class _Pending(Generic[Answer]):
    """An answer that has not come: a decision of the overlay, or a child's offer."""

    def __init__(self) -> None:
        self._event = trio.Event()
        self._answer: Answer | None = None

    def resolve(self, answer: Answer | None) -> None:
        """Wake who waits; None says that there will be no answer."""
        self._answer = answer
        self._event.set()

    async def wait(self) -> Answer | None:
        await self._event.wait()
        return self._answer


class Placement:
    """Finds joining nodes a parent.

    Args:
        overlay: decides who accepts and who delegates.
        counters: where what is refused or ignored is counted, by kind.

    Attributes:
        children: those that are connected, by identifier.
        answer_offer: answers offers to connect by WebRTC; None where this node does not.
    """

    def __init__(self, overlay: Overlay, counters: Counter[str]) -> None:
        self.overlay = overlay
        self.children: dict[bytes, Child] = {}
        self.answer_offer: AnswerOffer | None = None
        self._counters = counters
        self._tickets: dict[bytes, str] = {}
        self._decisions: dict[bytes, _Pending[Decision]] = {}
        self._offers: dict[tuple[Child, bytes], _Pending[messages.Offer]] = {}
        self._candidate_came = trio.Event()

    # ---- join requests ----

    async def find_parent(
        self, origin: bytes, avoid: set[bytes], offer: str = ""
    ) -> Here | Below | None:
        """Find a place for a joining node.

        Args:
            origin: its identifier.
            avoid: children that have failed to place it; those that fail now are added.
            offer: what a parent below may answer.

        Returns:
            The place, or None where there is none at present and it should ask again.
        """
        while True:
            if len(avoid) >= MAX_TRIES:
                avoid.update(self.children)
            decision = self.overlay.request(
                origin, trio.current_time(), avoid=frozenset(avoid), offers=bool(offer)
            )
            match await self._decided(decision):
                case Accept():
                    logger.debug("node %s is accepted here", origin.hex())
                    self._candidate_came.set()
                    return Here()
                case Delegate(_, child):
                    logger.debug("node %s is delegated to %s", origin.hex(), child.hex())
                    found = await self._query_child(child, origin, offer)
                    if found is not None:
                        return Below(child, found)
                    avoid.add(child)
                case None:  # the same node has asked again meanwhile
                    return None
                case _:
                    self._counters["joins_deferred"] += 1
                    return None

    def accept_here(self, origin: bytes) -> None:
        """Keep a place here for a joining node that can connect to no other."""
        self.overlay.accept(origin, trio.current_time())
        self._candidate_came.set()

    def withdraw(self, origin: bytes) -> None:
        """Keep no place for a joining node any more: another one may be found for it."""
        self._resolve(self.overlay.left(origin, trio.current_time()))

    async def find_parent_slot(self, origin: bytes, offer: str = "") -> messages.Offer:
        """Answer a parent that asks for a place for a joining node, at this node or below."""
        place = await self.find_parent(origin, set(), offer)
        if isinstance(place, Below):
            return place.offer
        if place is None:
            return messages.Offer(origin, self.overlay.node)
        ticket = self._tickets[origin] = secrets.token_urlsafe(16)
        answer = messages.Signal()
        if offer and self.answer_offer is not None:
            answer = await self.answer_offer(offer, LINE_SECONDS)
        return messages.Offer(origin, self.overlay.node, ticket, answer.description)

    def find_ticket(self, origin: bytes) -> str | None:
        """The ticket of the place that this node keeps for a joining node, if it keeps one."""
        return self._tickets.get(origin)

    def use_ticket(self, origin: bytes) -> None:
        """Note that a joining node has proved that it has its ticket, which is good once."""
        del self._tickets[origin]

    def cancel_ticket(self, origin: bytes) -> None:
        """Keep no place for a node any more, if one is kept."""
        self._tickets.pop(origin, None)

    async def _decided(self, decision: Decision) -> Decision | None:
        """A decision that is none yet, once it has been made; None if it never will be."""
        if not isinstance(decision, Wait):
            return decision
        origin = decision.origin
        if origin in self._decisions:
            self._decisions[origin].resolve(None)
        pending = self._decisions[origin] = _Pending[Decision]()
        try:
            return await pending.wait()
        finally:
            if self._decisions.get(origin) is pending:
                del self._decisions[origin]

    def _resolve(self, decisions: list[Decision]) -> None:
        """Tell the join requests that wait what has been decided on them."""
        for decision in decisions:
            pending = self._decisions.get(decision.origin)
            if pending is not None and not isinstance(decision, Wait):
                pending.resolve(decision)

    async def _query_child(self, node: bytes, origin: bytes, offer: str) -> messages.Offer | None:
        """Ask a child to find a place; None where it has none, or does not answer in time."""
        child = self.children.get(node)
        if child is None:
            return None
        pending = self._offers[child, origin] = _Pending[messages.Offer]()
        found = None
        try:
            with trio.move_on_after(OFFER_SECONDS):
                await child.link.send(messages.Join(origin, offer))
                found = await pending.wait()
        except ChannelClosedError:
            return None
        finally:
            if self._offers.get((child, origin)) is pending:
                del self._offers[child, origin]
        return found if found and found.ticket else None

    # ---- children ----

    def connected(self, child: Child) -> None:
        """Note that a child has connected."""
        self.children[child.node] = child
        self._resolve(
            self.overlay.connected(
                child.node,
                trio.current_time(),
                takes_children=child.takes_children,
                needs_offer=child.needs_offer,
            )
        )

    def set_takes_children(self, child: Child, takes_children: bool) -> None:
        """Note whether others can connect to a child from now on, as it says."""
        child.takes_children = takes_children
        if self.children.get(child.node) is child:
            self.overlay.set_takes_children(child.node, takes_children)

    def left(self, child: Child) -> None:
        """Note that a child has gone: nobody waits for its answers any more."""
        if self.children.get(child.node) is child:
            del self.children[child.node]
            self._resolve(self.overlay.left(child.node, trio.current_time()))
        for (asked, _), pending in self._offers.items():
            if asked is child:
                pending.resolve(None)

    def offered(self, child: Child, offer: messages.Offer) -> None:
        """Take a child's answer to the question for a place."""
        pending = self._offers.get((child, offer.origin))
        if pending is None:
            self._counters["unsolicited_offers"] += 1
            return
        pending.resolve(offer)

    async def expire_candidates(self) -> None:
        """Free the places of candidates that never come, until cancelled."""
        while True:
            await self._candidate_came.wait()
            self._candidate_came = trio.Event()
            while self.overlay.candidates:
                await trio.sleep(EXPIRE_SECONDS)
                self._resolve(self.overlay.expire(trio.current_time()))
            for origin in self._tickets.keys() - set(self.overlay.candidates):
                del self._tickets[origin]
