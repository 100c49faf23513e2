"""Who is at the other end of a connection, as far as the connection itself tells."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Visitor:
    """The other end of a connection.

    Attributes:
        host: the address that it is seen at.
        is_own_user: whether it is a program of the user who runs this process, on this machine,
            with nothing in between. False where that cannot be found out.
        is_relayed: whether a relay carries the connection.
        over_https: whether it has come to an address of https. Browsers let such a page connect to
            no address without encryption.
    """

    host: str
    is_own_user: bool = False
    is_relayed: bool = False
    over_https: bool = False


STRANGER = Visitor("")
"""A visitor of whom nothing is known."""
current_visitor: ContextVar[Visitor] = ContextVar("current_visitor", default=STRANGER)
"""The other end of the connection that a page's request has come on."""
