"""What nodes and workers say to each other: one MessagePack array with a tag for each message.

The same messages travel between a node and its worker processes and between a parent and its
children, since both are borrowers. `items` and `values` hold one MessagePack array of encoded
values (see `pando.values`); a node that only passes them on does not decode them.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from .errors import MAX_ARGUMENTS_BYTES, MAX_TEXT, PandoError
from .figures import MAX_UNITS

VERSION = 1
"""The protocol's version, in the first message each way."""
ID_BYTES = 8
"""Length of a node's identifier."""
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""The largest message that is taken; whoever sends a larger one is cut off."""
MAX_BUNDLED = 1024
"""Messages in a bundle; senders put fewer in. They are handled with nothing else in between."""
MAX_NAME = 64
"""Characters of a device's name."""
MAX_FINGERPRINT = 200
"""Characters of what tells which functions a node could unpickle."""
MAX_FUNCTION_BYTES = 256 * 1024 * 1024
"""The largest function that is sent to a newcomer."""
PART_BYTES = 8 * 1024 * 1024
"""What of a function goes into one message."""
MAX_ADDRESSES = 16
"""Addresses at which a node may be found."""

Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
NodeId = Annotated[bytes, msgspec.Meta(min_length=ID_BYTES, max_length=ID_BYTES)]
Address = Annotated[str, msgspec.Meta(max_length=300)]
Addresses = Annotated[list[Address], msgspec.Meta(max_length=MAX_ADDRESSES)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e18)]
"""A time, and so neither infinite nor NaN."""


class MalformedMessageError(PandoError):
    """Bytes that are not a message."""


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
    """To a borrower: compute these items, in their order, under this lease."""

    lease: int
    items: msgspec.Raw


class Recall(msgspec.Struct, array_like=True, tag="recall"):
    """To a borrower: give back what of this lease has not been started."""

    lease: int


class Results(msgspec.Struct, array_like=True, tag="results"):
    """From a borrower: results of consecutive items of a lease.

    `offset` is the first one's place in the lease. `seconds` is the time spent computing them.
    Where an item failed, its value is nil and its place among the values is a key of `failures`.
    """

    lease: int
    offset: int
    seconds: Seconds
    values: msgspec.Raw
    failures: dict[int, Failure] = {}


class Returned(msgspec.Struct, array_like=True, tag="returned"):
    """From a borrower: these items of a lease come back undone."""

    lease: int
    offset: int
    count: int


class Struck(msgspec.Struct, array_like=True, tag="struck"):
    """From a borrower: what ran this item of a lease was lost while it ran."""

    lease: int
    offset: int
    reason: Text


class Reported(msgspec.Struct, array_like=True, tag="reported", frozen=True):
    """From a worker: what the function has reported of its work. Times are in seconds."""

    items: Seconds
    units: Annotated[str, msgspec.Meta(max_length=MAX_UNITS)]
    cpu_seconds: Seconds
    transfer_seconds: Seconds


class Want(msgspec.Struct, array_like=True, tag="want"):
    """From a child: how many workers compute below this channel, its own among them."""

    workers: int


class Ready(msgspec.Struct, array_like=True, tag="ready"):
    """From a borrower: the function is loaded; items may come.

    Newcomers of a node's own may connect to `port` at the address it is seen at, or at one of
    `addresses`; to none where the port is 0.
    """

    port: int = 0
    addresses: Addresses = []


class Refused(msgspec.Struct, array_like=True, tag="refused"):
    """From a borrower: the function cannot be loaded here, and why."""

    reason: Text
    traceback: Text = ""


class Load(msgspec.Struct, array_like=True, tag="load"):
    """To a worker, first of all: the packed function to run (see `pando.functions`).

    It comes with what a program finds in its process: the import path, the command line, and the
    current folder.
    """

    function: bytes
    path: list[bytes] = []
    arguments: list[bytes] = []
    folder: bytes = b""


class Hello(msgspec.Struct, array_like=True, tag="hello"):
    """A node's first message to one that it has connected to.

    With a `token` it asks the root to take part, with a `ticket` it takes a place that was kept
    for it. `node` and `run` say who it has been before, if it has been somebody. Newcomers of its
    own may connect to `port` at the address it is seen at, or at one of `addresses`. The
    fingerprint tells which functions its workers could unpickle; it is empty where that is none.
    """

    version: int
    name: str = ""
    workers: int = 1
    node: bytes = b""
    run: str = ""
    token: str = ""
    ticket: str = ""
    port: int = 0
    addresses: Addresses = []
    fingerprint: Annotated[str, msgspec.Meta(max_length=MAX_FINGERPRINT)] = ""


class Denied(msgspec.Struct, array_like=True, tag="denied"):
    """To a newcomer: no, and why, in words for people."""

    reason: str
    version: int = 0


class Assigned(msgspec.Struct, array_like=True, tag="assigned"):
    """From the root to a newcomer: who you are, and what this run computes and how.

    The function is empty where the newcomer has it already, and where it follows in `parts`
    messages. In its exact form it is good only where the modules in `versions` are of these
    versions; else the newcomer asks for the portable one.
    """

    version: int
    node: NodeId
    run: str
    name: str
    function: bytes
    requirements: list[str] = []
    timeout: float | None = None
    batch_limit: int | None = None
    degree: int = 10
    bootstrap_timeout: float = 60.0
    silence: float = 10.0
    reporting_interval: float = 3.0
    delegates: bool = True
    versions: dict[str, str] = {}
    parts: Count = 0


class AskPortable(msgspec.Struct, array_like=True, tag="ask portable"):
    """From a newcomer to the root: it cannot load the exact form of the function, and why."""

    reason: Text = ""


class Portable(msgspec.Struct, array_like=True, tag="portable"):
    """From the root to a newcomer: the portable form of the function follows in these parts."""

    parts: Count


class FunctionPart(msgspec.Struct, array_like=True, tag="function part"):
    """From the root to a newcomer: the next stretch of the function."""

    data: bytes


class Welcome(msgspec.Struct, array_like=True, tag="welcome"):
    """To a newcomer: this channel's other end is your parent."""

    parent: NodeId


class Delegated(msgspec.Struct, array_like=True, tag="delegated"):
    """To a newcomer: your parent is at one of these addresses, and keeps a place for a ticket."""

    addresses: Addresses
    ticket: str


class Joined(msgspec.Struct, array_like=True, tag="joined"):
    """From a newcomer to the root: it has a parent."""


class Unreachable(msgspec.Struct, array_like=True, tag="unreachable"):
    """From a newcomer to the root: it cannot connect to the parent it was given."""

    reason: Text


class Join(msgspec.Struct, array_like=True, tag="join"):
    """To a child: find a place for this newcomer, at yourself or below."""

    origin: NodeId


class Offer(msgspec.Struct, array_like=True, tag="offer"):
    """From a child: `parent` keeps a place for this newcomer. No addresses: there is none."""

    origin: NodeId
    parent: NodeId
    addresses: Addresses
    ticket: str = ""


class Leaving(msgspec.Struct, array_like=True, tag="leaving"):
    """From a child: it leaves in order; it has given back what it will not finish."""


class Ended(msgspec.Struct, array_like=True, tag="ended"):
    """To a child: the run is over; tell your children."""


class Heartbeat(msgspec.Struct, array_like=True, tag="heartbeat"):
    """Either way: still here."""


class Bundle(msgspec.Struct, array_like=True, tag="bundle"):
    """Either way: several messages, each encoded, none a bundle."""

    messages: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=MAX_BUNDLED)]


class NodeStatus(msgspec.Struct, array_like=True, frozen=True):
    """A node's figures, since it joined. Times are in seconds.

    `reported` is what the function has reported there, if it has.
    """

    node: NodeId
    parent: Annotated[bytes, msgspec.Meta(max_length=ID_BYTES)]
    name: Annotated[str, msgspec.Meta(max_length=MAX_NAME)]
    workers: Count
    children: Count
    results: Count
    seconds: Seconds
    reported: Reported | None = None


class Status(msgspec.Struct, array_like=True, tag="status"):
    """From a child: its own figures and those of all below it."""

    nodes: list[NodeStatus]


ToBorrower = Load | Lend | Recall
FromBorrower = Ready | Refused | Results | Returned | Struck | Reported | Want
Joining = (
    Hello
    | Denied
    | Assigned
    | AskPortable
    | Portable
    | FunctionPart
    | Welcome
    | Delegated
    | Joined
    | Unreachable
)
Membership = Join | Offer | Leaving | Ended | Heartbeat | Bundle | Status
Message = ToBorrower | FromBorrower | Joining | Membership

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    """One message as bytes."""
    return _encoder.encode(message)


def decode(data: bytes | bytearray | memoryview) -> Message:
    """The message that `encode` was given.

    Raises:
        MalformedMessageError: the bytes are not one message.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise MalformedMessageError(f"not a message: {error}") from None
