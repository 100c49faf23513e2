"""The allocator: who gets work next, of which stream, without messages."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import pytest

from pando.scheduler import Allocator, Backlog, Borrower, Credit, Lease, Lender, Read, Window
from pando.scheduler.allocator import MAX_LARGER
from pando.scheduler.attempts import Source
from pando.scheduler.speculation import choose_doubling

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


def first_read(allocator: Allocator[Backlog]) -> int:
    """How many items are asked of the inputs first; 0 where none are."""
    return next((step.limit for step in allocator.steps() if isinstance(step, Read)), 0)


def test_nothing_is_read_of_an_input_that_gives_nothing() -> None:
    """What has been read of it is lent."""
    allocator, inputs = Allocator[Backlog](), Streams()
    backlog = open_stream(allocator, inputs, [1])
    backlog.input_blocked = True
    borrower = Borrower("a", Credit())
    borrower.credit.completed(64, 0.01)
    allocator.add(borrower, 0.0)
    assert first_read(allocator) == 0
    backlog.lender.add_items([0])
    assert lend_all(allocator, inputs) == [("a", [0])]


@pytest.mark.parametrize(("streams", "size", "is_read"), [(1, 1000, True), (1, 1001, False)])
def test_nothing_is_read_while_results_that_wait_fill_the_window(
    streams: int, size: int, is_read: bool
) -> None:
    allocator, inputs = Allocator[Backlog](), Streams()
    backlog = open_stream(allocator, inputs, [5])
    backlog.window.max_bytes = 1000
    slow, fast = Borrower("slow", Credit()), Borrower("fast", Credit())
    for borrower in (slow, fast):
        allocator.add(borrower, 0.0)
    backlog.lender.add_items([1, 2])
    backlog.lender.lend(slow, 1)
    lease = backlog.lender.lend(fast, 1)
    assert lease is not None
    backlog.lender.add_results(fast, lease.number, 0, ["result"], {}, size)
    allocator.requeue(fast)
    assert (first_read(allocator) > 0) == is_read


@pytest.mark.parametrize("count", [MAX_LARGER - 1, MAX_LARGER])
def test_nothing_is_read_beyond_so_many_items_that_are_too_large_for_who_asks(count: int) -> None:
    allocator, inputs = Allocator[Backlog](), Streams()
    backlog = open_stream(allocator, inputs, [5])
    large, small = Borrower("large", Credit()), Borrower("small", Credit(), max_bytes=10)
    allocator.add(large, 0.0)
    backlog.lender.add_items(list(range(count)))
    lease = backlog.lender.lend(large, count)
    assert lease is not None
    backlog.lender.set_sizes(lease, dict.fromkeys(range(count), 100))
    allocator.remove(large)
    small.credit.completed(64, 0.01)
    allocator.add(small, 0.0)
    assert (first_read(allocator) > 0) == (count < MAX_LARGER)


def test_streams_share_the_bytes_of_the_window() -> None:
    allocator, inputs = Allocator[Backlog](), Streams()
    backlog = open_stream(allocator, inputs, [5])
    open_stream(allocator, inputs, [6])
    slow, fast = Borrower("slow", Credit()), Borrower("fast", Credit())
    for borrower in (slow, fast):
        allocator.add(borrower, 0.0)
    backlog.window.max_bytes = 1000
    backlog.lender.add_items([1, 2])
    backlog.lender.lend(slow, 1)
    lease = backlog.lender.lend(fast, 1)
    assert lease is not None
    backlog.lender.add_results(fast, lease.number, 0, ["result"], {}, 501)
    allocator.requeue(fast)
    read = [step.backlog for step in allocator.steps() if isinstance(step, Read)]
    assert read
    assert backlog not in read


def test_the_window_has_room_for_what_all_workers_hold_and_is_shared_by_the_streams() -> None:
    """A window of large items is 64 of them, or four for each worker; without, it is by bytes."""
    allocator, inputs = Allocator[Backlog](), Streams()
    backlog = open_stream(allocator, inputs, [])
    allocator.add(Borrower("a", Credit()), 0.0)
    allocator.ask(next(iter(allocator.borrowers)), 100)
    windows = list[dict[str, int]]()

    def items(borrowed: int = 0, *, windows_: int = 1, **shared: int) -> int:
        windows.append({"borrowed": borrowed, **shared})
        return 7

    backlog.window.items = items  # type: ignore[method-assign,assignment]
    assert first_read(allocator) == 7
    assert windows[0] == {"borrowed": 400, "windows": 1}
    open_stream(allocator, inputs, [])
    windows.clear()
    first_read(allocator)
    assert windows[0] == {"borrowed": 400, "windows": 2}


def test_nothing_more_is_read_than_the_window_lets_in() -> None:
    allocator, inputs = Allocator[Backlog](), Streams()
    backlog = open_stream(allocator, inputs, [1, 2, 3])
    backlog.window = Window(1)
    allocator.add(Borrower("a", Credit()), 0.0)
    assert lend_all(allocator, inputs) == [("a", [1])]
    assert inputs[backlog] == [2, 3]


def test_what_a_borrower_held_of_all_streams_is_counted_when_it_leaves() -> None:
    allocator, inputs = Allocator[Backlog](), Streams()
    backlogs = [open_stream(allocator, inputs, [number]) for number in range(2)]
    borrower = Borrower("a", Credit())
    allocator.add(borrower, 0.0)
    for backlog in backlogs:
        backlog.lender.add_items([1, 2])
    for backlog, count in zip(backlogs, (1, 2), strict=True):
        backlog.lender.lend(borrower, count)
    assert allocator.remove(borrower) == 3
    allocator.requeue(borrower)
    assert lend_all(allocator, inputs) == [], "who has left is lent nothing"


def test_how_a_borrower_has_left_is_told_to_the_lenders() -> None:
    """By default it was not lost, and does not return; so its items wait together, unsuspected."""
    told = list[dict[str, object]]()

    class Noting(Lender):
        def leave(
            self, borrower: Hashable, now: float = 0.0, *, lost: str = "", may_return: bool = False
        ) -> int:
            told.append({"now": now, "lost": lost, "may_return": may_return})
            return super().leave(borrower, now, lost=lost, may_return=may_return)

    allocator = Allocator[Backlog]()
    allocator.open(Backlog(Noting(), Window(), lambda: None))
    for options in ({}, {"lost": "it was lost", "may_return": True}):
        borrower = Borrower("a", Credit())
        allocator.add(borrower, 0.0)
        allocator.remove(borrower, 5.0, **options)  # type: ignore[arg-type]
    assert told == [
        {"now": 5.0, "lost": "", "may_return": False},
        {"now": 5.0, "lost": "it was lost", "may_return": True},
    ]


def test_one_worker_alone_is_lent_half_of_what_remains() -> None:
    allocator, inputs = Allocator[Backlog](), Streams()
    backlog = open_stream(allocator, inputs, [])
    borrower = Borrower("a", Credit(target_seconds=100.0))
    for _ in range(4):
        borrower.credit.completed(16, 16.0)
    allocator.add(borrower, 0.0)
    backlog.lender.add_items(list(range(8)))
    backlog.lender.end_input()
    assert lend_all(allocator, inputs)[0] == ("a", [0, 1, 2, 3])


def test_a_borrower_has_shown_nothing_when_it_comes() -> None:
    here = Borrower("a", Credit())
    there = Borrower("b", Credit(), source=Source("device", "address"))
    assert (here.results, here.has_announced, there.has_announced) == (0, True, False)


# ---- lending a second time ----


class Doubling:
    """Borrowers of devices of their own; 'slow' holds items, and others have shown their rate."""

    def __init__(self, *idle: str, item_seconds: float = 0.1) -> None:
        self.allocator = Allocator[Backlog]()
        self.backlog = Backlog(Lender(), Window(), lambda: None)
        self.lender = self.backlog.lender
        self.allocator.open(self.backlog)
        self.borrowers = dict[str, Borrower]()
        for name in ("slow", *idle):
            self.add(name)
        for name in idle:
            self.backlog.credits[self.borrowers[name]].completed(1, item_seconds)

    def add(self, name: str, device: str = "", max_bytes: int = 10**6) -> Borrower:
        source = Source(device or name, name)
        borrower = Borrower(name, Credit(), source=source, max_bytes=max_bytes)
        self.borrowers[name] = borrower
        self.allocator.add(borrower, 0.0)
        return borrower

    def hold(self, name: str, count: int, since: float = 0.0) -> Lease:
        lease = self.lender.lend(self.borrowers[name], count)
        assert lease is not None
        lease.since = since
        return lease

    def chosen(self, idle: str, now: float) -> tuple[str, list[int], int] | None:
        """Who would be lent what a second time, of which lease."""
        names = [self.borrowers[name] for name in idle.split()]
        found = choose_doubling(self.lender, self.backlog.credits, names, now)
        if found is None:
            return None
        low, high = found.lease.missing[0]
        first = found.lease.start + low
        count = min(found.limit, high - low)
        return found.borrower.name, list(range(first, first + count)), found.lease.number


def test_an_item_holds_up_from_the_moment_on_in_which_it_has_taken_long() -> None:
    """Five times what it takes elsewhere, and half a second at the least."""
    run = Doubling("fast")
    run.lender.add_items([1])
    lease = run.hold("slow", 1)
    assert run.chosen("fast", 0.49) is None
    assert run.chosen("fast", 0.5) == ("fast", [0], lease.number)


def test_of_several_leases_of_a_borrower_the_one_with_the_lowest_item_is_chosen() -> None:
    run = Doubling("fast")
    run.lender.add_items(list(range(3)))
    first, second = run.hold("slow", 1), run.hold("slow", 1)
    run.lender.give_back(run.borrowers["slow"], first.number, 0, 1)
    again = run.hold("slow", 1)
    assert (again.start, second.start) == (0, 1)
    assert run.chosen("fast", 100.0) == ("fast", [0], again.number)


def test_an_older_borrower_s_later_item_does_not_hide_a_lower_one_of_its_own() -> None:
    run = Doubling("fast")
    run.add("other")
    run.lender.add_items(list(range(4)))
    given = run.hold("other", 1)
    middle = run.hold("slow", 1)
    last = run.hold("other", 1)
    run.lender.give_back(run.borrowers["other"], given.number, 0, 1)
    lowest = run.hold("other", 1)
    assert [lease.start for lease in (middle, last, lowest)] == [1, 2, 0]
    assert run.chosen("fast", 100.0) == ("fast", [0], lowest.number)


def test_what_is_lent_twice_already_or_needs_no_result_does_not_hide_what_holds_up() -> None:
    run = Doubling("fast", "faster")
    run.lender.add_items(list(range(3)))
    first, second, third = (run.hold("slow", 1) for _ in range(3))
    copy = run.lender.double(run.borrowers["fast"], first, 1)
    copy.since = 100.0
    assert run.chosen("faster", 100.0) == ("faster", [1], second.number)
    run.lender.is_final = lambda index: index == 1
    assert run.chosen("faster", 100.0) == ("faster", [2], third.number)


def test_what_is_waited_for_longer_does_not_hide_what_holds_up() -> None:
    run = Doubling("fast", "faster")
    run.lender.add_items(list(range(2)))
    first, second = run.hold("slow", 1, since=99.9), run.hold("slow", 1)
    assert first.start < second.start
    assert run.chosen("faster", 100.0) == ("faster", [1], second.number)


def test_the_first_item_that_is_missing_is_what_holds_up() -> None:
    run = Doubling("fast")
    run.lender.add_items(list(range(8)))
    run.hold("fast", 4)
    lease = run.hold("slow", 4)
    run.lender.add_results(run.borrowers["slow"], lease.number, 0, ["done"] * 2, {})
    run.add("idle")
    run.lender.is_final = lambda index: index == 6
    assert run.chosen("idle", 100.0) is None
    run.lender.is_final = lambda index: index == 2
    assert run.chosen("idle", 100.0) == ("idle", [6], lease.number)


def test_who_takes_an_item_a_second_time_has_room_for_it_and_is_no_device_that_holds_it() -> None:
    run = Doubling("fast")
    run.lender.add_items([1])
    lease = run.hold("slow", 1)
    run.lender.set_sizes(lease, {0: 1000})
    lease = run.hold("slow", 1)
    for name, size in (("small", 999), ("large", 1000)):
        run.add(name, max_bytes=size)
    assert run.chosen("small", 100.0) is None
    assert run.chosen("small large", 100.0) == ("large", [0], lease.number)
    copy = run.lender.double(run.borrowers["large"], lease, 1)
    copy.since = 0.0
    run.add("beside_large", device="large")
    run.add("beside_slow", device="slow")
    assert run.chosen("beside_large", 1000.0) is None
    assert run.chosen("beside_slow", 1000.0) is None
    assert run.chosen("fast", 1000.0) == ("fast", [0], copy.number)


def test_where_a_stream_s_item_could_not_be_sent_the_others_are_still_lent_twice() -> None:
    run = Doubling("fast")
    other = Backlog(Lender(numbers=iter(range(100, 200))), Window(), lambda: None)
    run.allocator.open(other)
    other.credits[run.borrowers["fast"]].completed(1, 0.1)
    for lender in (run.lender, other.lender):
        lender.add_items([1])
        lease = lender.lend(run.borrowers["slow"], 1)
        assert lease is not None
        lease.since = 0.0
    run.allocator.requeue(run.borrowers["slow"])
    loans = list[Backlog]()
    for loan in run.allocator.doublings(100.0):
        loans.append(loan.backlog)
        if loan.backlog is run.backlog:
            run.lender.revoke(loan.borrower, loan.lease.number)
    assert loans == [run.backlog, other]


def test_a_stream_without_anything_that_holds_up_does_not_hide_the_next() -> None:
    run = Doubling("fast")
    other = Backlog(Lender(numbers=iter(range(100, 200))), Window(), lambda: None)
    run.allocator.open(other)
    other.credits[run.borrowers["fast"]].completed(1, 0.1)
    other.lender.add_items([1])
    lease = other.lender.lend(run.borrowers["slow"], 1)
    assert lease is not None
    run.allocator.requeue(run.borrowers["slow"])
    assert [loan.backlog for loan in run.allocator.doublings(100.0)] == [other]
