"""What a joining node is told of a run and its function, encoded once for all of them."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec

from .. import messages

NOBODY = bytes(messages.ID_BYTES)
"""Where a joining node's identifier will be."""
NO_SERVERS = msgspec.msgpack.encode([])
"""Where the TURN servers that it may use will be."""


@dataclass(frozen=True)
class FunctionOffer:
    """A form of the function, and the versions of modules that it is good for, if not for all."""

    function: bytes
    versions: dict[str, str] = field(default_factory=dict)


FunctionFor = Callable[[str], Awaitable[FunctionOffer]]
"""Takes a joining node's fingerprint, or an empty one for a form that all can have."""


TurnServersFor = Callable[[bytes], list[messages.TurnServer]]
"""Takes a joining node's identifier; what it may use is good for a limited time."""


def no_turn_servers(node: bytes) -> list[messages.TurnServer]:
    """Return what a node is told where there are no TURN servers for it."""
    return []


class EncodedRun:
    """What joining nodes are told of a run, with one form of the function, ready to be sent.

    A function may be large and the nodes many, so nothing is encoded for each of them: only who
    it is differs, and the TURN servers that it may use.
    """

    def __init__(self, assignment: messages.RunInfo, offer: FunctionOffer) -> None:
        whole = len(offer.function) <= messages.PART_BYTES
        parts = [] if whole else divide(offer.function)
        assigned = msgspec.structs.replace(
            assignment,
            node=NOBODY,
            function=offer.function if whole else b"",
            versions=offer.versions,
            parts=len(parts),
            turn_servers=[],
        )
        # The node comes first in the message, after the tag and the version, and the TURN servers
        # last: an empty list of them is one byte.
        self._head, _, tail = messages.encode(assigned).partition(NOBODY)
        self._tail = tail[: -len(NO_SERVERS)]
        self._parts = [messages.encode(part) for part in parts]
        self._function = offer.function

    def assigned(self, node: bytes, turn_servers: list[messages.TurnServer]) -> list[bytes]:
        """The messages for the node with this identifier."""
        told = msgspec.msgpack.encode(turn_servers)
        return [b"".join((self._head, node, self._tail, told)), *self._parts]

    @functools.cached_property
    def portable(self) -> list[bytes]:
        """The messages for nodes that have asked for the portable form, which this is."""
        parts = self._parts or [messages.encode(part) for part in divide(self._function)]
        return [messages.encode(messages.Portable(len(parts))), *parts]


def divide(function: bytes) -> list[messages.FunctionPart]:
    """A function in parts that fit into messages."""
    size = messages.PART_BYTES
    return [
        messages.FunctionPart(function[start : start + size])
        for start in range(0, len(function), size)
    ]
