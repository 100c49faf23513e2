"""What is known of single items, of leases, and of items that are lent twice."""

from __future__ import annotations

from typing import Any

import pytest

from pando.scheduler import AttemptsExhausted, Lease, Lender
from pando.scheduler.attempts import RETURN_SECONDS, Source
from pando.scheduler.item_records import ItemRecords
from pando.scheduler.returned import ReturnedItems


def lender_with(count: int, *borrowers: str, **options: Any) -> Lender:
    lender = Lender(**options)
    for borrower in borrowers:
        lender.join(borrower, Source(borrower, borrower))
    lender.add_items(list(range(count)))
    return lender


def lend(lender: Lender, borrower: str, limit: int) -> Lease:
    lease = lender.lend(borrower, limit)
    assert lease is not None
    return lease


def missing(lease: Lease) -> list[int]:
    return [lease.start + place for low, high in lease.missing for place in range(low, high)]


def test_a_lease_says_which_items_it_is_of() -> None:
    lease = lend(lender_with(9, "a"), "a", 4)
    assert repr(lease) == "<Lease 1: items 0 to 3, 4 missing>"


# ---- items that are too large for some ----


def too_large(sizes: dict[int, int]) -> Lender:
    """A lender whose items wait, some of which are known to be of these sizes."""
    lender = lender_with(max(sizes) + 1, "a")
    lender.set_sizes(lend(lender, "a", max(sizes) + 1), sizes)
    return lender


def test_nothing_is_known_of_most_items() -> None:
    records = ItemRecords()
    assert (records.size_of(7), records.count_larger(0)) == (0, 0)


def test_an_item_may_be_as_large_as_what_can_be_sent() -> None:
    lender = too_large({0: 100, 1: 101})
    assert lender.count_larger(100) == 1
    assert lend_all(lender, max_bytes=100) == [[0]]


def lend_all(lender: Lender, max_bytes: int) -> list[list[Any]]:
    lent = []
    while (lease := lender.lend("a", 9, max_bytes)) is not None:
        lent.append(list(lease.items))
    return lent


def test_what_is_larger_than_anybody_can_take_fails_and_nothing_else() -> None:
    lender = too_large({0: 100, 1: 101, 2: 102})
    assert lender.fail_larger(100, lambda size: f"{size} bytes") == 2
    assert lender.waiting == 1
    assert lend_all(lender, max_bytes=100) == [[0]]
    lender.add_results("a", lender.leases_of("a")[0].number, 0, ["done"], {})
    failures = dict[int, Any]()
    while (batch := lender.take()) is not None:
        failures |= {batch.start + place: why for place, why in batch.failures.items()}
    assert failures == {1: "101 bytes", 2: "102 bytes"}


@pytest.mark.parametrize("others", [0, 30])
def test_what_is_known_of_some_items_is_forgotten_and_of_no_others(others: int) -> None:
    """Whether few are forgotten of many that are known, or many of few."""
    records = ItemRecords()
    records.sizes = dict.fromkeys([4, 5, 9, 14, 15, *range(100, 100 + others)], 1)
    records.forget(5, 10)
    assert set(records.sizes) == {4, 15, *range(100, 100 + others)}


def test_items_that_are_kept_apart_are_counted() -> None:
    returned = ReturnedItems()
    for index in (3, 1, 2):
        returned.push_apart(index, {"cannot": "be ordered"})
    assert returned.size == 3
    assert [index for index, _ in returned.take_apart_where(lambda index: index > 1)] == [2, 3]
    assert (returned.size, list(returned.indices())) == (1, [1])


# ---- items that are lent twice ----


def test_what_is_given_back_beside_an_item_that_another_holds_too_waits_again() -> None:
    lender = lender_with(4, "a", "b")
    lease = lend(lender, "a", 4)
    lender.double("b", lease, 3)
    lender.give_back("a", lease.number, 2, 2)  # of which the other one has the first
    assert lender.waiting == 1
    lender.validate_state()
    lender.give_back("a", lease.number, 0, 2)
    assert lender.waiting == 1, "the other one has both"
    lender.validate_state()


def test_what_is_given_back_before_an_item_that_another_holds_too_is_no_more_than_that() -> None:
    lender = lender_with(4, "a", "b")
    lease = lend(lender, "a", 4)
    lender.add_results("a", lease.number, 0, [0, 0], {})
    lender.double("b", lease, 1)  # item 2
    lender.give_back("a", lease.number, 3, 1)
    lender.validate_state()
    assert (lender.waiting, missing(lease)) == (1, [2])


def test_an_item_that_fails_while_another_holds_it_too_ends_there_and_nothing_else_does() -> None:
    lender = lender_with(3, "a", "b", "c", max_attempts=1)
    first, other = lend(lender, "a", 1), lend(lender, "c", 2)
    second = lender.double("b", first, 1)
    assert lender.record_crash("a", first.number, 0, "it crashed")
    assert lender.take_superseded() == [second]
    assert missing(other) == [1, 2]
    batch = lender.take()
    assert batch is not None
    assert isinstance(batch.failures[0], AttemptsExhausted)
    lender.validate_state()
    assert lender.holdings.devices_before(0) == []


def test_of_results_that_another_was_faster_with_in_part_the_others_count() -> None:
    lender = lender_with(6, "a", "b")
    lease = lend(lender, "a", 6)
    copy = lender.double("b", lease, 3)
    assert lender.add_results("b", copy.number, 1, ["b1"], {})
    failures = {0: "a failed 0", 1: "a failed 1", 2: "a failed 2", 4: "a failed 4"}
    values = [f"a{index}" for index in range(5)]
    assert lender.add_results("a", lease.number, 0, values, failures, size=500)
    lender.validate_state()
    results, told, sizes = list[Any](), dict[int, Any](), dict[int, int]()
    while (batch := lender.take()) is not None:
        results += batch.values
        told |= {batch.start + place: why for place, why in batch.failures.items()}
        sizes[batch.start] = batch.size
    assert results == ["a0", "b1", "a2", "a3", "a4"]
    assert told == {0: "a failed 0", 2: "a failed 2", 4: "a failed 4"}
    assert sizes == {0: 100, 1: 0, 2: 300}


def test_the_results_of_a_later_part_count_as_well() -> None:
    lender = lender_with(6, "a", "b")
    lease = lend(lender, "a", 6)
    copy = lender.double("b", lease, 4)
    lender.add_results("b", copy.number, 3, ["b3"], {})
    assert lender.add_results("a", lease.number, 2, ["a2", "a3", "a4"], {0: "failed", 2: "failed"})
    lender.add_results("a", lease.number, 0, ["a0", "a1"], {})
    lender.add_results("a", lease.number, 5, ["a5"], {})
    results, told = list[Any](), list[int]()
    while (batch := lender.take()) is not None:
        results += batch.values
        told += [batch.start + place for place in batch.failures]
    assert results == ["a0", "a1", "a2", "b3", "a4", "a5"]
    assert told == [2, 4]


def test_what_waits_is_counted_as_it_comes_and_goes() -> None:
    returned = ReturnedItems()
    returned.push(0, ["a", "b", "c"])
    returned.push_apart(7, "h")
    assert returned.pop(2, lambda index: True) == (0, ["a", "b"], False)
    assert returned.size == 2
    assert returned.pop(2, lambda index: True) == (2, ["c"], False)
    assert returned.pop(2, lambda index: True) == (7, ["h"], True)
    assert returned.size == 0


def test_what_a_lost_device_held_before_an_item_that_is_kept_apart_is_lent_in_groups_too() -> None:
    lender = lender_with(32, "a", "b", "c")
    lease = lend(lender, "a", 32)
    copy = lender.double("b", lease, 12)
    lender.record_crash("b", copy.number, 11, "it crashed")
    lender.give_back("b", copy.number, 0, 11)
    lender.leave("a", lost="it was lost")
    groups = [list(lend(lender, "c", 9).items) for _ in range(4)]
    assert groups == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10], [11]]


def test_items_that_another_holds_too_part_what_is_given_back_with_them() -> None:
    lender = lender_with(7, "a", "b")
    lend(lender, "b", 3)
    lease = lend(lender, "a", 4)
    copy = lender.double("b", lease, 2)
    lender.give_back("b", copy.number, 0, 1)
    lender.give_back("a", lease.number, 0, 4)
    lender.validate_state()
    assert [list(lend(lender, "a", 9).items) for _ in range(2)] == [[3], [5, 6]]
    assert missing(copy) == [4]


def test_what_is_given_back_up_to_an_item_that_another_holds_too_leaves_that_alone() -> None:
    lender = lender_with(5, "a", "b")
    lease = lend(lender, "a", 5)
    copy = lender.double("b", lease, 4)
    lender.give_back("b", copy.number, 0, 3)
    lender.give_back("a", lease.number, 1, 2)
    lender.validate_state()
    assert (missing(lease), missing(copy)) == ([0, 3, 4], [3])


# ---- devices that are lost ----


def test_a_borrower_without_a_source_is_a_device_of_its_own() -> None:
    lender = Lender()
    for borrower in "ab":
        lender.join(borrower)
    devices = {holder.source.device for holder in lender.holdings.holders.values()}
    assert devices == {"a", "b"}


def lose(lender: Lender, device: str, now: float, **options: Any) -> None:
    """Let a device be lost while it holds the only item."""
    lender.join(device, Source(device, device))
    lend(lender, device, 1)
    lender.leave(device, now, lost=f"{device} is gone", **options)


def test_an_item_that_ends_device_after_device_fails_with_how_the_last_one_was_lost() -> None:
    lender = lender_with(1)
    for number, device in enumerate("abcd"):
        assert lender.take() is None
        lose(lender, device, 10.0 + number)
    batch = lender.take()
    assert batch is not None
    assert batch.failures[0] == AttemptsExhausted(3, "d is gone")


def test_devices_that_may_come_back_count_when_they_have_not_for_a_while() -> None:
    lender = lender_with(1)
    for number, device in enumerate("abcd"):
        lose(lender, device, 10.0 + number, may_return=True)
    assert lender.take() is None
    assert lender.waiting == 1
    lose(lender, "e", 10.0 + 2 * RETURN_SECONDS)
    assert lender.take() is not None


def test_an_item_is_no_suspect_any_more_when_all_that_it_was_thought_to_have_ended_are_back() -> (
    None
):
    lender = lender_with(1)
    lose(lender, "a", 1.0)
    lose(lender, "b", 2.0)
    lender.join("c", Source("c", "c"))
    for device, is_alone in (("a", True), ("b", False)):
        lender.join(device, Source(device, device))
        lease = lend(lender, "c", 1)
        assert lease.is_alone == is_alone
        lender.give_back("c", lease.number, 0, 1)
