"""What nodes and workers say to each other: one MessagePack array with a tag for each message.

The same messages travel between a node and its worker processes and between a parent and its
children, since both are borrowers. `items` and `values` hold one MessagePack array of encoded
values (see `pando.values`); a node that only passes them on does not decode them.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from .errors import MAX_ARGUMENTS_BYTES, MAX_TEXT, ProtocolError, one_line
from .figures import MAX_UNITS
from .limits import LEAST_SECONDS, MAX_BATCH_LIMIT, MAX_DEGREE, MAX_REQUIREMENTS, MOST_SECONDS
from .reports import records

VERSION = 2
"""The protocol's version, in the first message each way."""
ID_BYTES = records.ID_BYTES
MAX_NAME = records.MAX_NAME
Update = records.Update
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""The largest message that is taken; whoever sends a larger one is cut off."""
MAX_BUNDLED = 1024
"""Messages in a bundle; senders put fewer in. They are handled with nothing else in between."""
MAX_FINGERPRINT = 200
"""Characters of what tells which functions a node could unpickle."""
MAX_FUNCTION_BYTES = 256 * 1024 * 1024
"""The largest function that is sent to a joining node."""
PART_BYTES = 64 * 1024
"""What of a function goes into one message; so much of it is copied for each joining node."""
MAX_ADDRESSES = 16
"""Addresses at which a node may be found."""
MAX_DESCRIPTION = 8192
"""Characters of a session description of WebRTC."""

MAX_COUNT = 2**53
"""The largest whole number in a message, which is exact in JavaScript, too."""
MAX_WORD = 1000
"""Characters of a name, a ticket or a requirement."""
MAX_LOADED = 1 << 24
"""Bytes of a path or an argument of this machine's own workers, and how many there are of them."""

Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
NodeId = Annotated[bytes, msgspec.Meta(min_length=ID_BYTES, max_length=ID_BYTES)]
Address = Annotated[str, msgspec.Meta(max_length=300)]
Addresses = Annotated[list[Address], msgspec.Meta(max_length=MAX_ADDRESSES)]
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Word = Annotated[str, msgspec.Meta(max_length=MAX_WORD)]
Description = Annotated[str, msgspec.Meta(max_length=MAX_DESCRIPTION)]
Protocol = Annotated[str, msgspec.Meta(max_length=16)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e18)]
"""A time, and so neither infinite nor NaN."""
Setting = Annotated[float, msgspec.Meta(ge=LEAST_SECONDS, le=MOST_SECONDS)]
"""A time that the run's program has chosen, in seconds."""
Data = Annotated[bytes, msgspec.Meta(max_length=MAX_MESSAGE_BYTES)]
LoadedBytes = Annotated[bytes, msgspec.Meta(max_length=MAX_LOADED)]
LoadedList = Annotated[list[LoadedBytes], msgspec.Meta(max_length=MAX_LOADED)]


class MalformedMessageError(ProtocolError):
    """Bytes that are not a message."""


# ---- items lent, and what comes back ----


class Failure(msgspec.Struct, array_like=True, frozen=True):
    """Why an item has no result: the function's exception, as text.

    `arguments` are those of a built-in exception, encoded as one list; empty where it is another
    one, or where they are not values.
    """

    type: Text
    reason: Text
    traceback: Text = ""
    device: Text = ""
    arguments: Annotated[bytes, msgspec.Meta(max_length=MAX_ARGUMENTS_BYTES)] = b""


class Lend(msgspec.Struct, array_like=True, tag="lend"):
    """To a borrower: compute these items, in their order, under this lease.

    Where it is a copy, another borrower has been lent the items, too: it is not copied again.
    """

    lease: Count
    items: msgspec.Raw
    is_copy: bool = False


class Recall(msgspec.Struct, array_like=True, tag="recall"):
    """To a borrower: give back what of this lease has not been started.

    Where it is superseded, its results are not wanted any more: a worker that runs one of its
    items is ended as soon as it is needed.
    """

    lease: Count
    is_superseded: bool = False


class Results(msgspec.Struct, array_like=True, tag="results"):
    """From a borrower: results of consecutive items of a lease.

    `offset` is the first one's place in the lease. `seconds` is the time spent computing them.
    Where an item failed, its value is nil and its place among the values is a key of `failures`.
    """

    lease: Count
    offset: Count
    seconds: Seconds
    values: msgspec.Raw
    failures: Annotated[dict[Count, Failure], msgspec.Meta(max_length=MAX_BATCH_LIMIT)] = {}


class ReturnItems(msgspec.Struct, array_like=True, tag="returned"):
    """From a borrower: these items of a lease come back undone."""

    lease: Count
    offset: Count
    count: Count


class ItemCrashed(msgspec.Struct, array_like=True, tag="struck"):
    """From a borrower: what ran this item of a lease was lost while it ran."""

    lease: Count
    offset: Count
    reason: Text


# ---- what borrowers say of themselves, and how a worker begins ----


class FunctionReport(msgspec.Struct, array_like=True, tag="reported", frozen=True):
    """From a worker: what the function has reported of its work. Times are in seconds."""

    items: Seconds
    units: Annotated[str, msgspec.Meta(max_length=MAX_UNITS)]
    cpu_seconds: Seconds
    transfer_seconds: Seconds


class Capacity(msgspec.Struct, array_like=True, tag="want"):
    """From a child: how many workers compute below this channel, its own among them.

    Where there are none, as on a device that its person has paused, it is lent nothing.
    `max_value` is the largest item that it takes, in bytes; where it is 0, what fits into a message
    that is not cut into parts. `answers_offers` is as in `Hello`, where it has changed since.
    """

    workers: Count
    max_value: Count = 0
    answers_offers: bool | None = None


class Ready(msgspec.Struct, array_like=True, tag="ready"):
    """From a borrower: the function is loaded; items may come.

    Nodes that join below it may connect to `port` at the address it is seen at, or at one of
    `addresses`; to none where the port is 0. To the root: `offer` is what a parent below it may
    answer, to be connected to by WebRTC; empty where a WebSocket will do.
    """

    port: Port = 0
    addresses: Addresses = []
    offer: Description = ""


class LoadFailed(msgspec.Struct, array_like=True, tag="refused"):
    """From a borrower: the function cannot be loaded here, and why."""

    reason: Text
    traceback: Text = ""


class Load(msgspec.Struct, array_like=True, tag="load"):
    """To a worker process, first of all: load the function, which is in the file it shares.

    It comes with what a program finds in its process: the import path, the command line, and the
    current folder. `places` are the folders of modules whose names are not unique on the path.
    """

    path: LoadedList
    arguments: LoadedList = []
    folder: LoadedBytes = b""
    places: Annotated[dict[Text, LoadedBytes], msgspec.Meta(max_length=MAX_LOADED)] = {}


# ---- a device joins a run ----


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


# ---- the tree ----


class Join(msgspec.Struct, array_like=True, tag="join"):
    """To a child: find a place for this joining node, here or below, and answer its offer."""

    origin: NodeId
    offer: Description = ""


class Offer(msgspec.Struct, array_like=True, tag="offer"):
    """From a child: `parent` keeps a place for this joining node. No ticket: there is none.

    The root knows itself where `parent` is: it is not for those who pass this on to say.
    """

    origin: NodeId
    parent: NodeId
    ticket: Word = ""
    answer: Description = ""


class Disconnect(msgspec.Struct, array_like=True, tag="disconnect"):
    """To a child: end the connection of this node, if it is a child of yours; tell your children.

    The node is told why by the root alone, when it asks for another place.
    """

    node: NodeId


class Signal(msgspec.Struct, array_like=True, tag="signal"):
    """Between a child and the root, its parent: an offer to connect by WebRTC, and the answer.

    A node that has not joined may try an offer, too.

    The answer is empty where there is none. The second link is a join of the same node, with a
    handshake of its own; this one is left when that one is let in.

    Attributes:
        description: the offer, or the answer.
        again: seconds after which to ask again, where there is no answer since too many ask.
    """

    description: Description = ""
    again: Seconds = 0.0


class Leave(msgspec.Struct, array_like=True, tag="leaving"):
    """From a child: it leaves in order; it has given back what it will not finish.

    To a child: its parent takes no children any more. It finds another place, and leaves then.
    """


class RunEnded(msgspec.Struct, array_like=True, tag="ended"):
    """To a child: the run is over; tell your children.

    Attributes:
        results: how many results the run has had, of all devices; 0 where that is not known.
    """

    results: Count = 0


# ---- each link ----


class Heartbeat(msgspec.Struct, array_like=True, tag="heartbeat"):
    """Either way: still here.

    A `ping` that is not 0 is to be answered by another one, whose `pong` is the same number.
    """

    ping: Count = 0
    pong: Count = 0


class Large(msgspec.Struct, array_like=True, tag="large"):
    """Either way: a message of so many bytes follows in parts, if they are granted."""

    size: Count


class Grant(msgspec.Struct, array_like=True, tag="grant"):
    """Either way: there is room for the large message; its parts may come."""


class Part(msgspec.Struct, array_like=True, tag="part"):
    """Either way: the next bytes of a large message."""

    data: Data


class Bundle(msgspec.Struct, array_like=True, tag="bundle"):
    """Either way: several messages, each encoded, none a bundle."""

    messages: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=MAX_BUNDLED)]


# ---- all messages ----

ToBorrower = Load | Lend | Recall
FromBorrower = Ready | LoadFailed | Results | ReturnItems | ItemCrashed | FunctionReport | Capacity
Joining = (
    Hello
    | JoinRejected
    | RunInfo
    | AskPortable
    | Portable
    | FunctionPart
    | Welcome
    | Redirect
    | Joined
    | Unreachable
)
Membership = (
    Join
    | Offer
    | Disconnect
    | Signal
    | Leave
    | RunEnded
    | Heartbeat
    | Large
    | Grant
    | Part
    | Bundle
    | Update
)
Message = ToBorrower | FromBorrower | Joining | Membership

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    """One message as bytes."""
    return _encoder.encode(message)


def encode_after(head: int, message: Message) -> bytearray:
    """One message as bytes, after `head` bytes that are left to be filled in."""
    encoded = bytearray(head)
    _encoder.encode_into(message, encoded, head)
    return encoded


def decode(data: bytes | bytearray | memoryview) -> Message:
    """The message that `encode` was given.

    Raises:
        MalformedMessageError: the bytes are not one message.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise MalformedMessageError(f"not a message: {one_line(str(error))}") from None
