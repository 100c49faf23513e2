"""A trial of WebRTC with one kind of address: whether the root can be reached so, and why not."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from .. import messages
from ..channel import ChannelClosedError
from ..errors import one_line
from ..net.addresses import join_address
from ..net.keepalive import KeepaliveChannel
from ..net.webrtc.connection import Connection, open_connection
from ..net.webrtc.description import HOST, KINDS, MAPPED, RELAY, Candidate
from ..net.webrtc.ice_servers import IceServer, with_stun

ANSWER_SECONDS = 10.0
"""Maximum seconds for the root's answer to an offer."""
CONNECT_SECONDS = 6.0
"""Maximum seconds for connecting after it."""
MAX_SHOWN = 3
"""Addresses of each end that are named."""
ONLY_RELAY = frozenset({RELAY})


@dataclass(frozen=True)
class TrialKind:
    """Which addresses of both ends a trial uses.

    Attributes:
        kind: that of the way: one of `description.KINDS`.
        name: what it is called.
    """

    kind: str
    name: str


@dataclass(frozen=True)
class TrialOutcome:
    """What a trial has come to.

    Attributes:
        works: whether the data channel carried data; None where there was nothing to try.
        why: the reason, or how it went, in words.
        is_last: whether further trials are in vain, since the root answers none.
    """

    works: bool | None
    why: str
    is_last: bool = False


TRIALS = (
    TrialKind(HOST, "own addresses"),
    TrialKind(MAPPED, "public addresses (STUN)"),
    TrialKind(RELAY, "a TURN server"),
)


async def try_offer(
    root: KeepaliveChannel, servers: Sequence[IceServer], trial: TrialKind
) -> TrialOutcome:
    """Offer the root a connection that uses one kind of address.

    Args:
        root: an open link to it, which this node has not joined by.
        servers: the STUN and TURN servers that it has named.
        trial: which addresses.
    """
    stun = [server for server in with_stun(servers) if not server.is_turn]
    turn = [server for server in servers if server.is_turn]
    if trial.kind == MAPPED and not stun:
        return TrialOutcome(None, "the run names no STUN server (--ice-servers)")
    relayed = (ONLY_RELAY, KINDS) if turn else (KINDS, ONLY_RELAY)  # the root alone may have one
    ways: dict[str, tuple[Sequence[IceServer], tuple[frozenset[str], frozenset[str]]]] = {
        HOST: ((), (frozenset({HOST}), frozenset({HOST}))),
        MAPPED: (stun, (frozenset({MAPPED}), frozenset({HOST, MAPPED}))),
        RELAY: (turn or stun, relayed),
    }
    asked, (own, theirs) = ways[trial.kind]
    try:
        async with open_connection(asked, own) as connection:
            return await _try(root, connection, theirs, trial.kind)
    except (ChannelClosedError, messages.MalformedMessageError) as error:
        return TrialOutcome(False, one_line(str(error)), is_last=True)


async def _try(
    root: KeepaliveChannel, connection: Connection, kinds: frozenset[str], kind: str
) -> TrialOutcome:
    offer = await connection.make_offer()
    if not connection.offered:
        return TrialOutcome(False, _why_nothing_is_offered(connection, kind))
    with trio.move_on_after(ANSWER_SECONDS):
        await root.send(messages.Signal(offer))
        reply = await root.receive()
        if not isinstance(reply, messages.Signal) or not reply.description:
            return TrialOutcome(False, "the root does not answer the offer", is_last=True)
        found = await connection.accept_answer(reply.description, kinds)
        if not found:
            return TrialOutcome(*_why_nothing_is_answered(connection, kind))
        with trio.move_on_after(CONNECT_SECONDS):
            try:
                channel = await connection.open()
                await channel.receive()  # the root speaks first
            except ChannelClosedError:
                return TrialOutcome(False, _why_not(connection.offered, found, kind))
            where = f"connected to {channel.host}"
            problems = "".join(f"; but {each}" for each in _describe(connection))
            return TrialOutcome(True, where + problems)
        return TrialOutcome(False, _why_not(connection.offered, found, kind))
    return TrialOutcome(False, "the root does not answer the offer", is_last=True)


def _describe(connection: Connection) -> list[str]:
    return [f"{one_line(url)}: {why}" for url, why in connection.problems.items()]


def _why_nothing_is_offered(connection: Connection, kind: str) -> str:
    if kind == HOST:
        return "this device has no network address besides its own loopback"
    problems = _describe(connection)
    if problems:
        return "; ".join(problems) + (" (UDP may be blocked here)" if kind == MAPPED else "")
    return "no server gives this device another address than its own"


def _why_nothing_is_answered(connection: Connection, kind: str) -> tuple[bool | None, str]:
    if kind == RELAY and all(candidate.kind != RELAY for candidate in connection.offered):
        return None, "neither this device nor the root has a TURN server"
    return False, "the root offers no address of this kind"


def _why_not(own: Sequence[Candidate], theirs: Sequence[Candidate], kind: str) -> str:
    between = f"no packet came through between {_show(own)} here and {_show(theirs)} there"
    if kind == HOST:
        if not {_family(each) for each in own} & {_family(each) for each in theirs}:
            return f"{between}: one has IPv4 only, the other one IPv6 only"
        return f"{between}: these are different networks, or a firewall drops UDP"
    if kind == MAPPED:
        return (
            f"{between}: a router gives each connection another port, as phone networks do, or a "
            "firewall drops UDP; a TURN server helps"
        )
    return f"{between}: the TURN server may not reach the other end, or a firewall drops UDP"


def _family(candidate: Candidate) -> int:
    try:
        return ipaddress.ip_address(candidate.host).version
    except ValueError:
        return 4  # an mDNS name


def _show(candidates: Sequence[Candidate]) -> str:
    shown = [join_address(each.host, each.port) for each in candidates[:MAX_SHOWN]]
    more = len(candidates) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
