"""The allocator: who gets work next, of which stream, without messages."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pando.scheduler import Allocator, Backlog, Borrower, Credit, Lease, Lender, Read, Window

Streams = dict[Backlog, list[int]]


def lend_all(
    allocator: Allocator[Backlog],
    inputs: Streams,
    accept: Callable[[Lease], bool] = lambda lease: True,
) -> list[tuple[str, list[int]]]:
    """Carry out all steps; who was lent what. Inputs that are empty have ended."""
    lent: list[tuple[str, list[int]]] = []
    for step in allocator.steps():
        backlog = step.backlog
        if isinstance(step, Read):
            items = inputs[backlog][: step.limit]
            del inputs[backlog][: step.limit]
            if items:
                backlog.lender.add_items(items)
            else:
                backlog.lender.end_input()
        elif accept(step.lease):
            lent.append((step.borrower.name, list(step.lease.items)))
        else:
            size = len(step.lease.items)
            backlog.lender.give_back(step.borrower, step.lease.number, 0, size)
    return lent


def open_stream(allocator: Allocator[Backlog], inputs: Streams, items: list[int]) -> Backlog:
    backlog = Backlog(Lender(numbers=NUMBERS), Window(), lambda: None)
    inputs[backlog] = items
    allocator.open(backlog)
    return backlog


NUMBERS = iter(range(1, 10**9))


def test_each_idle_borrower_gets_an_item_before_anybody_gets_two() -> None:
    allocator, inputs = Allocator[Backlog](), Streams()
    open_stream(allocator, inputs, list(range(5)))
    for name in "abc":
        allocator.add(Borrower(name, Credit()), 0.0)
    assert lend_all(allocator, inputs) == [
        ("a", [0]),
        ("b", [1]),
        ("c", [2]),
        ("a", [3]),
        ("b", [4]),
    ]


def test_nothing_is_read_while_nobody_can_take_it() -> None:
    allocator, inputs = Allocator[Backlog](), Streams()
    open_stream(allocator, inputs, [1, 2, 3])
    assert list(allocator.steps()) == []


def test_what_cannot_be_sent_is_lent_again() -> None:
    allocator, inputs = Allocator[Backlog](), Streams()
    open_stream(allocator, inputs, [1])
    allocator.add(Borrower("a", Credit()), 0.0)
    answers = iter([False, False, True])
    assert lend_all(allocator, inputs, lambda lease: next(answers)) == [("a", [1])]


def test_the_stream_that_has_had_the_least_comes_first() -> None:
    allocator, inputs = Allocator[Backlog](), Streams()
    first = open_stream(allocator, inputs, [1] * 100)
    borrower = Borrower("a", Credit())
    allocator.add(borrower, 0.0)
    lend_all(allocator, inputs)
    borrower.heard = 10.0
    for lease in first.lender.leases_of(borrower):
        first.lender.add_results(borrower, lease.number, 0, [1] * len(lease.items), {})
        allocator.completed(first, borrower, len(lease.items), 1.0)
    open_stream(allocator, inputs, [2] * 100)
    allocator.requeue(borrower)
    lent = lend_all(allocator, inputs)
    assert lent[0] == ("a", [2])


def test_a_stream_without_items_does_not_save_up_its_share() -> None:
    allocator, inputs = Allocator[Backlog](), Streams()
    idle = open_stream(allocator, inputs, [])
    idle.input_blocked = True
    busy = open_stream(allocator, inputs, [1])
    allocator.add(Borrower("a", Credit()), 0.0)
    busy.share.charge(1, 5.0)
    lend_all(allocator, inputs)
    allocator.unblock(idle)
    assert idle.share.seconds == 5.0


def test_an_idle_borrower_has_the_newest_lease_of_the_busiest_recalled() -> None:
    allocator, inputs = Allocator[Backlog](), Streams()
    backlog = open_stream(allocator, inputs, [])
    busy = Borrower("busy", Credit())
    busy.credit.completed(4, 4.0)
    allocator.add(busy, 0.0)
    backlog.lender.add_items(list(range(8)))
    older, newer = backlog.lender.lend(busy, 4), backlog.lender.lend(busy, 4)
    assert allocator.recalls(1.0) == [], "nobody is idle"
    allocator.requeue(busy)
    allocator.add(Borrower("idle", Credit()), 1.0)
    assert allocator.recalls(2.0) == [newer]
    assert allocator.recalls(2.0) == [older], "each lease is recalled once"
    assert allocator.recalls(2.0) == []


def test_workers_are_counted_as_they_come_ask_and_go() -> None:
    allocator, inputs = Allocator[Backlog](), Streams()
    backlog = open_stream(allocator, inputs, list(range(1000)))
    first, second = Borrower("a", Credit()), Borrower("b", Credit())
    allocator.add(first, 0.0)
    allocator.add(second, 0.0)
    assert allocator.workers == 2
    allocator.ask(first, 5)
    assert allocator.workers == 6
    allocator.ask(first, 300)
    assert allocator.workers == 257, "not more than it has proved"
    assert backlog.credits[first].workers == 256
    allocator.completed(backlog, first, 10, 1.0)
    assert allocator.workers == 267
    allocator.remove(second)
    assert allocator.workers == 266
    allocator.remove(first)
    assert allocator.workers == 0


def test_a_stream_is_charged_no_more_than_the_time_since_its_borrower_came() -> None:
    allocator, inputs = Allocator[Backlog](), Streams()
    backlog = open_stream(allocator, inputs, list(range(100)))
    borrower = Borrower("a", Credit())
    allocator.add(borrower, 5.0)
    allocator.ask(borrower, 2)
    borrower.heard = 7.0
    allocator.completed(backlog, borrower, 1, 1.5)
    assert backlog.share.seconds == 1.5
    allocator.completed(backlog, borrower, 1, 2.0)
    assert backlog.share.seconds == 3.5
    allocator.completed(backlog, borrower, 1, 100.0)
    assert backlog.share.seconds == 4.0, "two workers, two seconds"
    allocator.completed(backlog, borrower, 1, 100.0)
    assert backlog.share.seconds == 4.0
    assert borrower.charged == 4.0
    borrower.heard = 8.0
    allocator.completed(backlog, borrower, 1, 0.5)
    assert backlog.share.seconds == 4.5


def test_whether_a_borrower_is_idle() -> None:
    allocator, inputs = Allocator[Backlog](), Streams()
    open_stream(allocator, inputs, [1])
    first, second = Borrower("a", Credit()), Borrower("b", Credit())
    allocator.add(first, 0.0)
    assert allocator.is_idle(first)
    assert not allocator.has_idle_borrower, "nobody holds items that it could have"
    lend_all(allocator, inputs)
    assert not allocator.is_idle(first)
    assert not allocator.has_idle_borrower
    allocator.add(second, 0.0)
    assert allocator.is_idle(second)
    assert allocator.has_idle_borrower


def test_a_closed_stream_gives_no_more_and_the_next_begins_with_its_size_of_items() -> None:
    allocator, inputs = Allocator[Backlog](), Streams()
    backlog = open_stream(allocator, inputs, list(range(9)))
    allocator.add(Borrower("a", Credit()), 0.0)
    backlog.window.measured(1, 4096)
    allocator.close(backlog)
    assert lend_all(allocator, inputs) == []
    following = open_stream(allocator, inputs, [7])
    assert following.window.mean_size == 4096
    assert lend_all(allocator, inputs) == [("a", [7])]


def test_a_stream_that_is_unblocked_while_items_are_lent_keeps_its_share() -> None:
    allocator, inputs = Allocator[Backlog](), Streams()
    backlog = open_stream(allocator, inputs, [1])
    busy = open_stream(allocator, inputs, [2])
    allocator.add(Borrower("a", Credit()), 0.0)
    allocator.add(Borrower("b", Credit()), 0.0)
    busy.share.charge(1, 5.0)
    assert len(lend_all(allocator, inputs)) == 2
    backlog.input_blocked = True
    allocator.unblock(backlog)
    assert backlog.share.seconds == 0.0
    assert not backlog.input_blocked


def test_items_of_several_streams_share_what_a_borrower_may_hold() -> None:
    allocator, inputs = Allocator[Backlog](), Streams()
    for number in range(3):
        open_stream(allocator, inputs, [number] * 50)
    allocator.add(Borrower("a", Credit()), 0.0)
    lent = lend_all(allocator, inputs)
    assert sum(len(items) for _, items in lent) == 2, "as much as with one stream"


def test_the_mean_time_of_a_stream_s_items_follows_the_newest_results() -> None:
    backlog = Backlog(Lender(), Window(), lambda: None)
    backlog.share.charge(10, 1.0)
    assert backlog.share.claimed(10) == pytest.approx(1.0 + 1.0)
    backlog.share.charge(1, 1.1)
    assert backlog.share.claimed(1) == pytest.approx(2.1 + 0.1 + 0.2 * 1.0)
    backlog.share.resume(1.0)
    assert backlog.share.seconds == pytest.approx(2.1)
    backlog.share.resume(3.0)
    assert backlog.share.seconds == 3.0


def test_what_remains_is_known_where_the_input_s_end_is() -> None:
    lender = Lender()
    assert Backlog(lender, Window(), lambda: None).count_remaining() is None
    backlog = Backlog(lender, Window(), lambda: 3)
    lender.add_items([1, 2])
    assert backlog.count_remaining() == 5
    lender.end_input()
    assert backlog.count_remaining() == 2
    assert Backlog(lender, Window(), lambda: None).count_remaining() == 2


def test_who_held_items_of_a_closed_stream_alone_is_idle() -> None:
    allocator, inputs = Allocator[Backlog](), Streams()
    first = open_stream(allocator, inputs, [1])
    borrower = Borrower("a", Credit())
    allocator.add(borrower, 0.0)
    assert len(lend_all(allocator, inputs)) == 1
    open_stream(allocator, inputs, [2])
    assert not allocator.is_idle(borrower)
    allocator.close(first)
    assert allocator.is_idle(borrower)
