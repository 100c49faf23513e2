"""The reorder buffer: results come in any order and leave in the order of the items."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple


class ResultBatch(NamedTuple):
    """Results of consecutive items.

    Attributes:
        start: the first item's index.
        items: the items themselves.
        values: their results, in the same order; None where an item failed.
        failures: why an item failed, by its place in the batch; empty for most batches.
        size: bytes of the encoded results.
    """

    start: int
    items: Sequence[Any]
    values: Sequence[Any]
    failures: dict[int, Any]
    size: int = 0


class ReorderBuffer:
    """Finished results that wait for their turn.

    Args:
        ordered: hand results out in the order of the items; else as they come.

    Attributes:
        delivered: how many results have left.
        bytes: how large those inside are.
    """

    def __init__(self, *, ordered: bool = True) -> None:
        self.ordered = ordered
        self.delivered = 0
        self.bytes = 0
        self._early: dict[int, ResultBatch] = {}
        self._ready: deque[ResultBatch] = deque()
        self._next = 0
        self._size = 0

    def __len__(self) -> int:
        """How many results are inside."""
        return self._size

    @property
    def ready(self) -> bool:
        """Whether `take` would give something."""
        return bool(self._ready)

    def add(self, batch: ResultBatch) -> None:
        """Put a batch of results in. No result of it may have been put in before."""
        self._size += len(batch.values)
        self.bytes += batch.size
        if not self.ordered:
            self._ready.append(batch)
            return
        self._early[batch.start] = batch
        while (due := self._early.pop(self._next, None)) is not None:
            self._ready.append(due)
            self._next += len(due.values)

    def skip(self, count: int) -> None:
        """Count results that will never come as handed out; where order does not matter."""
        assert not self.ordered
        self.delivered += count

    def take(self) -> ResultBatch | None:
        """The next batch to hand out, or None where its turn has not come."""
        if not self._ready:
            return None
        batch = self._ready.popleft()
        self._size -= len(batch.values)
        self.bytes -= batch.size
        self.delivered += len(batch.values)
        return batch

    def validate_state(self) -> None:
        """Raise AssertionError where the state contradicts itself; for tests."""
        inside = [*self._early.values(), *self._ready]
        assert self.bytes == sum(batch.size for batch in inside)
        assert self._size == sum(len(batch.values) for batch in inside)
        assert all(len(batch.items) == len(batch.values) > 0 for batch in inside)
        if self.ordered:
            assert self._next not in self._early
            assert self.delivered + sum(len(batch.values) for batch in self._ready) == self._next
            assert all(start > self._next for start in self._early)
