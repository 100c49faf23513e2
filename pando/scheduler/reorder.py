"""The reorder buffer: results come in any order and leave in the order of the items."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple


class ResultRun(NamedTuple):
    """Results of consecutive items.

    Attributes:
        start: the first item's index.
        items: the items themselves.
        values: their results, in the same order; None where an item failed.
        failures: why an item failed, by its place in the run; empty for most runs.
    """

    start: int
    items: Sequence[Any]
    values: Sequence[Any]
    failures: dict[int, Any]


class ReorderBuffer:
    """Finished results that wait for their turn.

    Args:
        ordered: hand results out in the order of the items; else as they come.
    """

    def __init__(self, *, ordered: bool = True) -> None:
        self.ordered = ordered
        self.handed_out = 0
        self._early: dict[int, ResultRun] = {}
        self._ready: deque[ResultRun] = deque()
        self._next = 0
        self._size = 0

    def __len__(self) -> int:
        """How many results are inside."""
        return self._size

    @property
    def ready(self) -> bool:
        """Whether `take` would give something."""
        return bool(self._ready)

    def add(self, run: ResultRun) -> None:
        """Put a run of results in. No result of it may have been put in before."""
        self._size += len(run.values)
        if not self.ordered:
            self._ready.append(run)
            return
        self._early[run.start] = run
        while (due := self._early.pop(self._next, None)) is not None:
            self._ready.append(due)
            self._next += len(due.values)

    def skip(self, count: int) -> None:
        """So many results will never come; where order does not matter."""
        assert not self.ordered
        self.handed_out += count

    def take(self) -> ResultRun | None:
        """The next run to hand out, or None where its turn has not come."""
        if not self._ready:
            return None
        run = self._ready.popleft()
        self._size -= len(run.values)
        self.handed_out += len(run.values)
        return run

    def validate_state(self) -> None:
        """Raise AssertionError where the state contradicts itself; for tests."""
        inside = [*self._early.values(), *self._ready]
        assert self._size == sum(len(run.values) for run in inside)
        assert all(len(run.items) == len(run.values) > 0 for run in inside)
        if self.ordered:
            assert self._next not in self._early
            assert self.handed_out + sum(len(run.values) for run in self._ready) == self._next
            assert all(start > self._next for start in self._early)
