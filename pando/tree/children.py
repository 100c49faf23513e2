"""Children: serves each child that has connected, from the welcome to its end.

One nursery for each child; leaving it is what gives the child's leases back.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Protocol

import trio

from .. import messages
from ..channel import ChannelClosedError, ProtocolViolationError
from ..net.addresses import shared_address
from ..net.keepalive import KeepaliveChannel
from ..reporting.ledger import Ledger
from ..reporting.passing import Incoming
from ..scheduler import Borrower, Source
from .child import Child, credit_for_child, sanitize_name
from .node import Node
from .placement import Placement
from .uplink import MAX_VALUES_BYTES

logger = logging.getLogger(__name__)

END_SECONDS = 1.0
"""How long telling one child that the run is over may take."""


class ChildEvents(Protocol):
    """What the owner of a node is told of its children."""

    def on_joined(self, child: Child) -> None:
        """A child has joined."""

    def on_left(self, child: Child, borrower: Borrower) -> None:
        """A child has left, or was lost."""


class Children:
    """Serves the children of a node.

    Args:
        node: what lends to them.
        placement: is told of each that comes and goes.
        events: who else is told.
        counters: where what is refused or ignored is counted, by kind.
        ledger: where reports are noted.
    """

    def __init__(
        self,
        node: Node,
        placement: Placement,
        events: ChildEvents,
        counters: Counter[str],
        ledger: Ledger,
    ) -> None:
        self._node = node
        self._placement = placement
        self._events = events
        self._counters = counters
        self._ledger = ledger
        self._run_is_over = False

    @property
    def connected(self) -> list[Child]:
        """All that are connected."""
        return list(self._placement.children.values())

    async def serve(
        self,
        link: KeepaliveChannel,
        node: bytes,
        hello: messages.Hello,
        host: str,
        *,
        is_relayed: bool = False,
    ) -> None:
        """Lend to a child until its link ends.

        Args:
            link: to the child.
            node: its identifier, as the root has certified it.
            hello: what it has said of itself.
            host: the address that it is seen at.
            is_relayed: whether a public server relays the link.
        """
        earlier = self._placement.children.get(node)
        if earlier is not None:  # it has come back, or has changed over to another link
            earlier.has_left = True
            await earlier.link.aclose()
        child = Child(
            node,
            sanitize_name(hello.name),
            hello.port > 0 or hello.answers_offers,
            hello.port == 0,
            link,
            is_relayed=is_relayed,
        )
        link.traffic = self._node.traffic
        await link.send(messages.Welcome(self._placement.overlay.node))
        self._placement.connected(child)
        credit = credit_for_child(hello.workers)
        borrower = Borrower(child.name, credit)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(link.run)
                child.offers, offers = trio.open_memory_channel[str](1)
                nursery.start_soon(self._answer_offers, child, offers)
                logger.debug("%r joined, with %d workers", child, hello.workers)
                self._events.on_joined(child)
                incoming = Incoming(child, self._ledger, self._placement.overlay.node)
                channel = _ChildChannel(self, child, incoming)
                borrower = await self._node.serve(
                    channel,
                    child.name,
                    credit,
                    max_bytes=MAX_VALUES_BYTES,
                    source=Source(child.node, shared_address(host)),
                )
                nursery.cancel_scope.cancel()
        finally:
            logger.debug("%r is no longer connected", child)
            self._placement.left(child)
            lost = not (child.has_left or self._run_is_over)
            self._ledger.close(child, trio.current_time(), lost=lost)
            self._events.on_left(child, borrower)

    async def receive_for_lender(self, child: Child, incoming: Incoming) -> messages.Message:
        """The next message of a child that is for the lender; the others are handled here.

        Raises:
            ChannelClosedError: it has left, or was lost.
        """
        while True:
            try:
                message = await child.link.receive()
            except ProtocolViolationError:
                self._counters["child_protocol_violations"] += 1
                raise
            except ChannelClosedError:
                if child.has_left:  # it is here by another link, so nothing has killed it
                    raise ChannelClosedError("it has another link", in_order=True) from None
                raise
            match message:
                case messages.Offer():
                    self._placement.offered(child, message)
                case messages.Update():
                    incoming.take(message, trio.current_time())
                case messages.Signal(offer) if child.offers is not None:
                    try:
                        child.offers.send_nowait(offer)
                    except trio.WouldBlock:
                        raise messages.MalformedMessageError("one offer at a time") from None
                case messages.Leave():
                    child.has_left = True
                    raise ChannelClosedError("it has left", in_order=True)
                case messages.Capacity(answers_offers=bool(takes_children)) if child.needs_offer:
                    self._placement.set_takes_children(child, takes_children)
                    return message
                case messages.FunctionReport():
                    raise messages.MalformedMessageError("a node's reports belong in its updates")
                case _:
                    return message

    async def _answer_offers(self, child: Child, offers: trio.MemoryReceiveChannel[str]) -> None:
        """Answer what a child offers, to be connected to by WebRTC as well."""
        answer_offer = self._placement.answer_offer
        async for offer in offers:
            answer = await answer_offer(offer) if answer_offer is not None else None
            await send_quietly(child.link, answer or messages.Signal())

    async def end(self, results: int) -> None:
        """Tell all children that the run is over, and how many results it has had."""
        self._run_is_over = True
        async with trio.open_nursery() as nursery:
            for child in self.connected:
                nursery.start_soon(send_quietly, child.link, messages.RunEnded(results))

    async def send_to_others(self, node: bytes, message: messages.Message) -> None:
        """Send a message to all children but one."""
        async with trio.open_nursery() as nursery:
            for child in self.connected:
                if child.node != node:
                    nursery.start_soon(send_quietly, child.link, message)


class _ChildChannel:
    """A child's link as the lender sees it: without the messages that are not for it."""

    def __init__(self, children: Children, child: Child, incoming: Incoming) -> None:
        self._children = children
        self._child = child
        self._incoming = incoming

    async def send(self, message: messages.Message) -> None:
        await self._child.link.send(message)

    async def receive(self) -> messages.Message:
        return await self._children.receive_for_lender(self._child, self._incoming)

    async def aclose(self) -> None:
        await self._child.link.aclose()


async def send_quietly(link: KeepaliveChannel, message: messages.Message) -> None:
    """Send a last message; where it cannot be sent soon, nothing."""
    with trio.move_on_after(END_SECONDS):
        try:
            await link.send(message)
        except ChannelClosedError:
            return
