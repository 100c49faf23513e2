"""A borrower: a worker or a child, as the scheduler sees it."""

from __future__ import annotations

from .attempts import Source
from .conduct import Conduct
from .credit import Credit

MAX_FRAME_BYTES = 2**32 - 1024
"""The largest batch for a worker of this machine."""

THIS_MACHINE = Source("this machine", "this machine", is_local=True)
"""Where this node's own workers compute."""


class Borrower:
    """Who may be lent items.

    Args:
        name: what people call it.
        credit: how much it may hold.
        max_bytes: the largest batch that can be sent to it, encoded.
        source: where it computes; this machine, where that is not said.

    Attributes:
        since: when it came, in seconds.
        heard: when it was heard of last, or began to work after a time without items.
        results: how many results have come from it.
        seconds: the time that it has computed for them.
        charged: how much of its time has been charged to jobs.
        has_announced: whether it has said what it can take, or need not.
        conduct: what its device has done with what it was lent.
        is_paused: whether it is lent nothing at present, because of its conduct.
        has_no_workers: whether it has said so; then it is lent nothing, either.
        answered: when it has last sent a result, or was lent something while it had nothing.
    """

    def __init__(
        self,
        name: str,
        credit: Credit,
        *,
        max_bytes: int = MAX_FRAME_BYTES,
        source: Source = THIS_MACHINE,
    ) -> None:
        self.name = name
        self.credit = credit
        self.max_bytes = max_bytes
        self.source = source
        self.has_announced = source.is_local
        self.conduct = Conduct()
        self.is_paused = False
        self.has_no_workers = False
        self.answered = 0.0
        self.since = 0.0
        self.heard = 0.0
        self.results = 0
        self.seconds = 0.0
        self.charged = 0.0

    @property
    def workers(self) -> int:
        """How many workers it computes with now."""
        return 0 if self.has_no_workers else self.credit.workers

    def __repr__(self) -> str:
        return f"<Borrower {self.name!r}, {self.workers} workers, {self.results} results>"
