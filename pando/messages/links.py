"""What each link says for itself: signs of life, and large messages in parts."""

from __future__ import annotations

from typing import Annotated

import msgspec

from .fields import MAX_BUNDLED, Count, Data


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
