"""Admission: the handshake of a root with a joining node, up to its place in the tree.

joining node                            root
handshake, with Hello     <->           handshake, with its certificate (see `pando.net.trust`)
                          <-            RunInfo, in the same flight: what the run computes and
                                        how, and the function, whole or followed by FunctionPart ...
AskPortable               ->            (only where the exact form cannot be loaded there)
                          <-            Portable, FunctionPart ...
Ready | LoadFailed           ->
                          <-            Welcome (its parent is the root), or
                          <-            Redirect (the parent, its addresses, and a ticket)
Joined | Unreachable      ->            (after Unreachable: another place)

Where only children that need an offer have a place for a node that has made none, a Redirect to
nowhere asks for one; its Unreachable brings it.
"""

from __future__ import annotations

import random
import secrets
from collections import Counter
from typing import TYPE_CHECKING, Protocol

import msgspec
import trio

from .. import messages
from ..channel import ChannelClosedError
from ..errors import FunctionError
from ..limits import BOOTSTRAP_SECONDS
from ..net.addresses import join_address
from ..net.keepalive import KeepaliveChannel
from ..net.trust.identity import RootIdentity
from .child import sanitize_name
from .children import send_quietly
from .encoded_run import EncodedRun, FunctionFor, FunctionOffer, TurnServersFor, no_turn_servers
from .placement import Here, Placement

if TYPE_CHECKING:
    from ..net.trust.certificate import Certificate
    from ..net.trust.responder import Request

MAX_JOINING = 2048
"""Joining nodes that may be on their way to a place at once."""
UNREAD_SECONDS = 10.0
"""How long a joining node may take nothing of what it is sent, however long all of it takes."""
MAX_ADDRESSED = 20_000
"""Nodes that the root knows, and their addresses; joining nodes are sent to no others."""
SENT_AWAY = "whoever watches over this run has sent this device away"
"""A root's reason for refusing a device that may take no part in the run."""
MAX_FORMS = 4
"""Forms of the function that are kept encoded."""
MAX_TRIALS = 8
"""Offers of WebRTC, and what follows them, that a node may send before it is ready."""


class AdmissionEvents(Protocol):
    """What the owner of a root is told of joining nodes."""

    def on_load_failed(self, name: str, host: str, reason: str) -> None:
        """A joining node, seen at a host, cannot run the function."""

    def on_not_admitted(self, host: str, reason: str) -> None:
        """A node that connects has not proved what it must, or speaks another version."""

    def on_function_unavailable(self, reason: str) -> None:
        """The function has no form that a joining node could have."""


def read_hello(payload: bytes) -> messages.Hello:
    """What a joining node has said of itself in the handshake.

    Raises:
        MalformedMessageError: it is something else.
    """
    hello = messages.decode(payload)
    if not isinstance(hello, messages.Hello):
        raise messages.MalformedMessageError("a node must say who it is")
    return hello


class Admission:
    """Lets joining nodes into a run. Only the root of a run does.

    Args:
        identity: certifies them.
        assignment: what a joining node is told of the run.
        function_for: the form of the function that it can have; where this is not given, what
            the assignment holds.
        turn_servers_for: gives the TURN servers that a joining node may use.
        placement: finds it a parent.
        events: who is told of those that cannot take part.
        counters: where what is refused is counted, by kind.
        bootstrap_timeout: seconds that a joining node may take for each of its answers.
        ids: gives nodes their identifiers.
    """

    def __init__(
        self,
        identity: RootIdentity,
        assignment: messages.RunInfo,
        placement: Placement,
        events: AdmissionEvents,
        counters: Counter[str],
        *,
        function_for: FunctionFor | None = None,
        turn_servers_for: TurnServersFor = no_turn_servers,
        bootstrap_timeout: float = BOOTSTRAP_SECONDS,
        ids: random.Random | None = None,
    ) -> None:
        self.joining = 0
        self.sent_away: set[bytes] = set()
        self._admitted: dict[bytes, None] = {}
        self._identity = identity
        self._addresses: dict[bytes, list[str]] = {}
        self._assignment = assignment
        self._placement = placement
        self._events = events
        self._counters = counters
        self._function_for = function_for or self._assigned_function
        self._turn_servers_for = turn_servers_for
        self._bootstrap_timeout = bootstrap_timeout
        self._encoded: dict[object, EncodedRun] = {}
        self._ids = ids or random.Random(secrets.randbits(64))

    def certify(self, request: Request) -> Certificate:
        """Certify a joining node's key, under the identifier that it has proved to have, if any."""
        identifier = (
            request.certificate.identifier
            if request.certificate is not None
            else self._ids.randbytes(messages.ID_BYTES)
        )
        return self._identity.certify(identifier, request.key)

    async def admit(
        self,
        link: KeepaliveChannel,
        node: bytes,
        hello: messages.Hello,
        host: str,
        *,
        stays: bool = False,
    ) -> messages.Hello | None:
        """Tell a joining node what the run is, wait until it is ready, and find it a place.

        Args:
            link: to it.
            node: its identifier, as certified.
            hello: what it has said of itself.
            host: the address that it is seen at; empty where that is not known.
            stays: whether it can connect to nobody but the root, except by WebRTC.

        Returns:
            What is known of it where it is to be a child of the root; None where its place is
            elsewhere, or it cannot take part, or has gone.

        Raises:
            ChannelClosedError: the connection has ended.
        """
        if await self._is_refused(link, node):
            return None
        if self.joining >= MAX_JOINING:
            # Closing without an answer makes it try again, after a pause.
            self._counters["joins_over_limit"] += 1
            return None
        self.joining += 1
        try:
            ready = await self._hand_over(link, hello, node, host)
            if ready is None:
                return None
            self._note_admitted(node)
            self._note_addresses(node, host, ready)
            if await self._place(link, node, ready.offer, stays=stays):
                return msgspec.structs.replace(hello, port=ready.port)
            return None
        finally:
            self.joining -= 1

    def is_in_run(self, node: bytes, run: str) -> bool:
        """Return whether a node has been let into the run, and has not been sent away."""
        is_admitted = node in self._admitted and node not in self.sent_away
        return is_admitted and run == self._assignment.run

    def note_refusal(self, host: str, reason: str) -> None:
        """Note that a node was not let in."""
        self._events.on_not_admitted(host, reason)

    async def _is_refused(self, link: KeepaliveChannel, node: bytes) -> bool:
        """Whether a node was sent away; then it is told so."""
        if node not in self.sent_away:
            return False
        self._counters["refused_after_being_sent_away"] += 1
        await deny(link, SENT_AWAY)
        return True

    def _note_admitted(self, node: bytes) -> None:
        self._admitted.pop(node, None)
        self._admitted[node] = None
        if len(self._admitted) > MAX_ADDRESSED:
            del self._admitted[next(iter(self._admitted))]

    def _note_addresses(self, node: bytes, host: str, ready: messages.Ready) -> None:
        """Note where a node can be connected to; the address that it is seen at comes first."""
        self._addresses.pop(node, None)
        if ready.port:
            seen = [join_address(host, ready.port)] if host else []
            addresses = dict.fromkeys([*seen, *ready.addresses])
            self._addresses[node] = list(addresses)[: messages.MAX_ADDRESSES]
            if len(self._addresses) > MAX_ADDRESSED:
                del self._addresses[next(iter(self._addresses))]

    # ---- the run and its function ----

    async def _hand_over(
        self, link: KeepaliveChannel, hello: messages.Hello, origin: bytes, host: str
    ) -> messages.Ready | None:
        """Send a joining node the run and its function; its answer, where it is ready."""
        try:
            answer = await self._send_run(link, hello, origin)
            if isinstance(answer, messages.AskPortable):
                encoded = self._encode(await self._function_for(""))
                answer = await self._send(link, encoded.portable)
        except FunctionError as error:
            self._events.on_function_unavailable(str(error))
            await deny(link, str(error))
            return None
        if isinstance(answer, messages.LoadFailed):
            self._events.on_load_failed(sanitize_name(hello.name), host, answer.reason)
            return None
        if not isinstance(answer, messages.Ready) or not hello.workers:
            self._counters["joins_abandoned"] += 1
            return None
        return answer

    async def _send_run(
        self, link: KeepaliveChannel, hello: messages.Hello, origin: bytes
    ) -> messages.Message | None:
        """Tell a joining node what it needs to know of the run, the function included."""
        offer = FunctionOffer(b"")
        # Either it has the function of its own run already, or it computes nothing and only looks.
        if hello.run != self._assignment.run and hello.workers:
            offer = await self._function_for(hello.fingerprint)
        assigned = self._encode(offer).assigned(origin, self._turn_servers_for(origin))
        return await self._send(link, assigned)

    async def _assigned_function(self, fingerprint: str) -> FunctionOffer:
        return FunctionOffer(self._assignment.function)

    def _encode(self, offer: FunctionOffer) -> EncodedRun:
        """The run with a form of its function, encoded once for all that have this form."""
        kind = offer.function, tuple(sorted(offer.versions.items()))
        encoded = self._encoded.get(kind)
        if encoded is None:
            if len(self._encoded) >= MAX_FORMS:
                self._encoded.clear()
            encoded = self._encoded[kind] = EncodedRun(self._assignment, offer)
        return encoded

    async def _send(self, link: KeepaliveChannel, encoded: list[bytes]) -> messages.Message | None:
        """Send encoded messages; the answer to all of them, if there is one."""
        await self._send_while_taken(link, encoded)
        return await self._answer(link)

    async def _send_while_taken(self, link: KeepaliveChannel, encoded: list[bytes]) -> None:
        """Send encoded messages, as long as the joining node goes on reading.

        Raises:
            ChannelClosedError: it has ended the connection, or does not read.
        """
        try:
            await link.send_while_taken(encoded, UNREAD_SECONDS)
        except ChannelClosedError as error:
            self._counters["joins_stalled"] += error.fell_silent
            raise

    async def _answer(self, link: KeepaliveChannel) -> messages.Message | None:
        """What a joining node answers; None where it does not in time.

        Before that it may try a few offers of WebRTC, without joining.
        """
        with trio.move_on_after(self._bootstrap_timeout):
            for _ in range(MAX_TRIALS):
                answer = await link.receive()
                if not isinstance(answer, messages.Signal):
                    return answer
                answer_offer = self._placement.answer_offer
                reply = await answer_offer(answer.description) if answer_offer else None
                await link.send(reply or messages.Signal())
        return None

    # ---- its place ----

    async def _place(self, link: KeepaliveChannel, node: bytes, offer: str, *, stays: bool) -> bool:
        """Find a parent for a node that is ready; whether it is the root, once it has one."""
        avoid: set[bytes] = set()
        may_ask = not offer
        while True:
            if stays and not offer:
                self._placement.accept_here(node)
                return True
            place = await self._placement.find_parent(node, avoid, offer)
            if await self._is_refused(link, node):  # as of now
                return False
            if isinstance(place, Here):
                if not may_ask or not self._placement.overlay.needs_offer(node):
                    return True
                may_ask = False
                offer = await self._ask_for_offer(link, node)
                if offer:
                    self._placement.withdraw(node)
                    continue
                return True
            if place is None:
                raise ChannelClosedError("there is no place at present")
            found = place.offer
            addresses = [] if stays else self._addresses.get(found.parent, [])
            if addresses or found.answer:
                place_below = messages.Redirect(found.parent, addresses, found.ticket, found.answer)
                answer = await self._send(link, [messages.encode(place_below)])
                if not isinstance(answer, messages.Unreachable):
                    return False  # it has joined, or has gone
                offer = answer.offer
                may_ask = False
            self._counters["unreachable_parents"] += 1
            avoid.add(place.child)

    async def _ask_for_offer(self, link: KeepaliveChannel, node: bytes) -> str:
        """Ask a joining node for an offer of WebRTC; empty where it makes none.

        It is told of a parent at no address, as which it cannot connect to.
        """
        nowhere = messages.Redirect(self._placement.overlay.node, [], "")
        answer = await self._send(link, [messages.encode(nowhere)])
        if not isinstance(answer, messages.Unreachable):
            raise ChannelClosedError("it has gone")
        return answer.offer


async def deny(link: KeepaliveChannel, reason: str) -> None:
    """Tell the other end of a connection why it is refused."""
    await send_quietly(link, messages.JoinRejected(reason, messages.VERSION))
