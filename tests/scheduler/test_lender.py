"""The lender's promises, one by one; the names follow the properties of the first such lender."""

from __future__ import annotations

import random

import pytest

from pando.scheduler import AttemptsExhausted, Lender, LenderStatistics, ResultBatch


def squares(items: list[int]) -> list[int]:
    return [item * item for item in items]


def finish(lender: Lender, borrower: object, limit: int = 4) -> None:
    """Let a borrower that never fails compute all that waits."""
    while (lease := lender.lend(borrower, limit)) is not None:
        assert lender.add_results(borrower, lease.number, 0, squares(lease.items), {})


def taken(lender: Lender) -> list[object]:
    results: list[object] = []
    while (run := lender.take()) is not None:
        results += run.values
    return results


def lender_with(count: int, *borrowers: object, ordered: bool = True) -> Lender:
    lender = Lender(ordered=ordered)
    for borrower in borrowers:
        lender.join(borrower)
    lender.add_items(list(range(count)))
    return lender


def test_transparent_no_op_streaming() -> None:
    lender = lender_with(100, "a")
    lender.end_input()
    finish(lender, "a")
    assert taken(lender) == squares(list(range(100)))
    assert lender.finished


def test_property_1_nothing_may_be_read_past_the_window() -> None:
    lender = Lender()
    lender.join("a")
    assert lender.read_limit(10) == 10
    lender.add_items(list(range(10)))
    assert lender.read_limit(10) == 0
    finish(lender, "a", limit=3)
    assert lender.read_limit(10) == 0, "finished is not handed out"
    lender.take()
    assert lender.read_limit(10) == 3


def test_property_2_many_borrowers_coexist() -> None:
    lender = lender_with(9, "a", "b", "c")
    leases = [lender.lend(name, 3) for name in "abc"]
    assert [lease.start for lease in leases if lease] == [0, 3, 6]
    assert lender.statistics().in_flight == 9
    lender.validate_state()


def test_properties_3_and_4_output_ends_after_the_input_and_all_borrowers() -> None:
    lender = lender_with(2, "a", "b")
    first, second = lender.lend("a", 1), lender.lend("b", 1)
    assert first
    assert second
    lender.end_input()
    lender.add_results("a", first.number, 0, [0], {})
    assert taken(lender) == [0]
    assert not lender.finished
    lender.add_results("b", second.number, 0, [1], {})
    assert not lender.finished, "finished, but not handed out"
    assert taken(lender) == [1]
    assert lender.finished


def test_property_5_results_come_in_the_order_of_the_items() -> None:
    lender = lender_with(6, "a", "b")
    slow, fast = lender.lend("a", 3), lender.lend("b", 3)
    assert slow
    assert fast
    lender.add_results("b", fast.number, 0, ["d", "e", "f"], {})
    assert lender.take() is None
    lender.add_results("a", slow.number, 0, ["a"], {})
    lender.add_results("a", slow.number, 2, ["c"], {})
    assert taken(lender) == ["a"]
    lender.add_results("a", slow.number, 1, ["b"], {})
    assert taken(lender) == ["b", "c", "d", "e", "f"]


def test_unordered_results_come_as_they_come() -> None:
    lender = lender_with(4, "a", "b", ordered=False)
    slow, fast = lender.lend("a", 2), lender.lend("b", 2)
    assert slow
    assert fast
    lender.add_results("b", fast.number, 0, ["c", "d"], {})
    assert lender.take() == ResultBatch(2, [2, 3], ["c", "d"], {})


def test_property_6_unfinished_items_of_a_lost_borrower_migrate() -> None:
    lender = lender_with(10, "a", "b")
    lost = lender.lend("a", 6)
    assert lost
    lender.add_results("a", lost.number, 0, squares([0, 1]), {})
    lender.leave("a")
    again = lender.lend("b", 10)
    assert again
    assert (again.start, again.items) == (2, [2, 3, 4, 5]), "what came back goes first"
    assert not lender.add_results("a", lost.number, 2, ["late"], {})
    lender.add_results("b", again.number, 0, squares(again.items), {})
    finish(lender, "b")
    assert taken(lender) == squares(list(range(10)))
    assert lender.statistics().ignored_results == 1
    assert lender.statistics().reassigned == 4


@pytest.mark.parametrize("speeds", [(1, 2, 4), (1, 1, 10)], ids=["fast, medium, slow", "skewed"])
def test_property_7_faster_borrowers_get_more(speeds: tuple[int, ...]) -> None:
    lender = lender_with(600, *speeds_names(speeds))
    held = {name: lender.lend(name, 1) for name in speeds_names(speeds)}
    done = dict.fromkeys(held, 0)
    for tick in range(1, 100):
        for name, speed in zip(speeds_names(speeds), speeds, strict=True):
            lease = held[name]
            if tick % speed == 0 and lease:
                lender.add_results(name, lease.number, 0, squares(lease.items), {})
                done[name] += 1
                held[name] = lender.lend(name, 1)
    counts = list(done.values())
    assert counts == sorted(counts, reverse=True)
    assert counts[0] >= counts[-1] * speeds[-1] * 0.9


def speeds_names(speeds: tuple[int, ...]) -> list[str]:
    return [f"borrower {place}" for place in range(len(speeds))]


def test_property_7_a_greedy_borrower_gets_no_more_than_is_read() -> None:
    lender = lender_with(5, "greedy")
    lease = lender.lend("greedy", 1000)
    assert lease
    assert len(lease.items) == 5
    assert lender.lend("greedy", 1000) is None


def test_properties_8_1_and_8_2_all_is_done_only_when_handed_out() -> None:
    lender = Lender()
    lender.end_input()
    assert lender.finished, "an empty input is done at once, with no borrower at all"
    lender = lender_with(1, "a")
    lender.end_input()
    assert not lender.finished
    assert lender.read_limit(100) == 0


def test_property_8_3_a_borrower_that_comes_late_still_gets_work() -> None:
    lender = lender_with(2, "a")
    lender.end_input()
    lender.lend("a", 2)
    lender.join("late")
    assert lender.lend("late", 1) is None
    lender.leave("a")
    lease = lender.lend("late", 1)
    assert lease
    assert lease.start == 0


def test_three_strikes_fail_the_item_and_no_other() -> None:
    lender = lender_with(3, "a", "b", "c", "d")
    for name in "abc":
        lease = lender.lend(name, 3)
        assert lease
        place = 1 - lease.start
        if place == 0:
            assert lease.items == [1], "an item with strikes is lent alone"
        else:
            assert lender.add_results(name, lease.number, 0, [0], {})
        assert lender.record_crash(name, lease.number, place, "segfault")
        lender.leave(name)
    finish(lender, "d")
    runs = [lender.take(), lender.take(), lender.take()]
    assert [run.failures for run in runs if run] == [{}, {0: AttemptsExhausted(3, "segfault")}, {}]
    assert lender.statistics().strikes == 3


def test_an_item_with_a_strike_goes_to_another_borrower_where_something_else_waits() -> None:
    lender = lender_with(4, "a", "b")
    lease = lender.lend("a", 1)
    other = lender.lend("b", 1)
    assert lease
    assert other
    lender.record_crash("a", lease.number, 0, "lost")
    lender.give_back("b", other.number, 0, 1)
    for_a = lender.lend("a", 1)
    assert for_a
    assert for_a.start == 1
    for_b = lender.lend("b", 1)
    assert for_b
    assert for_b.start == 0


def test_a_result_takes_the_strikes_away() -> None:
    lender = lender_with(1, "a", "b")
    lease = lender.lend("a", 1)
    assert lease
    lender.record_crash("a", lease.number, 0, "lost")
    lease = lender.lend("b", 1)
    assert lease
    lender.add_results("b", lease.number, 0, [0], {})
    lender.validate_state()


def test_what_is_not_the_borrower_s_own_is_refused() -> None:
    lender = lender_with(4, "a", "b")
    lease = lender.lend("a", 4)
    assert lease
    assert not lender.give_back("b", lease.number, 0, 1)
    assert not lender.record_crash("b", lease.number, 0, "lost")
    assert not lender.add_results("b", lease.number, 0, [0], {})
    assert lender.give_back("a", lease.number, 1, 2)
    assert not lender.give_back("a", lease.number, 0, 2), "of these one has gone back already"
    assert lender.has_lease(lease.number)
    assert lease.missing == [(0, 1), (3, 4)]
    assert lender.count_lent("a") == lease.left == lender.lent == 2
    assert lender.add_results("a", lease.number, 3, [9], {})
    assert lender.add_results("a", lease.number, 0, [0], {})
    assert not lender.has_lease(lease.number)
    assert lender.leases_of("a") == []


def test_the_figures_say_where_each_item_is() -> None:
    lender = lender_with(10, "a", "b")
    first, second = lender.lend("a", 3), lender.lend("b", 2)
    assert first
    assert second
    assert first.number != second.number
    lender.add_results("a", first.number, 0, [0, 1], {})
    lender.take()
    lender.add_results("b", second.number, 1, [16], {})
    lender.add_results("b", second.number, 1, [16], {})
    lender.record_crash("a", first.number, 2, "lost")
    assert lender.statistics() == LenderStatistics(
        read=10,
        queued=6,
        in_flight=1,
        finished=1,
        delivered=2,
        borrowers=2,
        reassigned=1,
        ignored_results=1,
        strikes=1,
        doubled=0,
    )
    assert lender.unfinished == 8
    lender.leave("b")
    assert lender.statistics().borrowers == 1
    assert lender.statistics().reassigned == 2


def test_what_comes_back_goes_out_lowest_index_first_and_before_anything_new() -> None:
    lender = lender_with(9, "a", "b", "c")
    leases = [lender.lend(name, 3) for name in "ab"]
    lender.leave("b")
    lender.leave("a")
    assert [lease.start for lease in leases if lease] == [0, 3]
    again = [lender.lend("c", 2) for _ in range(5)]
    assert [(lease.start, lease.items) for lease in again if lease] == [
        (0, [0, 1]),
        (2, [2, 3]),
        (4, [4, 5]),
        (6, [6, 7]),
        (8, [8]),
    ]


def waiting_in(lender: Lender) -> list[int]:
    """The items that wait, in the order in which they are lent."""
    found: list[int] = []
    lender.join("looking")
    while (lease := lender.lend("looking", 100)) is not None:
        found += lease.items
    lender.leave("looking")
    return found


@pytest.mark.parametrize(
    ("low", "high", "taken"),
    [
        (0, 12, [(2, 4), (6, 6)]),
        (3, 5, [(3, 2)]),
        (0, 3, [(2, 1)]),
        (4, 8, [(4, 2), (6, 2)]),
        (6, 7, [(6, 1)]),
        (9, 40, [(9, 3)]),
        (0, 2, []),
        (12, 20, []),
        (5, 5, []),
    ],
)
def test_what_waits_of_some_indices_leaves_the_stream_undone(
    low: int, high: int, taken: list[tuple[int, int]]
) -> None:
    lender = lender_with(12, "a", "b", ordered=False)
    lender.lend("a", 2)
    lender.lend("b", 4)
    lender.leave("b")  # 2 to 5 wait again, 6 to 11 have never been lent
    assert lender.cancel_pending(low, high) == taken
    lender.validate_state()
    gone = {index for start, count in taken for index in range(start, start + count)}
    assert lender.statistics().delivered == len(gone)
    assert lender.waiting == 10 - len(gone)
    assert waiting_in(lender) == sorted(set(range(2, 12)) - gone)
    lender.leave("a")
    assert waiting_in(lender) == sorted(set(range(12)) - gone)


def test_what_waits_before_and_after_what_leaves_goes_on_waiting() -> None:
    lender = lender_with(12, "a", "b", "c", ordered=False)
    for name, size in {"a": 2, "b": 4, "c": 3}.items():
        lender.lend(name, size)
    for name in "abc":
        lender.leave(name)
    assert lender.cancel_pending(3, 5) == [(3, 2)]
    lender.validate_state()
    assert waiting_in(lender) == [0, 1, 2, 5, 6, 7, 8, 9, 10, 11]


def test_after_some_have_left_the_lowest_that_waits_is_still_lent_first() -> None:
    lender = lender_with(7, *range(7), ordered=False)
    for number in range(7):
        lender.lend(number, 1)
    for number in (0, 4, 1, 5, 6, 2, 3):
        lender.leave(number)
    assert lender.cancel_pending(0, 1) == [(0, 1)]
    assert waiting_in(lender) == [1, 2, 3, 4, 5, 6]


def test_nothing_is_remembered_of_what_has_been_lent_twice_and_leaves() -> None:
    lender = lender_with(3, "a", "b", "c", ordered=False)
    lease = lender.lend("a", 1)
    assert lease
    copy = lender.double("b", lease, 1)
    lender.give_back("a", lease.number, 0, 1)
    lender.leave("b", lost="the tab has crashed")
    assert lender.holdings.times_doubled(0) == 1
    assert sorted(lender.cancel_pending(0, 2)) == [(0, 1), (1, 1)]
    assert lender.holdings.times_doubled(copy.start) == 0
    lender.validate_state()
    rest = lender.lend("c", 3)
    assert rest
    assert (rest.items, rest.is_alone) == ([2], False)


def test_the_strikes_of_what_stays_are_kept() -> None:
    lender = lender_with(3, "a", "b", "c", ordered=False)
    for name in "abc":
        lease = lender.lend(name, 1)
        assert lease
        assert lease.start == 0
        if name == "c":
            lender.cancel_pending(1, 3)
        lender.record_crash(name, lease.number, 0, "lost")
    run = lender.take()
    assert run
    assert run.failures == {0: AttemptsExhausted(3, "lost")}


def test_the_strikes_of_what_leaves_are_forgotten() -> None:
    lender = lender_with(3, "a", ordered=False)
    lease = lender.lend("a", 3)
    assert lease
    lender.record_crash("a", lease.number, 1, "lost")
    assert lender.cancel_pending(1, 2) == [(1, 1)]
    lender.validate_state()
    lender.add_results("a", lease.number, 0, [0], {})
    lender.add_results("a", lease.number, 2, [4], {})
    lender.end_input()
    assert taken(lender) == [0, 4]
    assert lender.finished


def test_what_a_lost_device_held_is_suspect_although_another_holds_it_as_well() -> None:
    lender = lender_with(3, "slow", "second", "third", ordered=False)
    lease = lender.lend("slow", 3)
    assert lease
    copy = lender.double("second", lease, 1)
    lender.leave("slow", lost="the tab has crashed")
    assert lender.give_back("second", copy.number, 0, 1)
    lender.validate_state()
    again = lender.lend("third", 3)
    assert again
    assert (again.items, again.is_alone) == ([0], True), "it may be what has ended the device"
    lender.leave("third", lost="the tab has crashed")
    assert lender.statistics().strikes == 1, "it was alone there"


def test_a_suspect_is_lent_a_second_time_alone() -> None:
    lender = lender_with(3, "first", "second", "third", "fourth", ordered=False)
    lease = lender.lend("first", 3)
    assert lease
    copy = lender.double("second", lease, 2)
    assert (copy.items, copy.is_alone) == ([0, 1], False)
    lender.leave("second", lost="the tab has crashed")
    lender.validate_state()
    for name, item in (("third", 0), ("fourth", 1)):
        again = lender.double(name, lease, 2)
        assert (again.items, again.is_alone) == ([item], True)
        lender.validate_state()
        assert lender.add_results(name, again.number, 0, [item], {})
    lender.join("fifth")
    assert lender.double("fifth", lease, 2).items == [2]


def test_what_is_no_suspect_is_lent_a_second_time_without_the_suspect_after_it() -> None:
    lender = lender_with(3, "first", "second", "third", ordered=False)
    lease = lender.lend("first", 3)
    assert lease
    copy = lender.double("second", lease, 2)
    assert lender.give_back("second", copy.number, 0, 1)
    lender.leave("second", lost="the tab has crashed")  # with 1, which is suspect from here on
    again = lender.double("third", lease, 3)
    assert (again.items, again.is_alone) == ([0], False)


def test_items_with_strikes_wait_alone_and_the_others_together() -> None:
    lender = lender_with(6, "a", "b", "c")
    lease = lender.lend("a", 6)
    assert lease
    assert lender.record_crash("a", lease.number, 2, "lost")
    again = lender.lend("b", 6)
    assert again
    assert again.items == [2]
    lender.leave("b")
    lender.leave("a")
    stretches = [lender.lend("c", 6) for _ in range(3)]
    assert [each.items for each in stretches if each] == [[0, 1], [2], [3, 4, 5]]


def test_numbers_of_leases_may_be_shared() -> None:
    numbers = iter(range(7, 100))
    lenders = [Lender(numbers=numbers) for _ in range(2)]
    for lender in lenders:
        lender.join("a")
        lender.add_items([1])
    leases = [lender.lend("a", 1) for lender in lenders]
    assert [lease.number for lease in leases if lease] == [7, 8]
    own = lender_with(1, "a").lend("a", 1)
    assert own
    assert own.number == 1


def test_results_of_a_part_of_a_lease_come_with_its_items() -> None:
    lender = lender_with(8, "a", "b", ordered=False)
    lender.lend("b", 2)
    lease = lender.lend("a", 6)
    assert lease
    assert lender.add_results("a", lease.number, 2, ["x", "y"], {1: "failed"})
    assert lender.take() == ResultBatch(4, [4, 5], ["x", "y"], {1: "failed"})
    assert not lender.add_results("a", lease.number, 2, ["x", "y"], {})
    assert not lender.add_results("a", lease.number, 5, ["x", "y"], {})
    assert not lender.add_results("a", lease.number, 1, [], {})
    assert lender.statistics().ignored_results == 4


def test_a_result_takes_away_the_strikes_of_its_items_alone() -> None:
    lender = lender_with(6, "a", "b", ordered=False)
    lender.lend("b", 1)
    lease = lender.lend("a", 5)
    assert lease
    for offset in (0, 3):
        lender.record_crash("a", lease.number, offset, "lost")
    for expected in (1, 4):
        again = lender.lend("b", 5)
        assert again
        assert again.items == [expected]
        lender.record_crash("b", again.number, 0, "lost")
    lender.add_results("a", lease.number, 1, [0, 0], {})
    again = lender.lend("b", 5)
    assert again
    assert lender.record_crash("b", again.number, 0, "lost")
    failed = [run for run in iter(lender.take, None) if run.failures]
    assert [run.start for run in failed] == [1], "the third loss; item 4 has two"


def test_the_reasons_of_what_failed_count_in_the_bytes_that_wait() -> None:
    lender = Lender(max_attempts=1)
    lender.join("a")
    lender.add_items(["slow", "poison"])
    lease = lender.lend("a", 2)
    assert lease
    lender.record_crash("a", lease.number, 1, "x" * 1000)
    assert lender.finished_bytes == 1000


def test_the_number_of_strikes_can_be_chosen() -> None:
    lender = Lender(max_attempts=1)
    lender.join("a")
    lender.add_items(["poison"])
    lease = lender.lend("a", 1)
    assert lease
    lender.record_crash("a", lease.number, 0, "lost")
    run = lender.take()
    failures = {0: AttemptsExhausted(1, "lost")}
    assert run == ResultBatch(0, ["poison"], [None], failures, size=len("lost"))


@pytest.mark.parametrize("seed", range(40))
def test_random_executions(seed: int) -> None:
    """Many borrowers that are lost at random; the output is that of one that never fails."""
    rng = random.Random(seed)
    count = rng.randrange(1, 200)
    lender = Lender()
    held: list[tuple[int, object]] = []
    alive: list[int] = []
    results: list[object] = []
    read = borrower_count = 0
    while not lender.finished:
        if rng.random() < 0.1 or not alive:
            borrower_count += 1
            alive.append(borrower_count)
            lender.join(borrower_count)
        if read < count:
            more = min(rng.randrange(1, 20), count - read, lender.read_limit(50))
            lender.add_items(list(range(read, read + more)))
            read += more
        else:
            lender.end_input()
        borrower = rng.choice(alive)
        lease = lender.lend(borrower, rng.randrange(1, 9))
        if lease:
            held.append((borrower, lease))
        if held and rng.random() < 0.7:
            borrower, lease = held.pop(rng.randrange(len(held)))
            lender.add_results(borrower, lease.number, 0, squares(lease.items), {})
        if rng.random() < 0.05:
            lender.leave(alive.pop(rng.randrange(len(alive))))
        results += taken(lender)
        lender.validate_state()
    assert results == squares(list(range(count)))
