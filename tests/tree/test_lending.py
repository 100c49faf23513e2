"""Who is lent what, without I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pando import messages
from pando.run import ValueCodec
from pando.scheduler import Credit, Window
from pando.sources import WouldBlock
from pando.tree.lending import Borrower, Lending, Stream


class HandSource:
    """A source that has what the test puts into it."""

    def __init__(self) -> None:
        self.items: list[int] = []

    def read_nowait(self, limit: int) -> list[Any]:
        if not self.items:
            raise WouldBlock
        items, self.items = self.items[:limit], self.items[limit:]
        return items

    def count_unread(self) -> int | None:
        return None

    async def run(self, wake: Callable[[], None]) -> None:
        """Nothing to wait for."""

    def close(self) -> None:
        """Nothing to close."""


def test_whoever_has_nothing_in_reserve_comes_before_whoever_has_something() -> None:
    source, lending = HandSource(), Lending(ValueCodec(), lambda: 0.0)
    stream = Stream(source, lending.new_lender(), Window())
    lending.open_stream(stream)
    borrowers = [Borrower(name, Credit(target_seconds=4.0), lambda: None) for name in "abc"]
    for borrower in borrowers:
        borrower.credit.completed(1, 1.0)
        lending.add(borrower)

    def holdings_after(count: int) -> list[int]:
        source.items = list(range(count))
        lending.input_has_news(stream)
        return [stream.lender.count_lent(borrower) for borrower in borrowers]

    assert [holdings_after(1) for _ in borrowers] == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert holdings_after(2) == [3, 1, 1]
    for borrower in reversed(borrowers[1:]):  # now the first has waited longest
        lending.handle(borrower, messages.Want(1))
    assert holdings_after(1) == [3, 1, 2]
    assert holdings_after(1) == [3, 2, 2]
    assert holdings_after(1) == [4, 2, 2], "all have something: whoever has waited longest"
