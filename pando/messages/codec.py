"""All messages, and their encoding: one MessagePack array with a tag for each."""

from __future__ import annotations

import msgspec

from ..errors import ProtocolError, one_line
from ..reports.records import Update
from .borrowers import Capacity, FunctionReport, Load, LoadFailed, Ready
from .joining import (
    AskPortable,
    FunctionPart,
    Hello,
    Joined,
    JoinRejected,
    Portable,
    Redirect,
    RunInfo,
    Unreachable,
    Welcome,
)
from .lending import ItemCrashed, Lend, Recall, Results, ReturnItems
from .links import Bundle, Grant, Heartbeat, Large, Part
from .tree import Disconnect, Join, Leave, Offer, RunEnded, Signal

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


class MalformedMessageError(ProtocolError):
    """Bytes that are not a message."""


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
