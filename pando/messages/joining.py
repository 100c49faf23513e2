"""How a device joins a run."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ..limits import MAX_BATCH_LIMIT, MAX_DEGREE, MAX_REQUIREMENTS, MOST_SECONDS
from .fields import (
    MAX_ADDRESSES,
    MAX_FINGERPRINT,
    MAX_FUNCTION_BYTES,
    Address,
    Addresses,
    Count,
    Data,
    Description,
    NodeId,
    Port,
    Protocol,
    Setting,
    Text,
    Word,
)


class Hello(msgspec.Struct, array_like=True, tag="hello"):
    """What a node says of itself in the handshake with the root or a parent.

    `run` is the run that it has been part of, if any. Without workers it does not join, and is told
    no function. It takes children at `port`; where that is 0, only those whose offers of WebRTC it
    answers, if it `answers_offers`. The fingerprint tells which functions its workers could
    unpickle; it is empty where that is none. Where it `reports`, it has joined already, and this
    connection is its report link to the root: nothing but its own updates comes on it.
    """

    name: Word = ""
    workers: Count = 1
    run: Word = ""
    port: Port = 0
    fingerprint: Annotated[str, msgspec.Meta(max_length=MAX_FINGERPRINT)] = ""
    reports: bool = False
    answers_offers: bool = False

    @property
    def is_page(self) -> bool:
        """Whether this is a browser's page: every native node has a fingerprint."""
        return not self.fingerprint


class JoinRejected(msgspec.Struct, array_like=True, tag="denied"):
    """To a joining node: no, and why, in words for people."""

    reason: Text
    version: Count = 0


class TurnServer(msgspec.Struct, array_like=True, frozen=True):
    """A TURN server, with a user and a password that are good for a limited time."""

    url: Address
    username: Word
    credential: Word


TurnServers = Annotated[list[TurnServer], msgspec.Meta(max_length=MAX_ADDRESSES)]


class RunInfo(msgspec.Struct, array_like=True, tag="assigned"):
    """From the root to a joining node: who you are, and what this run computes and how.

    The function is empty where the joining node has it already, and where it follows in `parts`
    messages. In its exact form it is good only where the modules in `versions` are of these
    versions; else the joining node asks for the portable one. `protocol` is how its nodes connect:
    ``auto`` or ``webrtc``; empty where by WebSocket alone. The ICE servers are URLs of STUN
    servers. With `global_monitoring` each node reports to the root over a link of its own, too.
    The TURN servers come last, since they differ from node to node.
    """

    version: Count
    node: NodeId
    run: Word
    name: Text
    function: Annotated[bytes, msgspec.Meta(max_length=MAX_FUNCTION_BYTES)]
    requirements: Annotated[list[Word], msgspec.Meta(max_length=MAX_REQUIREMENTS)] = []
    timeout: Annotated[float, msgspec.Meta(gt=0, le=MOST_SECONDS)] | None = None
    batch_limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_BATCH_LIMIT)] | None = None
    degree: Annotated[int, msgspec.Meta(ge=1, le=MAX_DEGREE)] = 10
    bootstrap_timeout: Setting = 60.0
    silence: Setting = 10.0
    reporting_interval: Setting = 3.0
    delegates: bool = True
    versions: Annotated[dict[Word, Word], msgspec.Meta(max_length=MAX_REQUIREMENTS)] = {}
    parts: Count = 0
    speculate: bool = True
    protocol: Protocol = ""
    ice_servers: Addresses = []
    global_monitoring: bool = False
    turn_servers: TurnServers = []


class AskPortable(msgspec.Struct, array_like=True, tag="ask portable"):
    """From a joining node to the root: it cannot load the exact form of the function, and why."""

    reason: Text = ""


class Portable(msgspec.Struct, array_like=True, tag="portable"):
    """From the root to a joining node: the portable form of the function follows in these parts."""

    parts: Count


class FunctionPart(msgspec.Struct, array_like=True, tag="function part"):
    """From the root to a joining node: the next stretch of the function."""

    data: Data


class Welcome(msgspec.Struct, array_like=True, tag="welcome"):
    """To a joining node: this channel's other end is your parent.

    On a report link it says that updates may come.
    """

    parent: NodeId


class Redirect(msgspec.Struct, array_like=True, tag="delegated"):
    """To a joining node: this node is your parent, and keeps a place for a ticket.

    It is at one of the addresses; wherever it is, it proves that the root has certified it. The
    answer is to the joining node's offer; empty where it has not answered. With neither addresses
    nor an answer it asks for an offer, which comes with `Unreachable`.
    """

    parent: NodeId
    addresses: Addresses
    ticket: Word
    answer: Description = ""


class Joined(msgspec.Struct, array_like=True, tag="joined"):
    """From a joining node to the root: it has a parent."""


class Unreachable(msgspec.Struct, array_like=True, tag="unreachable"):
    """From a joining node to the root: it cannot connect to the parent it was given.

    It makes another offer, where it makes any: each is answered once.
    """

    reason: Text
    offer: Description = ""
