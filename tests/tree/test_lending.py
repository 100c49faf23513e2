"""Who is lent what, without I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from pando import messages
from pando.running.value_codec import ValueCodec
from pando.scheduler import Borrower, Credit, Source, Window
from pando.source import EndOfInput, WouldBlock
from pando.tree.job import Job
from pando.tree.lending import Lending
from pando.tree.outgoing_batches import MAX_BATCH_OVERSHOOT_BYTES


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

    def remaining(self) -> int | None:
        return None

    async def run(self, wake: Callable[[], None]) -> None:
        """Nothing to wait for."""

    def close(self) -> None:
        """Nothing to close."""


def test_whoever_has_nothing_in_reserve_comes_before_whoever_has_something() -> None:
    source, lending = HandSource(), Lending(ValueCodec(), lambda: 0.0)
    job = Job(source, lending.new_lender(), Window())
    lending.open_job(job)
    borrowers = [Borrower(name, Credit(target_seconds=4.0)) for name in "abc"]
    for borrower in borrowers:
        borrower.credit.completed(1, 1.0)
        lending.add(borrower)

    def holdings_after(count: int) -> list[int]:
        source.items = list(range(count))
        lending.input_ready(job)
        return [job.lender.count_lent(borrower) for borrower in borrowers]

    assert [holdings_after(1) for _ in borrowers] == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert holdings_after(2) == [3, 1, 1]
    for borrower in reversed(borrowers[1:]):  # now the first has waited longest
        lending.handle(borrower, messages.Capacity(1))
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
    borrower = Borrower("a", Credit(target_seconds=0.004))
    borrower.credit.completed(1, 0.001)
    lending.add(borrower)
    source.items = [0, 1]
    lending.input_ready(job)
    source.items = [2]
    lending.input_ready(job)
    assert (job.lender.count_lent(borrower), job.lender.waiting) == (2, 1)
    (lease,) = job.lender.leases_of(borrower)
    values = msgspec.Raw(ValueCodec().encode([0]))
    lending.handle(borrower, messages.Results(lease.number, 0, 0.001, values))
    assert (job.lender.count_lent(borrower), job.lender.waiting) == (2, 0)
    source.items = [3]
    lending.input_ready(job)
    assert job.lender.waiting == 1
    source.has_ended = True
    lending.input_ready(job)
    assert (job.lender.count_lent(borrower), job.lender.waiting) == (3, 0)


def test_who_has_no_workers_is_lent_nothing_until_it_has_some_again() -> None:
    source, lending = HandSource(), Lending(ValueCodec(), lambda: 0.0)
    job = Job(source, lending.new_lender(), Window())
    lending.open_job(job)
    phone = Borrower("phone", Credit(), source=Source(b"phone", "10.0.0.1"))
    lending.add(phone)
    lending.handle(phone, messages.Capacity(4))
    source.items = [0, 1, 2]
    lending.input_ready(job)
    (lease,) = job.lender.leases_of(phone)
    assert (lending.workers, job.lender.lent) == (4, 3)
    lending.handle(phone, messages.Capacity(0))
    lending.handle(phone, messages.ReturnItems(lease.number, 0, 3))
    assert (lending.workers, job.lender.lent, job.lender.waiting) == (0, 0, 3)
    assert phone.conduct.paused_until == 0.0, "that is no refusal"
    assert not lending.has_idle_borrower
    assert lending.tick() == [], "nor is anything lent as time goes by"
    lending.handle(phone, messages.Capacity(2))
    assert lending.workers == 2
    assert job.lender.lent > 0
    lending.handle(phone, messages.Capacity(0))
    lending.remove(phone)
    assert lending.workers == 0


class CountingCodec:
    """Notes the size of each batch of more than one item."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        codec = ValueCodec()
        self._encode = codec.encode
        self.find_unsupported = codec.find_unsupported
        self.decode = codec.decode

    def encode(self, items: Sequence[Any]) -> bytes:
        if len(items) > 1:
            self.batches.append(len(items))
            assert len(self.batches) < 10, "a batch that is too large is made smaller"
        return self._encode(items)


def test_items_that_are_larger_than_those_before_are_lent_in_smaller_batches() -> None:
    source, codec = HandSource(), CountingCodec()
    lending = Lending(codec, lambda: 0.0)
    job = Job(source, lending.new_lender(), Window())
    lending.open_job(job)
    borrower = Borrower("a", Credit())
    borrower.credit.completed(1000, 0.01)
    lending.add(borrower)
    source.items = ["x" * 100_000 for _ in range(200)]  # type: ignore[misc]
    lending.input_ready(job)
    most = MAX_BATCH_OVERSHOOT_BYTES // 100_000
    assert codec.batches[0] > most, "nobody knows yet how large they are"
    assert 1 < codec.batches[-1] <= most
    assert job.lender.lent == codec.batches[-1] * len(job.lender.leases_of(borrower))
    assert job.window.mean_size > 90_000
