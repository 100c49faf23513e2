"""Credit, the window and recalls: plain arithmetic, told times."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pando.scheduler import MAX_BATCH_ITEMS, Credit, Holder, Lender, Window, choose_recall
from pando.scheduler.credit import LONG_SECONDS, MAX_BATCH_BYTES, MAX_SECONDS, TARGET_SECONDS


def warmed_up(item_seconds: float, workers: int = 1, **options: Any) -> Credit:
    """A credit after many batches of items that all take as long."""
    credit = Credit(**options)
    credit.ask(workers)
    for _ in range(20):
        size = credit.batch_size()
        credit.completed(size, size * item_seconds)
    return credit


def test_the_first_batch_is_one_item() -> None:
    assert Credit().batch_size() == 1


def test_short_items_are_lent_in_large_batches_and_long_ones_alone() -> None:
    assert warmed_up(1e-7).batch_size() == MAX_BATCH_ITEMS
    assert warmed_up(0.001).batch_size() == round(TARGET_SECONDS / 0.001)
    assert warmed_up(10.0).batch_size() == 1


def test_a_batch_has_its_bound_whatever_the_user_has_chosen() -> None:
    assert warmed_up(1e-9).batch_size(limit=10**6) == MAX_BATCH_ITEMS


@pytest.mark.parametrize(
    ("item_seconds", "workers", "batch", "held"),
    [
        (1.0, 1, 2, 4),  # one runs and one waits: two more may come
        (1.0, 10, 10, 40),
        (1.5, 10, 6, 24),  # somewhat more than an item for each worker
        (3.0, 1, 1, 2),
        (60.0, 1, 1, 2),
        (60.0, 10, 5, 20),
        (0.01, 1, 5, 20),
    ],
)
def test_items_that_are_not_too_long_are_lent_in_pairs(
    item_seconds: float, workers: int, batch: int, held: int
) -> None:
    credit = warmed_up(item_seconds, workers, messages=4, target_seconds=0.1, pair_seconds=2.0)
    assert credit.batch_size() == batch
    assert credit.capacity(batch) == held


def test_pairs_part_towards_the_end() -> None:
    credit = warmed_up(1.0, messages=4, target_seconds=0.1, pair_seconds=2.0)
    assert credit.batch_size(remaining=40, borrowers=10) == 2
    assert credit.batch_size(remaining=20, borrowers=10) == 1
    assert credit.capacity(1) == 2


def test_batches_grow_step_by_step() -> None:
    credit = Credit()
    sizes = []
    for _ in range(5):
        size = credit.batch_size()
        sizes.append(size)
        credit.completed(size, size * 1e-6)
    assert sizes == [1, 16, 256, 4096, 8192]


def test_a_slower_item_makes_batches_smaller_at_once() -> None:
    credit = warmed_up(0.0001)
    before = credit.batch_size()
    credit.completed(10, 10.0)
    assert credit.batch_size() == 1 < before


def test_batches_shrink_towards_the_end() -> None:
    credit = warmed_up(0.001)
    assert credit.batch_size(remaining=40, borrowers=2) == 10
    assert credit.batch_size(remaining=1, borrowers=2) == 2, "what takes 2 ms is not split"
    assert warmed_up(0.01).batch_size(remaining=2, borrowers=2) == 1


def test_large_items_are_lent_in_small_batches() -> None:
    assert warmed_up(1e-6).batch_size(item_bytes=MAX_BATCH_BYTES / 3) == 3
    assert warmed_up(1e-6).batch_size(item_bytes=MAX_BATCH_BYTES * 5) == 1


def test_the_user_s_limit_holds() -> None:
    assert warmed_up(1e-6).batch_size(limit=7) == 7


@given(
    st.lists(st.tuples(st.integers(1, 10**6), st.floats()), max_size=20),
    st.integers(1, 10**5),
    st.none() | st.integers(0, 10**9),
    st.floats(0, 1e9),
)
def test_a_batch_always_has_a_sensible_size(
    history: list[tuple[int, float]], borrowers: int, remaining: int | None, item_bytes: float
) -> None:
    credit = Credit()
    for items, seconds in history:
        credit.completed(items, seconds)
    size = credit.batch_size(borrowers=borrowers, remaining=remaining, item_bytes=item_bytes)
    assert 1 <= size <= MAX_BATCH_ITEMS


def test_the_window_is_bounded_in_items_and_in_bytes() -> None:
    window = Window()
    assert window.items() == 65_536
    window.measured(1, 10_000_000)
    assert window.items() == 64
    assert window.items(borrowed=500) == 500, "no borrower waits for the window"
    assert Window(limit=3).items(borrowed=500) == 3, "but for the user's own bound"


def test_the_window_s_mean_size_follows_large_items_at_once_and_small_ones_slowly() -> None:
    window = Window()
    window.measured(10, 1000)
    assert window.mean_size == 100
    window.measured(10, 100)
    assert 10 < window.mean_size < 100
    window.measured(1, 5000)
    assert window.mean_size == 5000


def recall_from(items: int, leases: int, silence: float, asked: set[int]) -> int | None:
    lender = Lender()
    lender.join("busy")
    lender.join("idle")
    lender.add_items(list(range(items)))
    for _ in range(leases):
        lender.lend("busy", items // leases)
    for lease in lender.leases_of("busy"):
        lease.recalled = lease.number in asked
    chosen = choose_recall(lender, [Holder("busy", warmed_up(1e-6), silence)])
    return chosen.number if chosen else None


def test_what_waits_behind_a_long_item_is_recalled() -> None:
    assert recall_from(items=2, leases=2, silence=1.0, asked=set()) == 2
    assert recall_from(items=2, leases=1, silence=1.0, asked=set()) == 1


def test_nothing_is_recalled_needlessly() -> None:
    assert recall_from(items=2, leases=2, silence=0.0, asked=set()) is None, "done in a moment"
    assert recall_from(items=1, leases=1, silence=9.0, asked=set()) is None, "it is running"
    assert recall_from(items=2, leases=1, silence=9.0, asked={1}) is None, "asked already"


def test_the_newest_results_weigh_by_their_items_or_their_time() -> None:
    credit = Credit()
    credit.completed(10, 0.01)
    assert credit.item_seconds == pytest.approx(0.001)
    credit.completed(10, 0.03)  # half of the items, three quarters of the time
    assert credit.item_seconds == pytest.approx(0.001 + 0.75 * 0.002)
    credit = Credit()
    credit.completed(10, 0.03)
    credit.completed(30, 0.03)  # three quarters of the items, half of the time
    assert credit.item_seconds == pytest.approx(0.003 - 0.75 * 0.002)


def test_of_the_past_two_batches_count_and_60_ms() -> None:
    credit = Credit()
    for _ in range(10):
        credit.completed(10, 0.01)
    credit.completed(10, 0.06)  # as much time as counts of the past
    assert credit.item_seconds == pytest.approx(0.001 + 0.5 * 0.005)
    credit = Credit()
    for _ in range(10):
        credit.completed(10, 1.0)
    credit.completed(10, 0.0)  # a third of the items
    assert credit.item_seconds == pytest.approx(0.1 - 0.1 / 3)


@pytest.mark.parametrize(
    ("claimed", "counted"),
    [
        (math.nan, 0.0),
        (-1.0, 0.0),
        (math.inf, MAX_SECONDS),
        (2 * MAX_SECONDS, MAX_SECONDS),
        (MAX_SECONDS, MAX_SECONDS),
    ],
)
def test_impossible_times_are_bounded(claimed: float, counted: float) -> None:
    credit = Credit()
    credit.completed(1, claimed)
    assert credit.item_seconds == counted


def test_workers_are_believed_as_far_as_results_have_come() -> None:
    credit = Credit()
    assert credit.workers == 1
    credit.ask(300)
    assert credit.workers == 256
    credit.completed(40, 1.0)
    assert credit.workers == 296
    credit.completed(40, 1.0)
    assert credit.workers == 300
    credit.ask(10**9)
    credit.completed(10**6, 1.0)
    assert credit.workers == 100_000
    credit.ask(0)
    assert credit.workers == 1


def test_two_batches_are_held_or_two_items_for_each_worker() -> None:
    credit = Credit()
    assert credit.capacity(10) == 20
    credit.ask(50)
    assert credit.capacity(10) == 100
    assert credit.capacity(80) == 160


def test_work_of_a_child_is_sent_in_more_messages_where_they_are_of_several_items() -> None:
    credit = warmed_up(0.01, messages=4, target_seconds=0.2)
    assert credit.batch_size() == 10
    assert credit.capacity(10) == 40
    slow = warmed_up(0.1, messages=4, target_seconds=0.2)
    assert slow.batch_size() == 2
    assert slow.capacity(2) == 4
    slowest = warmed_up(1.0, messages=4, target_seconds=0.2)
    assert slowest.batch_size() == 1
    assert slowest.capacity(1) == 2


def test_with_many_borrowers_batches_are_longer() -> None:
    credit = warmed_up(0.001)
    assert credit.batch_size() == 30
    assert credit.batch_size(borrowers=37) == 30
    assert credit.batch_size(borrowers=1000) == 480, "at most sixteen times the largest before"
    credit.completed(480, 0.48)
    assert credit.batch_size(borrowers=1000) == 800


def test_the_last_items_are_shared_unless_they_take_no_time() -> None:
    credit = warmed_up(0.001)
    assert credit.batch_size(remaining=10) == 5
    assert credit.batch_size(remaining=11) == 6
    assert credit.batch_size(remaining=11, borrowers=2) == 3
    assert credit.batch_size(remaining=1, borrowers=9) == 2, "2 ms of work"
    assert credit.batch_size(remaining=1000) == 30
    new = Credit()
    assert new.batch_size(remaining=1000) == 1


def test_a_borrower_is_busy_for_its_items_or_for_as_long_as_it_has_been_silent() -> None:
    assert Credit().expected_seconds(5, 0.7) == 0.7
    credit = Credit()
    credit.ask(2)
    credit.completed(1, 0.5)
    assert credit.expected_seconds(8, 0.1) == 2.0
    assert credit.expected_seconds(8, 3.0) == 3.0


def test_nothing_is_known_of_how_long_other_items_take() -> None:
    credit = warmed_up(0.001, workers=3)
    other = credit.for_others()
    assert other.item_seconds is None
    assert other.workers == 3
    assert other.batch_size() == 3
    other.completed(3, 3.0)
    assert other.item_seconds == 1.0
    assert other.batch_size() == 3
    assert credit.item_seconds == pytest.approx(0.001)


def test_the_bytes_of_a_batch_are_bounded() -> None:
    credit = warmed_up(1e-6)
    assert credit.batch_size(item_bytes=MAX_BATCH_BYTES / 4) == 4
    assert credit.batch_size(item_bytes=0.001) == MAX_BATCH_ITEMS
    assert credit.batch_size(item_bytes=10 * MAX_BATCH_BYTES) == 1


def test_windows_share_the_bytes() -> None:
    window = Window()
    window.measured(1, 1024)
    assert window.items() == 16 * 1024
    assert window.items(windows=4) == 4 * 1024
    window.measured(1, 24)
    assert window.mean_size == pytest.approx(1024 - 0.2 * 1000)
    assert Window().items(borrowed=10**6) == 10**6


def lend_to(lender: Lender, name: str, sizes: list[int]) -> None:
    lender.join(name)
    for size in sizes:
        lease = lender.lend(name, size)
        assert lease
        assert len(lease.items) == size


def test_the_newest_lease_of_who_is_busy_longest_is_recalled() -> None:
    lender = Lender()
    lender.add_items(list(range(100)))
    lend_to(lender, "a", [4, 3])
    lend_to(lender, "b", [4, 5])
    holders = [Holder("a", warmed_up(0.01), 0.0), Holder("b", warmed_up(0.01), 0.0)]

    def recalled(*asked: int) -> int | None:
        for name in "ab":
            for lease in lender.leases_of(name):
                lease.recalled = lease.number in asked
        chosen = choose_recall(lender, holders)
        return chosen.number if chosen else None

    assert recalled() == 4
    assert recalled(4) == 3, "b is still busy longest"
    assert recalled(3, 4) == 2
    assert recalled(1, 2, 3, 4) is None
    holders.reverse()
    assert recalled() == 4


def test_what_takes_5_ms_is_not_worth_a_recall() -> None:
    lender = Lender()
    lender.add_items(list(range(10)))
    lend_to(lender, "a", [5])
    at_most = Holder("a", warmed_up(LONG_SECONDS / 5), 0.0)
    assert choose_recall(lender, [at_most]) is None
    assert choose_recall(lender, [Holder("a", warmed_up(0.002), 0.0)])


def test_a_single_item_is_recalled_only_from_behind_another() -> None:
    lender = Lender()
    lender.add_items(list(range(10)))
    lend_to(lender, "a", [1])
    holder = [Holder("a", warmed_up(1.0), 0.0)]
    assert choose_recall(lender, holder) is None
    lender.lend("a", 1)
    found = choose_recall(lender, holder)
    assert found
    assert found.number == 2
    lease = lender.leases_of("a")[0]
    lender.add_results("a", lease.number, 0, [0], {})
    assert choose_recall(lender, holder) is None, "it is running now"
