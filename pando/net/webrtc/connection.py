"""A connection: a thin layer over aiortc, with time limits of our own and one data channel.

One offer, one answer, both complete: candidates do not trickle. Where browsers give names of mDNS
instead of addresses, nobody waits for these: the browser's own checks mostly come through first.
The data channel is negotiated by both ends beforehand, so that neither sends before the other
listens.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence, Set
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING

import trio

from ...channel import ChannelClosedError
from ...errors import one_line
from .channel import DataChannel, Wire
from .description import KINDS, RELAY, Candidate, Description, is_target
from .event_loop import EventLoop, use_event_loop
from .gathering import Gatherer
from .ice_servers import IceServer

if TYPE_CHECKING:
    from aioice import Connection as IceConnection
    from aiortc import RTCPeerConnection

logger = logging.getLogger(__name__)

MDNS_PAUSE_SECONDS = 0.3
"""Seconds that the checks of the other end may take before its names are resolved."""
MDNS_SECONDS = 0.3
"""Maximum seconds for resolving the names that browsers give instead of addresses."""
CLOSE_SECONDS = 1.0
"""Maximum seconds for sending what has been sent before the end."""
LEAVE_SECONDS = 2 * CLOSE_SECONDS
"""Maximum seconds for which a task waits for that."""
PREPARE_AFTER_SECONDS = 0.5
"""Seconds after which aiortc is imported; shorter runs are spared the work."""
LABEL = "pando"
NOT_CONNECTED = "the devices cannot reach each other by UDP"


class _Peer:
    """aiortc's end, inside the loop."""

    def __init__(
        self, wire: Wire, servers: Sequence[IceServer], *, relays_only: bool = False
    ) -> None:
        self._wire = wire
        self._relays_only = relays_only
        self._servers = servers
        self._connection: RTCPeerConnection | None = None
        self._ice: IceConnection | None = None
        self.gatherer: Gatherer | None = None
        self._outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reached = asyncio.Event()
        self._closed = asyncio.Event()
        self._ending: asyncio.Task[None] | None = None
        self._resolving: asyncio.Task[None] | None = None
        wire.hang_up = self.hang_up

    async def offer(self) -> Description:
        connection = self._start()
        await connection.setLocalDescription(await connection.createOffer())
        return Description.parse(connection.localDescription.sdp, is_offer=True)

    async def answer(self, offer: Description) -> Description:
        connection = self._start()
        await self._take(offer, "offer")
        await connection.setLocalDescription(await connection.createAnswer())
        return Description.parse(connection.localDescription.sdp, is_offer=False)

    async def accept(self, answer: Description) -> None:
        await self._take(answer, "answer")

    async def _take(self, description: Description, kind: str) -> None:
        """Take the other end's description; its names are looked up later, where that is needed."""
        from aiortc import RTCSessionDescription

        assert self._connection is not None
        names = [each for each in description.candidates if each.is_mdns]
        known = tuple(each for each in description.candidates if not each.is_mdns)
        sdp = description.with_candidates(known).sdp(is_complete=not names)
        await self._connection.setRemoteDescription(RTCSessionDescription(sdp, kind))
        if names:
            self._resolving = asyncio.create_task(self._add_named(names, are_all=not known))

    async def _add_named(self, names: Sequence[Candidate], *, are_all: bool) -> None:
        """Add the addresses of names, unless the ends have reached each other before.

        Args:
            names: candidates.
            are_all: whether the other end has named nothing else.
        """
        from aiortc.sdp import candidate_from_sdp

        assert self._connection is not None
        assert self._connection.sctp is not None
        transport = self._connection.sctp.transport.transport
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._reached.wait(), MDNS_PAUSE_SECONDS)
            return
        found = await resolve(names)
        for each in found:
            await transport.addRemoteCandidate(candidate_from_sdp(each.sdp().partition(":")[2]))
        if found or not are_all:
            await transport.addRemoteCandidate(None)

    async def reached(self) -> None:
        """Wait until the ends have reached each other, or never will."""
        await self._reached.wait()

    async def opened(self) -> str:
        """Wait until the data channel is open; return the other end's address.

        Raises:
            ChannelClosedError: it will never be.
        """
        reason = await asyncio.shield(self._outcome)
        if reason:
            raise ChannelClosedError(reason)
        assert self._ice is not None
        pair = self._ice._nominated.get(1)
        return pair.remote_addr[0] if pair else ""

    def hang_up(self) -> asyncio.Task[None]:
        """Begin to end the connection."""
        if self._ending is None:
            self._ending = asyncio.ensure_future(self._close())
        return self._ending

    async def close(self) -> None:
        """End the data channel after what has been sent, and the connection with it."""
        await asyncio.shield(self.hang_up())

    async def _close(self) -> None:
        if self._connection is None:
            return
        if self._resolving is not None:
            self._resolving.cancel()
        if self._channel.readyState == "open":
            self._channel.close()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._closed.wait(), CLOSE_SECONDS)
        await self._connection.close()

    def _start(self) -> RTCPeerConnection:
        import aiortc

        # aiortc is told of no servers, or it would ask one of a third party: see `Gatherer`.
        connection = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        self._connection = connection
        connection.on("connectionstatechange", self._note_state)
        connection.on("iceconnectionstatechange", self._note_reached)
        self._channel = connection.createDataChannel(LABEL, negotiated=True, id=0)
        self._wire.attach(self._channel)
        self._channel.on("open", lambda: self._settle(""))
        self._channel.on("close", self._closed.set)
        assert connection.sctp is not None
        self._ice = connection.sctp.transport.transport.iceGatherer._connection
        self.gatherer = Gatherer(self._ice, self._servers, relays_only=self._relays_only)
        self.gatherer.install()
        return connection

    def _note_state(self) -> None:
        assert self._connection is not None
        state = self._connection.connectionState
        logger.debug("a WebRTC connection is %s", state)
        if state in ("failed", "closed"):
            self._settle(NOT_CONNECTED)
            self._wire.finish("the WebRTC connection is lost")

    def _note_reached(self) -> None:
        assert self._connection is not None
        if self._connection.iceConnectionState in ("connected", "completed"):
            self._reached.set()

    def _settle(self, reason: str) -> None:
        self._reached.set()
        if not self._outcome.done():
            self._outcome.set_result(reason)


class Connection:
    """One end of a connection, as Trio's tasks use it: one offer, one answer, one data channel."""

    def __init__(
        self, event_loop: EventLoop, servers: Sequence[IceServer], kinds: Set[str] = KINDS
    ) -> None:
        self._event_loop = event_loop
        self._servers = servers
        self._kinds = kinds
        self._channel = DataChannel(event_loop)
        self._peer: _Peer | None = None
        self._offer: Description | None = None

    async def make_offer(self) -> str:
        """Return this end's description, which the other end answers."""
        made = await self._event_loop.call(self._make_offer())
        self._offer = _only(made, self._kinds)
        return self._offer.sdp()

    async def _make_offer(self) -> Description:
        relays_only = self._kinds == {RELAY}
        self._peer = _Peer(self._channel.wire, self._servers, relays_only=relays_only)
        return await self._peer.offer()

    @property
    def offered(self) -> tuple[Candidate, ...]:
        """Where this end may be reached, as its offer says."""
        return self._offer.candidates if self._offer is not None else ()

    @property
    def problems(self) -> dict[str, str]:
        """Why servers gave this end no address, by their URLs."""
        gatherer = self._peer.gatherer if self._peer is not None else None
        return dict(gatherer.problems) if gatherer is not None else {}

    async def make_answer(self, offer: str) -> str:
        """Return this end's answer to the other one's offer.

        Raises:
            MalformedMessageError: the offer is none.
        """
        self._offer = Description.parse(offer, is_offer=True)
        answer = await self._event_loop.call(self._make_answer(self._offer))
        self._bind(answer)
        return answer.sdp()

    async def _make_answer(self, offer: Description) -> Description:
        self._peer = _Peer(self._channel.wire, self._servers)
        return await self._peer.answer(offer)

    async def accept_answer(self, answer: str, kinds: Set[str] = KINDS) -> tuple[Candidate, ...]:
        """Take the other end's answer; return where it may be reached.

        Args:
            answer: it.
            kinds: those of its addresses that are used; where it has none of these, nothing is
                tried.

        Raises:
            MalformedMessageError: it is none.
        """
        read = _only(Description.parse(answer, is_offer=False), kinds)
        assert self._peer is not None, "an offer comes first"
        self._bind(read)
        if read.candidates or kinds == KINDS:
            await self._event_loop.call(self._peer.accept(read))
        return read.candidates

    async def reach(self) -> None:
        """Wait until the ends have reached each other, which is soon, or else impossible.

        Encryption and the data channel follow, which take a busy device longer.
        """
        assert self._peer is not None, "a description comes first"
        await self._event_loop.call(self._peer.reached())

    async def open(self) -> DataChannel:
        """Return the channel, once it carries data.

        Raises:
            ChannelClosedError: the ends cannot reach each other.
        """
        assert self._peer is not None, "a description comes first"
        self._channel.host = await self._event_loop.call(self._peer.opened())
        return self._channel

    async def aclose(self) -> None:
        """End the connection, after what has been sent on its channel; cancelled, too."""
        with trio.move_on_after(LEAVE_SECONDS, shield=True):
            await self._channel.aclose()
            if self._peer is not None:
                await self._event_loop.call(self._peer.close())

    def _bind(self, answer: Description) -> None:
        # DTLS proves to each end that the other one has the certificate in its description.
        assert self._offer is not None
        self._channel.binding = b"webrtc" + self._offer.fingerprint + answer.fingerprint


async def prepare() -> None:
    """Import aiortc before the first connection needs it, which takes a fifth of a second."""
    await trio.sleep(PREPARE_AFTER_SECONDS)
    with suppress(ImportError):  # reported when it is needed
        await trio.to_thread.run_sync(import_module, "aiortc", abandon_on_cancel=True)


@asynccontextmanager
async def open_connection(
    servers: Sequence[IceServer] = (), kinds: Set[str] = KINDS
) -> AsyncIterator[Connection]:
    """Make one end of a connection, which is closed with the block.

    Args:
        servers: STUN and TURN servers.
        kinds: those of this end's addresses that an offer names.
    """
    async with use_event_loop() as event_loop:
        connection = Connection(event_loop, servers, kinds)
        try:
            yield connection
        finally:
            await connection.aclose()


@dataclass(frozen=True)
class Offered:
    """A connection whose offer nobody has answered, and the offer."""

    connection: Connection
    offer: str


@asynccontextmanager
async def open_offered(servers: Sequence[IceServer] = ()) -> AsyncIterator[Offered]:
    """Make a connection and an offer; it is closed with the block."""
    async with open_connection(servers) as connection:
        yield Offered(connection, await connection.make_offer())


def _only(description: Description, kinds: Set[str]) -> Description:
    """Return a description with addresses of these kinds alone."""
    chosen = (each for each in description.candidates if each.kind in kinds)
    return description.with_candidates(tuple(chosen))


async def resolve(names: Sequence[Candidate]) -> list[Candidate]:
    """Replace the mDNS names of candidates by addresses; what nobody knows in time is left out.

    Whoever is in the local network may answer: this machine is no address of another one.
    """
    from aioice import mdns

    try:
        protocol = await mdns.create_mdns_protocol()
    except OSError as error:  # the other end's own checks may still come through
        logger.debug("names of mDNS are not looked up: %s", one_line(str(error)))
        return []
    try:
        hosts = await asyncio.gather(
            *(protocol.resolve(candidate.host, timeout=MDNS_SECONDS) for candidate in names)
        )
    finally:
        await protocol.close()
    pairs = zip(names, hosts, strict=True)
    return [replace(each, host=host) for each, host in pairs if host and is_target(host)]
