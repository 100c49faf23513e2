"""A job: one input that passes through a node, and its owner, who is told of results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..scheduler import Backlog, Lender, Window
from ..source import Source


class Job(Backlog):
    """One input on its way through a node: its source, its lender, and who is told of results.

    Attributes:
        input_error: what the input has raised.
        add_keys: puts a key to each item, given the index of the first, where they need some.
        notify: called by the node when results are ready, or the job has ended.
        tell_when_dry: whether `notify` is called, too, when nothing can come before an item does.
        cancelling: stretches of indices that are to leave the job undone, as soon as they wait.
        cancelled: called by the node for each stretch that has left, with its start and count.
    """

    def __init__(self, source: Source, lender: Lender, window: Window) -> None:
        super().__init__(lender, window, source.remaining)
        self.source = source
        self.input_error: Exception | None = None
        self.add_keys: Callable[[Sequence[Any], int], Sequence[Any]] | None = None
        self.notify: Callable[[], None] = lambda: None
        self.tell_when_dry = False
        self.cancelling: list[tuple[int, int]] = []
        self.cancelled: Callable[[int, int], None] = lambda start, count: None

    def __repr__(self) -> str:
        return f"<Job of {self.source!r}, {self.lender!r}>"
