"""The lender's promises, one by one; the names follow the properties of the first such lender."""

from __future__ import annotations

import random

import pytest

from pando.scheduler import Lender, ResultRun, StruckOut


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
    assert lender.statistics().lent == 9
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
    assert lender.take() == ResultRun(2, [2, 3], ["c", "d"], {})


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
    assert lender.statistics().relent == 4


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
        assert lender.strike(name, lease.number, place, "segfault")
        lender.leave(name)
    finish(lender, "d")
    runs = [lender.take(), lender.take(), lender.take()]
    assert [run.failures for run in runs if run] == [{}, {0: StruckOut(3, "segfault")}, {}]
    assert lender.statistics().strikes == 3


def test_an_item_with_a_strike_goes_to_another_borrower_where_something_else_waits() -> None:
    lender = lender_with(4, "a", "b")
    lease = lender.lend("a", 1)
    other = lender.lend("b", 1)
    assert lease
    assert other
    lender.strike("a", lease.number, 0, "lost")
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
    lender.strike("a", lease.number, 0, "lost")
    lease = lender.lend("b", 1)
    assert lease
    lender.add_results("b", lease.number, 0, [0], {})
    lender.validate_state()


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
