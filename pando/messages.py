"""What nodes and workers say to each other: one MessagePack array with a tag for each message.

The same messages travel between a node and its worker processes and between a parent and its
children, since both are borrowers. `items` and `values` hold one MessagePack array of encoded
values (see `pando.values`); a node that only passes them on does not decode them.
"""

from __future__ import annotations

import msgspec

from .errors import PandoError

MAX_TEXT = 64 * 1024
"""Characters of a failure's reason and of its traceback that travel; more is cut."""


class MalformedMessageError(PandoError):
    """Bytes that are not a message."""


class Failure(msgspec.Struct, array_like=True, frozen=True):
    """Why an item has no result: the function's exception, as text."""

    type: str
    reason: str
    traceback: str = ""
    device: str = ""


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
    seconds: float
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
    reason: str


class Want(msgspec.Struct, array_like=True, tag="want"):
    """From a child: how many workers compute below this channel, its own among them."""

    workers: int


class Ready(msgspec.Struct, array_like=True, tag="ready"):
    """From a borrower: the function is loaded; items may come."""


class Refused(msgspec.Struct, array_like=True, tag="refused"):
    """From a borrower: the function cannot be loaded here, and why."""

    reason: str
    traceback: str = ""


class Load(msgspec.Struct, array_like=True, tag="load"):
    """To a worker, first of all: the packed function to run (see `pando.functions`)."""

    function: bytes


ToBorrower = Load | Lend | Recall
FromBorrower = Ready | Refused | Results | Returned | Struck | Want
Message = ToBorrower | FromBorrower

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


def cut(text: str) -> str:
    """The text, shortened in its middle to what may travel."""
    if len(text) <= MAX_TEXT:
        return text
    half = MAX_TEXT // 2 - 8
    return f"{text[:half]}\n […] \n{text[-half:]}"
