"""Membership: a node's children, from the first message to the last.

The overlay decides who goes where. Here the messages of joining are exchanged: the root tells a
newcomer what the run is, then it, or a node below, keeps a place, and the newcomer connects there
with a one-time ticket. One nursery for each child; leaving it is what gives its leases back.
"""

from __future__ import annotations

import random
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import trio

from .. import messages
from ..channel import BrokenRulesError, Channel, ChannelClosedError
from ..errors import FunctionError, PandoError
from ..net.addresses import join_address
from ..net.keepalive import Link
from ..scheduler import Credit
from .lending import Borrower
from .node import Node
from .overlay import Accept, Decision, Delegate, Overlay, Wait
from .uplink import MAX_VALUES_BYTES

FIRST_MESSAGE_SECONDS = 10.0
"""How long a newcomer may take to say who it is."""
MAX_NEWCOMERS = 2048
"""Newcomers that may be on their way to a place at once."""
OFFER_SECONDS = 30.0
"""How long a child may take to find a place below it."""
MAX_TRIES = 3
"""Children that a newcomer is sent to in vain before it is accepted here."""
MAX_STATUS_NODES = 20_000
"""Nodes that one child may report figures of."""
CHILD_MESSAGES = 4
"""Batches that a child holds when it holds all it may."""
CHILD_TARGET_SECONDS = 0.2
"""Work in a child's batches, for each of its workers: a network is slower than a socket pair."""
CHILD_PAIR_SECONDS = 2.0
"""Two items that are no more work than this travel to a child's worker together."""
EXPIRE_SECONDS = 1.0


@dataclass(frozen=True)
class FunctionOffer:
    """A form of the function, and the versions of modules that it is good for, if not for all."""

    function: bytes
    versions: dict[str, str] = field(default_factory=dict)


FunctionFor = Callable[[str], Awaitable[FunctionOffer]]
"""Takes a newcomer's fingerprint, or an empty one for a form that all can have."""
Admit = Callable[[messages.Hello, str], str | None]
Find = Callable[[messages.Hello], "Membership"]


@dataclass
class Child:
    """A child that is connected."""

    node: bytes
    name: str
    addresses: list[str]
    link: Link
    status: list[messages.NodeStatus] = field(default_factory=list)


@dataclass(eq=False)
class _Asked:
    """A child that has been asked to find a place, and what it answers."""

    child: Child
    answered: trio.Event = field(default_factory=trio.Event)
    offer: messages.Offer | None = None


class _Here(Exception):  # noqa: N818 - not an error: the place that was found
    """The place that was found for a newcomer is here."""


class Events(Protocol):
    """What a membership tells its owner."""

    def joined(self, child: Child) -> None:
        """A child has joined."""

    def left(self, child: Child, borrower: Borrower) -> None:
        """A child has left, or was lost."""

    def cannot_compute(self, name: str, reason: str) -> None:
        """A newcomer cannot run the function."""

    def cannot_have_function(self, reason: str) -> None:
        """The function has no form that a newcomer could have."""


class Membership:
    """The children of a node.

    Args:
        node: what lends to them.
        overlay: who accepts and who delegates.
        assignment: what a newcomer is told; only the root has one to tell.
        admit: why a newcomer may not take part, or None where it may.
        addresses: where newcomers can connect to this node.
        events: who is told of what happens.
        ids: gives new nodes their identifiers.
        function_for: the form of the function that a newcomer can have, at the root.
    """

    def __init__(
        self,
        node: Node,
        overlay: Overlay,
        *,
        assignment: messages.Assigned | None,
        admit: Admit,
        events: Events,
        addresses: Iterable[str] = (),
        silence: float = 10.0,
        bootstrap_timeout: float = 60.0,
        ids: random.Random | None = None,
        function_for: FunctionFor | None = None,
    ) -> None:
        self.overlay = overlay
        self.counters: Counter[str] = Counter()
        self._node = node
        self._assignment = assignment
        self._admit = admit
        self._function_for = function_for
        self._events = events
        self._addresses = list(addresses)
        self._silence = silence
        self._bootstrap_timeout = bootstrap_timeout
        self._ids = ids or random.Random(secrets.randbits(64))
        self._children: dict[bytes, Child] = {}
        self._tickets: dict[bytes, str] = {}
        self._decisions: dict[bytes, tuple[trio.Event, list[Decision]]] = {}
        self._offers: dict[bytes, _Asked] = {}
        self._candidate_came = trio.Event()
        self._newcomers = 0

    def set_addresses(self, addresses: Iterable[str]) -> None:
        """Newcomers can connect to this node at these addresses."""
        self._addresses = list(addresses)

    # ---- looking in ----

    @property
    def children(self) -> list[Child]:
        """All that are connected."""
        return list(self._children.values())

    @property
    def joining(self) -> int:
        """How many nodes are on their way to a place."""
        return self._newcomers

    def status_below(self) -> list[messages.NodeStatus]:
        """The last figures of all nodes below this one."""
        return [status for child in self._children.values() for status in child.status]

    # ---- newcomers ----

    async def welcome(self, channel: Channel, host: str, find: Find | None = None) -> None:
        """Serve whoever has connected, from the first message to the last.

        Args:
            channel: the connection.
            host: the address that it comes from.
            find: gives the membership that a joining node belongs to, where a port is shared.
        """
        try:
            await self._welcome(channel, host, find or (lambda hello: self))
        except BrokenRulesError:
            self.counters["rules broken by newcomers"] += 1
        except ChannelClosedError:
            return
        except PandoError as error:
            self.counters["malformed messages"] += 1
            await _deny(channel, str(error))

    async def _welcome(self, channel: Channel, host: str, find: Find) -> None:
        hello = None
        with trio.move_on_after(FIRST_MESSAGE_SECONDS):
            hello = await channel.receive()
        if hello is None:
            self.counters["silent newcomers"] += 1
            return
        if not isinstance(hello, messages.Hello):
            self.counters["malformed messages"] += 1
            await _deny(channel, "the first message must say who you are")
            return
        if hello.version != messages.VERSION:
            self.counters["wrong versions"] += 1
            await _deny(
                channel,
                f"this run speaks version {messages.VERSION} of the protocol and you version "
                f"{hello.version}: the older Pando should be updated",
            )
            return
        if hello.node and len(hello.node) != messages.ID_BYTES:
            raise messages.MalformedMessageError("an identifier of the wrong length")
        if hello.ticket:
            await self._redeem(channel, hello, host)
            return
        await find(hello)._admit_node(channel, hello, host)

    async def _admit_node(self, channel: Channel, hello: messages.Hello, host: str) -> None:
        reason = self._admit(hello, host)
        if reason is None and self._newcomers >= MAX_NEWCOMERS:
            # Closing without an answer makes it try again, after a pause.
            self.counters["too many newcomers at once"] += 1
            return
        if reason is not None or self._assignment is None:
            self.counters["refused newcomers"] += 1
            await _deny(channel, reason or "newcomers join at the root")
            return
        self._newcomers += 1
        try:
            place = await self._take_in(channel, hello)
        finally:
            self._newcomers -= 1
        if place is not None:
            await self._serve_child(channel, place, host)

    async def _redeem(self, channel: Channel, hello: messages.Hello, host: str) -> None:
        ticket = self._tickets.get(hello.node, "")
        if not secrets.compare_digest(ticket.encode(), hello.ticket.encode()) or not ticket:
            self.counters["wrong tickets"] += 1
            await _deny(channel, "this ticket is not, or no more, good for a place here")
            return
        del self._tickets[hello.node]
        await self._serve_child(channel, hello, host)

    async def _take_in(self, channel: Channel, hello: messages.Hello) -> messages.Hello | None:
        """The root's part: say what the run is, wait until it is ready, find it a place.

        Returns what is known of it where its place is here; None where it is elsewhere or gone.
        """
        assert self._assignment is not None
        origin = hello.node or self._ids.randbytes(messages.ID_BYTES)
        try:
            assigned = await self._assignment_for(hello, origin)
        except FunctionError as error:
            await self._refuse_function(channel, error)
            return None
        answer = await self._send_assignment(channel, *assigned)
        if isinstance(answer, messages.Refused):
            self._events.cannot_compute(tidy_name(hello.name), answer.reason)
            return None
        if not isinstance(answer, messages.Ready):
            self.counters["newcomers never ready"] += 1
            return None
        hello = msgspec.structs.replace(
            hello, node=origin, port=answer.port, addresses=answer.addresses
        )
        avoid: set[bytes] = set()
        while True:
            try:
                child, offer = await self._find_place(origin, avoid)
            except _Here:
                return hello
            await channel.send(messages.Delegated(offer.addresses, offer.ticket))
            answer = None
            with trio.move_on_after(self._bootstrap_timeout):
                answer = await channel.receive()
            if not isinstance(answer, messages.Unreachable):
                return None  # it has joined, or is gone
            self.counters["unreachable parents"] += 1
            avoid.add(child)

    async def _assignment_for(
        self, hello: messages.Hello, origin: bytes
    ) -> tuple[messages.Assigned, list[messages.FunctionPart]]:
        """What a newcomer is told of the run, and what of its function follows."""
        assert self._assignment is not None
        offer = FunctionOffer(b"")
        if hello.run != self._assignment.run:
            offer = FunctionOffer(self._assignment.function)
            if self._function_for is not None:
                offer = await self._function_for(hello.fingerprint)
        whole = len(offer.function) <= messages.PART_BYTES
        parts = [] if whole else divide(offer.function)
        assigned = msgspec.structs.replace(
            self._assignment,
            node=origin,
            function=offer.function if whole else b"",
            versions=offer.versions,
            parts=len(parts),
        )
        return assigned, parts

    async def _send_assignment(
        self,
        channel: Channel,
        assigned: messages.Assigned,
        parts: list[messages.FunctionPart],
    ) -> messages.Message | None:
        """Tell a newcomer of the run; its answer once it has the function, if it gives one."""
        answer = await self._send_function(channel, assigned, parts)
        if not isinstance(answer, messages.AskPortable) or self._function_for is None:
            return answer
        try:
            offer = await self._function_for("")
        except FunctionError as error:
            await self._refuse_function(channel, error)
            raise ChannelClosedError("it cannot have the function") from None
        parts = divide(offer.function)
        return await self._send_function(channel, messages.Portable(len(parts)), parts)

    async def _send_function(
        self,
        channel: Channel,
        first: messages.Message,
        parts: list[messages.FunctionPart],
    ) -> messages.Message | None:
        """Send a message and the parts that follow it; the answer to all, if there is one."""
        await channel.send(first)
        for part in parts:
            await channel.send(part)
        with trio.move_on_after(self._bootstrap_timeout):
            return await channel.receive()
        return None

    async def _refuse_function(self, channel: Channel, error: FunctionError) -> None:
        self._events.cannot_have_function(str(error))
        await _deny(channel, str(error))

    # ---- places ----

    async def _find_place(self, origin: bytes, avoid: set[bytes]) -> tuple[bytes, messages.Offer]:
        """A place below: the child that was asked, and its offer.

        Raises:
            _Here: the newcomer is to be a child of this node; its place is kept.
        """
        while True:
            if len(avoid) >= MAX_TRIES:
                avoid.update(self._children)
            decision = self.overlay.request(origin, trio.current_time(), avoid=frozenset(avoid))
            if isinstance(decision, Wait):
                decision = await self._await_decision(origin)
            if isinstance(decision, Accept):
                self._candidate_came.set()
                raise _Here
            if not isinstance(decision, Delegate):
                self.counters["put off"] += 1
                raise ChannelClosedError("too many newcomers at once")
            offer = await self._ask(decision.child, origin)
            if offer is not None:
                return decision.child, offer
            avoid.add(decision.child)

    async def _await_decision(self, origin: bytes) -> Decision:
        earlier = self._decisions.get(origin)
        if earlier is not None:
            earlier[0].set()
        event, decisions = self._decisions[origin] = (trio.Event(), [])
        try:
            await event.wait()
            if not decisions:
                raise ChannelClosedError("it has asked again")
            return decisions[0]
        finally:
            if self._decisions.get(origin, (None,))[0] is event:
                del self._decisions[origin]

    def _carry_out(self, decisions: list[Decision]) -> None:
        """Tell those who wait what has been decided on them."""
        for decision in decisions:
            waiting = self._decisions.get(decision.origin)
            if waiting is not None and not isinstance(decision, Wait):
                waiting[1].append(decision)
                waiting[0].set()

    async def _ask(self, node: bytes, origin: bytes) -> messages.Offer | None:
        """Ask a child to find a place; None where it has none, or does not answer in time."""
        child = self._children.get(node)
        if child is None:
            return None
        asked = self._offers[origin] = _Asked(child)
        try:
            with trio.move_on_after(OFFER_SECONDS):
                await child.link.send(messages.Join(origin))
                await asked.answered.wait()
        except ChannelClosedError:
            return None
        finally:
            if self._offers.get(origin) is asked:
                del self._offers[origin]
        return asked.offer if asked.offer and asked.offer.addresses else None

    async def offer_place(self, origin: bytes) -> messages.Offer:
        """A parent asks for a place for this newcomer, here or below: what to answer."""
        try:
            _, offer = await self._find_place(origin, set())
        except ChannelClosedError:
            offer = messages.Offer(origin, self.overlay.node, [])
        except _Here:
            ticket = self._tickets[origin] = secrets.token_urlsafe(16)
            offer = messages.Offer(origin, self.overlay.node, self._addresses, ticket)
        return offer

    async def expire_forever(self) -> None:
        """Free the places of candidates that never come."""
        while True:
            await self._candidate_came.wait()
            self._candidate_came = trio.Event()
            while self.overlay.candidates:
                await trio.sleep(EXPIRE_SECONDS)
                self._carry_out(self.overlay.expire(trio.current_time()))
            for origin in self._tickets.keys() - set(self.overlay.candidates):
                del self._tickets[origin]

    # ---- children ----

    async def _serve_child(self, channel: Channel, hello: messages.Hello, host: str) -> None:
        origin = hello.node
        earlier = self._children.get(origin)
        if earlier is not None:  # it has come back before its end was noticed
            await earlier.link.aclose()
        link = Link(channel, silence=self._silence)
        addresses = [join_address(host, hello.port), *hello.addresses] if hello.port else []
        del addresses[messages.MAX_ADDRESSES :]
        child = Child(origin, tidy_name(hello.name), addresses, link)
        await link.send(messages.Welcome(self.overlay.node))
        self._children[origin] = child
        self._carry_out(
            self.overlay.connected(origin, trio.current_time(), takes_children=bool(addresses))
        )
        credit = new_credit(hello.workers)
        borrower = Borrower(child.name, credit, lambda: None)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(link.run)
                self._events.joined(child)
                filtered = _ChildChannel(self, child)
                borrower = await self._node.serve(
                    filtered, child.name, credit, max_bytes=MAX_VALUES_BYTES
                )
                nursery.cancel_scope.cancel()
        finally:
            if self._children.get(origin) is child:
                del self._children[origin]
                self._carry_out(self.overlay.left(origin, trio.current_time()))
            for asked in self._offers.values():
                if asked.child is child:
                    asked.answered.set()
            self._events.left(child, borrower)

    def take(self, child: Child, message: messages.Message) -> bool:
        """Take a child's message that is not for the lender; False where it is."""
        match message:
            case messages.Offer(origin):
                asked = self._offers.get(origin)
                if asked is None or asked.child is not child:
                    self.counters["offers not asked for"] += 1
                    return True
                if message.parent == child.node and message.addresses:
                    # The address that it is seen at comes first.
                    message.addresses = list(dict.fromkeys(child.addresses))
                asked.offer = message
                asked.answered.set()
            case messages.Status(nodes):
                child.status = nodes[:MAX_STATUS_NODES]
            case messages.Reported():
                raise messages.MalformedMessageError("a node's reports stand in its status")
            case _:
                return False
        return True

    async def end(self) -> None:
        """Tell all children that the run is over."""
        async with trio.open_nursery() as nursery:
            for child in self.children:
                nursery.start_soon(_send_quietly, child.link, messages.Ended())


class _ChildChannel:
    """A child's channel as the lender sees it: without the messages of membership."""

    def __init__(self, membership: Membership, child: Child) -> None:
        self._membership = membership
        self._child = child

    async def send(self, message: messages.Message) -> None:
        await self._child.link.send(message)

    async def receive(self) -> messages.Message:
        while True:
            try:
                message = await self._child.link.receive()
            except BrokenRulesError:
                self._membership.counters["rules broken by children"] += 1
                raise
            if isinstance(message, messages.Leaving):
                raise ChannelClosedError("it has left")
            if not self._membership.take(self._child, message):
                return message

    async def aclose(self) -> None:
        await self._child.link.aclose()


def new_credit(workers: int) -> Credit:
    """What a child with so many workers, its own and those below it, may hold."""
    credit = Credit(
        messages=CHILD_MESSAGES,
        target_seconds=CHILD_TARGET_SECONDS,
        pair_seconds=CHILD_PAIR_SECONDS,
    )
    credit.ask(workers)
    return credit


def divide(function: bytes) -> list[messages.FunctionPart]:
    """A function in parts that fit into messages."""
    size = messages.PART_BYTES
    return [
        messages.FunctionPart(function[start : start + size])
        for start in range(0, len(function), size)
    ]


async def _deny(channel: Channel, reason: str) -> None:
    await _send_quietly(channel, messages.Denied(reason, messages.VERSION))


async def _send_quietly(channel: Channel, message: messages.Message) -> None:
    with trio.move_on_after(1.0):
        try:
            await channel.send(message)
        except ChannelClosedError:
            return


def tidy_name(name: str) -> str:
    """A device's name, safe to print: one short line."""
    printable = "".join(c if c.isprintable() else " " for c in name[: messages.MAX_NAME])
    return " ".join(printable.split()) or "a volunteer"
