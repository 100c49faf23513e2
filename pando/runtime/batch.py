"""A batch: the items of one lease on their way through the function."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .wire import FailureTuple


class Batch:
    """Items, and their results as far as there are any.

    `results` grows as the main thread works. `items` may be cut short by a recall at any time.
    """

    def __init__(self, lease: int, items: list[Any]) -> None:
        self.lease = lease
        self.items = items
        self.size = len(items)
        self.results: list[Any] = []
        self.failures: dict[int, FailureTuple] = {}
        self.sent = 0
        self.since = 0.0
