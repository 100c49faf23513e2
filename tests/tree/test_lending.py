"""Who is lent what, without I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from pando import messages
from pando.running.run import ValueCodec
from pando.scheduler import Credit, Window
from pando.source import EndOfInput, WouldBlock
from pando.tree.lending import Borrower, Job, Lending


class HandSource:
    """A source that has what the test puts into it."""

    def __init__(self) -> None:
        self.items: list[int] = []
        self.has_ended = False

    def read_nowait(self, limit: int) -> list[Any]:
        if not self.items:
            raise EndOfInput if self.has_ended else WouldBlock
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
    job = Job(source, lending.new_lender(), Window())
    lending.open_job(job)
    borrowers = [Borrower(name, Credit(target_seconds=4.0), lambda: None) for name in "abc"]
    for borrower in borrowers:
        borrower.credit.completed(1, 1.0)
        lending.add(borrower)

    def holdings_after(count: int) -> list[int]:
        source.items = list(range(count))
        lending.input_has_news(job)
        return [job.lender.count_lent(borrower) for borrower in borrowers]

    assert [holdings_after(1) for _ in borrowers] == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert holdings_after(2) == [3, 1, 1]
    for borrower in reversed(borrowers[1:]):  # now the first has waited longest
        lending.handle(borrower, messages.Want(1))
    assert holdings_after(1) == [3, 1, 2]
    assert holdings_after(1) == [3, 2, 2]
    assert holdings_after(1) == [3, 2, 2], "all have something: an item alone waits for others"
    assert holdings_after(3) == [7, 2, 2], "whoever has waited longest"
    assert holdings_after(1) == [7, 2, 2]
    lending.remove(borrowers[1])
    lending.remove(borrowers[2])
    assert job.lender.waiting == 1 + 2 + 2
    lending.remove(borrowers[0])
    assert job.lender.waiting == 12


def test_what_waits_for_others_is_lent_when_the_reserve_is_gone_or_the_input_has_ended() -> None:
    source, lending = HandSource(), Lending(ValueCodec(), lambda: 0.0)
    job = Job(source, lending.new_lender(), Window())
    lending.open_job(job)
    borrower = Borrower("a", Credit(target_seconds=0.004), lambda: None)
    borrower.credit.completed(1, 0.001)
    lending.add(borrower)
    source.items = [0, 1]
    lending.input_has_news(job)
    source.items = [2]
    lending.input_has_news(job)
    assert (job.lender.count_lent(borrower), job.lender.waiting) == (2, 1)
    (lease,) = job.lender.leases_of(borrower)
    values = msgspec.Raw(ValueCodec().encode([0]))
    lending.handle(borrower, messages.Results(lease.number, 0, 0.001, values))
    assert (job.lender.count_lent(borrower), job.lender.waiting) == (2, 0)
    source.items = [3]
    lending.input_has_news(job)
    assert job.lender.waiting == 1
    source.has_ended = True
    lending.input_has_news(job)
    assert (job.lender.count_lent(borrower), job.lender.waiting) == (3, 0)
