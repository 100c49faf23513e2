"""Membership: what a node does with each connection, from the first message to the last.

A connection begins with the handshake, in which both ends prove who they are (`pando.net.trust`).
The root lets nodes into the run, by `admission`; any other node lets those in for whom `placement`
keeps a place. What has a place here is served by `children`.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import trio

from .. import messages
from ..channel import Channel, ChannelClosedError, ProtocolViolationError
from ..errors import ProtocolError, one_line
from ..limits import BOOTSTRAP_SECONDS, HEARTBEAT_TIMEOUT_SECONDS
from ..net.keepalive import KeepaliveChannel
from ..net.trust.errors import HandshakeFailedError
from ..net.trust.identity import NodeIdentity, RootIdentity
from ..net.visitor import Visitor
from ..net.webrtc.answerer import Answerer, IceServers
from ..reporting.ledger import Ledger
from .admission import Admission, AdmissionEvents, deny, read_hello
from .child import Child
from .children import ChildEvents, Children
from .encoded_run import FunctionFor, TurnServersFor, no_turn_servers
from .node import Node
from .overlay import Overlay
from .placement import Placement
from .report_links import NOT_HERE, NOT_IN_RUN, ReportLinks

if TYPE_CHECKING:
    from ..net.trust.certificate import Certificate
    from ..net.trust.responder import Request
    from ..net.trust.shaking import IncomingHandshake

FIRST_MESSAGE_SECONDS = 10.0
"""How long a joining node may take to prove who it is."""

logger = logging.getLogger(__name__)

Find = Callable[[messages.Hello], "Membership"]
"""Gives the membership that a joining node belongs to, where several runs share a port."""


@dataclass(frozen=True)
class _Arrival:
    """A node that has connected and proved who it is, but has not been let in."""

    handshake: IncomingHandshake
    request: Request
    hello: messages.Hello
    visitor: Visitor

    async def accept(self, issued: Certificate | None) -> Channel:
        """Let it in, with what the root certifies; return the channel to use from now on."""
        leave_open = self.request.asks_open and not self.visitor.is_relayed
        return await self.handshake.accept(issued, leave_open=leave_open)


class RootEvents(ChildEvents, AdmissionEvents, Protocol):
    """What the owner of a root is told."""


class Membership:
    """The children of a node and how they come.

    Args:
        node: what lends to them.
        overlay: who accepts and who delegates.
        events: who is told of what happens.
        identity: what this node proves itself with.
        silence: seconds after which a silent child counts as dead.
        ledger: where what children report is noted.

    Attributes:
        counters: what was refused or ignored, by kind.
        placement: finds joining nodes a parent.
        ledger: the devices below this node.
        report_links: those of all devices of the run; None where there are none.
        children: serves those that are connected.
    """

    def __init__(
        self,
        node: Node,
        overlay: Overlay,
        events: ChildEvents,
        identity: RootIdentity | NodeIdentity,
        *,
        silence: float = HEARTBEAT_TIMEOUT_SECONDS,
        ledger: Ledger | None = None,
    ) -> None:
        self.ledger = ledger or Ledger()
        self.counters: Counter[str] = Counter()
        self.placement = Placement(overlay, self.counters)
        self._identity = identity
        self._silence = silence
        self._children = Children(node, self.placement, events, self.counters, self.ledger)
        self._admission: Admission | None = None
        self.report_links: ReportLinks | None = None
        self._connections: dict[bytes, set[trio.CancelScope]] = {}

    @classmethod
    def of_root(
        cls,
        node: Node,
        overlay: Overlay,
        events: RootEvents,
        identity: RootIdentity,
        assignment: messages.RunInfo,
        *,
        function_for: FunctionFor | None = None,
        turn_servers_for: TurnServersFor = no_turn_servers,
        silence: float = HEARTBEAT_TIMEOUT_SECONDS,
        bootstrap_timeout: float = BOOTSTRAP_SECONDS,
        ids: random.Random | None = None,
        ledger: Ledger | None = None,
        global_ledger: Ledger | None = None,
    ) -> Membership:
        """The membership of a root, which lets nodes into the run; see `Admission`.

        What devices tell on report links is noted in `global_ledger`.
        """
        membership = cls(node, overlay, events, identity, silence=silence, ledger=ledger)
        membership._admission = Admission(
            identity,
            assignment,
            membership.placement,
            events,
            membership.counters,
            function_for=function_for,
            turn_servers_for=turn_servers_for,
            bootstrap_timeout=bootstrap_timeout,
            ids=ids,
        )
        if global_ledger is not None:
            membership.report_links = ReportLinks(
                global_ledger,
                overlay.node,
                assignment.reporting_interval,
                silence,
                membership.counters,
            )
        return membership

    # ---- looking in ----

    @property
    def children(self) -> list[Child]:
        """All that are connected."""
        return self._children.connected

    def count_relayed(self) -> tuple[int, int]:
        """Return how many children are relayed, and how many of these are beyond the degree."""
        relayed = {child.node for child in self.children if child.is_relayed}
        return len(relayed), len(relayed.intersection(self.placement.overlay.beyond_degree))

    @property
    def joining(self) -> int:
        """How many nodes are on their way to a place."""
        return self._admission.joining if self._admission else 0

    # ---- connections ----

    async def handle_connection(
        self, channel: Channel, visitor: Visitor, find: Find | None = None
    ) -> None:
        """Serve a connection from its first message to its last.

        Args:
            channel: the connection.
            visitor: who is at its other end, as far as the connection tells.
            find: gives the membership that a joining node belongs to, where a port is shared.
        """
        try:
            arrival = await self._shake_hands(channel, visitor)
            if arrival is not None:
                membership = self if find is None else find(arrival.hello)
                await membership._serve(arrival)
        except HandshakeFailedError as error:
            logger.debug("a connection from %s is refused: %s", visitor.host, one_line(str(error)))
            self.counters["failed_handshakes"] += 1
            if self._admission is not None:
                self._admission.note_refusal(visitor.host, str(error))
        except ProtocolViolationError:
            self.counters["join_protocol_violations"] += 1
        except ChannelClosedError:
            return
        except ProtocolError:
            self.counters["malformed_messages"] += 1

    async def _shake_hands(self, channel: Channel, visitor: Visitor) -> _Arrival | None:
        """Let the other end prove who it is; None where it says nothing in time."""
        handshake = await self._begin_handshake(channel, visitor)
        with trio.move_on_after(FIRST_MESSAGE_SECONDS):
            request = await handshake.receive()
            if request.certificate is not None and self._admission is None:
                self.placement.use_ticket(request.certificate.identifier)
            try:
                hello = read_hello(request.payload)
            except messages.MalformedMessageError as error:
                await handshake.refuse(str(error))
                raise
            return _Arrival(handshake, request, hello, visitor)
        self.counters["joins_timed_out"] += 1
        return None

    async def _begin_handshake(self, channel: Channel, visitor: Visitor) -> IncomingHandshake:
        if isinstance(self._identity, RootIdentity):
            return await self._identity.begin(channel, visitor)
        return await self._identity.begin(channel, self.placement.find_ticket)

    async def _serve(self, arrival: _Arrival) -> None:
        """Let in a node that has proved who it is, and serve it where its place is here."""
        if arrival.hello.reports:
            await self._serve_reports(arrival)
            return
        certificate, issued = arrival.request.certificate, None
        if self._admission is not None:
            certificate = issued = self._admission.certify(arrival.request)
        assert certificate is not None, "below the root nobody is let in without one"
        node = certificate.identifier
        with self._connection_of(node):
            await self._serve_node(arrival, node, issued)

    async def _serve_reports(self, arrival: _Arrival) -> None:
        """Serve the report link of a device that is in the run; refuse any other."""
        certificate, admission = arrival.request.certificate, self._admission
        if admission is None or self.report_links is None:
            await self._refuse_reports(arrival, NOT_HERE)
        elif certificate is None or not admission.is_in_run(
            certificate.identifier, arrival.hello.run
        ):
            await self._refuse_reports(arrival, NOT_IN_RUN)
        else:
            with self._connection_of(certificate.identifier):
                channel = await arrival.accept(admission.certify(arrival.request))
                await self.report_links.serve(channel, certificate.identifier)

    async def _refuse_reports(self, arrival: _Arrival, reason: str) -> None:
        self.counters["report_links_refused"] += 1
        await arrival.handshake.refuse(reason)

    @contextmanager
    def _connection_of(self, node: bytes) -> Iterator[None]:
        """Let a block end when the node's connections are to end."""
        scopes = self._connections.setdefault(node, set())
        with trio.CancelScope() as scope:
            scopes.add(scope)
            try:
                yield
            finally:
                scopes.discard(scope)
                if not scopes and self._connections.get(node) is scopes:
                    del self._connections[node]

    async def _serve_node(self, arrival: _Arrival, node: bytes, issued: Certificate | None) -> None:
        channel = await arrival.accept(issued)
        link, hello = KeepaliveChannel(channel, silence=self._silence), arrival.hello
        try:
            if self._admission is not None:
                # A page over https may not connect to nodes, which have no certificates.
                stays = arrival.visitor.over_https and hello.is_page
                admitted = await self._admission.admit(
                    link, node, hello, arrival.visitor.host, stays=stays
                )
                if admitted is None:
                    return
                hello = admitted
            await self._children.serve(
                link,
                node,
                hello,
                arrival.visitor.host,
                is_relayed=arrival.visitor.is_relayed,
            )
        except ProtocolError as error:
            self.counters["malformed_messages"] += 1
            await deny(link, str(error))

    # ---- while the node lives ----

    async def expire_candidates(self) -> None:
        """Free the places of candidates that never come, until cancelled."""
        await self.placement.expire_candidates()

    async def send_away(self, node: bytes) -> None:
        """Let a node take no part in the run any more, wherever it is; only at a root.

        What it was lent is lent to others, and counts against nobody. When it comes back, it is
        told so.
        """
        assert self._admission is not None, "only the root decides who takes part"
        self._admission.sent_away.add(node)
        await self.disconnect(node)

    @property
    def sent_away(self) -> Set[bytes]:
        """The nodes that may take no part in the run."""
        return self._admission.sent_away if self._admission else frozenset()

    def let_back(self, node: bytes) -> None:
        """Let a node take part again that was sent away."""
        assert self._admission is not None, "only the root decides who takes part"
        self._admission.sent_away.discard(node)

    async def disconnect(self, node: bytes) -> None:
        """End the connections of a node, to this node and to those below it."""
        self.placement.cancel_ticket(node)
        child = self.placement.children.get(node)
        if child is not None:
            child.has_left = True
        for connection in self._connections.get(node, ()):
            connection.cancel()
        await self._children.send_to_others(node, messages.Disconnect(node))

    async def answer_offers(self, servers: IceServers) -> None:
        """Let nodes connect to this one by WebRTC, and serve those that have, until cancelled.

        Args:
            servers: gives the STUN and TURN servers for each connection.
        """
        answerer = Answerer(self.handle_connection, servers)
        self.placement.answer_offer = answerer.answer
        await answerer.run()

    async def end(self, results: int = 0) -> None:
        """Tell all children that the run is over, and how many results it has had."""
        await self._children.end(results)
