"""What ends a handshake or a protected channel."""

from __future__ import annotations

from ...errors import PandoError

LINK_ENDED = "this link has ended: it is not, or no longer, good for this run"
"""A root's reason for refusing a secret that is not its link's."""


class TrustError(PandoError):
    """The other end has not proved who it is, or what came is not what it sent."""


class JoinRefusedError(TrustError):
    """The other end has refused the handshake.

    Attributes:
        reason: in words for people.
        is_proven: whether the root that the link names has signed the refusal; otherwise anybody
            on the way may have made it.
    """

    def __init__(self, reason: str, *, is_proven: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_proven = is_proven


class HandshakeFailedError(TrustError):
    """A responder's side of a failed handshake.

    Attributes:
        answer: what to send before the connection is closed.
    """

    def __init__(self, reason: str, answer: bytes) -> None:
        super().__init__(reason)
        self.answer = answer
