"""Credit, the window and recalls: plain arithmetic, told times."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pando.scheduler import MAX_BATCH_ITEMS, Credit, Holder, Lender, Window, choose_recall
from pando.scheduler.credit import MAX_BATCH_BYTES, TARGET_SECONDS


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


def test_short_items_travel_in_large_batches_and_long_ones_alone() -> None:
    assert warmed_up(1e-7).batch_size() == MAX_BATCH_ITEMS
    assert warmed_up(0.001).batch_size() == round(TARGET_SECONDS / 0.001)
    assert warmed_up(10.0).batch_size() == 1


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
def test_items_that_are_not_too_long_travel_in_pairs(
    item_seconds: float, workers: int, batch: int, held: int
) -> None:
    credit = warmed_up(item_seconds, workers, messages=4, target_seconds=0.1, pair_seconds=2.0)
    assert credit.batch_size() == batch
    assert credit.may_hold(batch) == held


def test_pairs_part_towards_the_end() -> None:
    credit = warmed_up(1.0, messages=4, target_seconds=0.1, pair_seconds=2.0)
    assert credit.batch_size(remaining=40, borrowers=10) == 2
    assert credit.batch_size(remaining=20, borrowers=10) == 1
    assert credit.may_hold(1) == 2


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


def test_large_items_travel_in_small_batches() -> None:
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
    lease = choose_recall(lender, [Holder("busy", warmed_up(1e-6), silence)], asked)
    return lease.number if lease else None


def test_what_waits_behind_a_long_item_is_recalled() -> None:
    assert recall_from(items=2, leases=2, silence=1.0, asked=set()) == 2
    assert recall_from(items=2, leases=1, silence=1.0, asked=set()) == 1


def test_nothing_is_recalled_needlessly() -> None:
    assert recall_from(items=2, leases=2, silence=0.0, asked=set()) is None, "done in a moment"
    assert recall_from(items=1, leases=1, silence=9.0, asked=set()) is None, "it is running"
    assert recall_from(items=2, leases=1, silence=9.0, asked={1}) is None, "asked already"
