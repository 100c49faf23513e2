"""Who is whose parent."""

from __future__ import annotations

import msgspec

from .fields import Count, Description, NodeId, Seconds, Word


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
