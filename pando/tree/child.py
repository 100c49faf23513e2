"""A child: another node that this one lends to, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from .. import messages
from ..errors import one_line
from ..net.keepalive import KeepaliveChannel
from ..scheduler import Credit

CHILD_MESSAGES = 4
"""Batches that a child holds when it holds all it may."""
CHILD_TARGET_SECONDS = 0.2
"""Work in a child's batches, for each of its workers: a network is slower than a socket pair."""
CHILD_PAIR_SECONDS = 2.0
"""Two items that are no more work than this are sent together to a child's worker."""


@dataclass(eq=False, repr=False)
class Child:
    """A child that is connected.

    Attributes:
        node: its identifier.
        name: what people call it.
        takes_children: whether other nodes can connect to it.
        needs_offer: whether they need an answer to their offer of WebRTC for that.
        link: the connection to it.
        has_left: whether it has said that it leaves.
        is_relayed: whether a public server relays the connection.
        offers: takes its offer to connect by WebRTC, while it is served; None before.
    """

    node: bytes
    name: str
    takes_children: bool
    needs_offer: bool
    link: KeepaliveChannel
    has_left: bool = False
    is_relayed: bool = False
    offers: trio.MemorySendChannel[str] | None = None

    def __repr__(self) -> str:
        return f"<Child {self.name!r} {self.node.hex()}>"


def credit_for_child(workers: int) -> Credit:
    """What a child may hold that has this many workers, its own and those below it."""
    credit = Credit(
        messages=CHILD_MESSAGES,
        target_seconds=CHILD_TARGET_SECONDS,
        pair_seconds=CHILD_PAIR_SECONDS,
    )
    credit.ask(workers)
    return credit


def sanitize_name(name: str) -> str:
    """A device's name as one short line that is safe to print."""
    return one_line(name, messages.MAX_NAME) or "a volunteer"
