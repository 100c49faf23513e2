"""The uplink: a parent's leases as a stream of its own, and the way back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pando import messages, values
from pando.errors import MalformedValueError
from pando.scheduler import AttemptsExhausted, ResultBatch
from pando.source import WouldBlock
from pando.tree import uplink
from pando.tree.uplink import RawCodec, Uplink, split_values


def lend(number: int, *items: Any) -> messages.Lend:
    return messages.Lend(number, msgspec.Raw(values.encode(list(items))))


def raw(*items: Any) -> list[msgspec.Raw]:
    return [msgspec.Raw(values.encode(item)) for item in items]


def told(answers: list[messages.Message]) -> list[tuple[Any, ...]]:
    """Answers as tuples: results with their decoded values."""
    found: list[tuple[Any, ...]] = []
    for answer in answers:
        if isinstance(answer, messages.Results):
            found.append((answer.lease, answer.offset, values.decode(answer.values)))
        elif isinstance(answer, messages.ReturnItems):
            found.append(("back", answer.lease, answer.offset, answer.count))
        elif isinstance(answer, messages.ItemCrashed):
            found.append(("struck", answer.lease, answer.offset))
    return found


def test_results_go_back_to_their_leases() -> None:
    up = Uplink("device")
    up.add(lend(7, 1, 2, 3))
    up.add(lend(9, 4, 5))
    assert list(up.read_nowait(10)) == raw(1, 2, 3)
    assert list(up.read_nowait(10)) == raw(4, 5)
    with pytest.raises(WouldBlock):
        up.read_nowait(1)
    run = ResultBatch(2, raw(3, 4), raw(9, 16), {})
    assert told(up.answer(run, 0.5)) == [(7, 2, [9]), (9, 0, [16])]


def test_what_is_recalled_before_it_is_read_takes_no_place_in_the_stream() -> None:
    up = Uplink("device")
    up.add(lend(1, "a", "b", "c"))
    up.add(lend(2, "d"))
    assert list(up.read_nowait(1)) == raw("a")
    answer, unstarted = up.recall(messages.Recall(1))
    assert answer == messages.ReturnItems(1, 1, 2)
    assert unstarted == (0, 1)
    assert list(up.read_nowait(5)) == raw("d")
    assert told(up.answer(ResultBatch(1, raw("d"), raw("D"), {}), 0)) == [(2, 0, ["D"])]


def test_a_lease_may_be_read_in_parts_and_answered_over_the_end_of_another() -> None:
    up = Uplink("device")
    up.add(lend(7, 0, 1, 2))
    up.add(lend(9, 3, 4, 5, 6))
    assert [list(up.read_nowait(limit)) for limit in (1, 2, 1, 2, 9)] == [
        raw(0),
        raw(1, 2),
        raw(3),
        raw(4, 5),
        raw(6),
    ]
    assert told(up.answer(ResultBatch(0, raw(0), raw("a"), {}), 0)) == [(7, 0, ["a"])]
    assert told(up.answer(ResultBatch(1, raw(*range(4)), raw(*"bcde"), {}), 0)) == [
        (7, 1, ["b", "c"]),
        (9, 0, ["d", "e"]),
    ]
    assert told(up.answer(ResultBatch(5, raw(5, 6), raw(*"fg"), {}), 0)) == [(9, 2, ["f", "g"])]


def test_a_lease_is_forgotten_once_all_of_it_is_answered_and_not_before() -> None:
    up = Uplink("device")
    up.add(lend(1, "a", "b", "c"))
    up.read_nowait(3)
    first, last = (
        ResultBatch(0, raw("a", "b"), raw("A", "B"), {}),
        ResultBatch(2, raw("c"), raw("C"), {}),
    )
    assert told(up.answer(first, 0)) == [(1, 0, ["A", "B"])]
    with pytest.raises(MalformedValueError):
        up.add(lend(1, "d"))
    assert told(up.answer(last, 0)) == [(1, 2, ["C"])]
    assert up.answer(last, 0) == []
    up.add(lend(1, "d"))
    assert list(up.read_nowait(1)) == raw("d")


def test_what_is_recalled_is_cancelled_as_far_as_it_has_been_read() -> None:
    up = Uplink("device")
    up.add(lend(1, "a", "b"))
    assert up.recall(messages.Recall(1)) == (messages.ReturnItems(1, 0, 2), None)
    up.add(lend(2, "c", "d"))
    up.read_nowait(2)
    assert up.recall(messages.Recall(2)) == (None, (0, 2))


def test_a_lost_worker_s_item_is_told_apart_from_the_results_around_it() -> None:
    up = Uplink("device")
    up.add(lend(1, *range(4)))
    up.read_nowait(4)
    failures = {1: AttemptsExhausted(1, "killed"), 2: messages.Failure("ValueError", "no")}
    run = ResultBatch(0, raw(0, 1, 2, 3), raw(0, None, None, 9), failures)
    answers = up.answer(run, 0.5)
    assert told(answers) == [(1, 0, [0]), ("struck", 1, 1), (1, 2, [None, 9])]
    assert answers[1] == messages.ItemCrashed(1, 1, "killed")
    assert isinstance(answers[2], messages.Results)
    assert answers[2].seconds == 2 * 0.5
    assert answers[2].failures == {0: messages.Failure("ValueError", "no", "", "device")}


def test_several_lost_workers_items_part_the_results_of_each_lease() -> None:
    up = Uplink("device")
    up.add(lend(1, *range(5)))
    up.add(lend(2, *range(5, 9)))
    for _ in range(2):
        up.read_nowait(9)
    lost, why = AttemptsExhausted(1, "killed"), messages.Failure("ValueError", "no")
    failures = {1: why, 2: lost, 4: lost, 5: lost, 7: lost}
    results = [None if place in failures else raw(place)[0] for place in range(9)]
    answers = up.answer(ResultBatch(0, raw(*range(9)), results, failures), 0)
    assert told(answers) == [
        (1, 0, [0, None]),
        ("struck", 1, 2),
        (1, 3, [3]),
        ("struck", 1, 4),
        ("struck", 2, 0),
        (2, 1, [6]),
        ("struck", 2, 2),
        (2, 3, [8]),
    ]
    told_failures = [each.failures for each in answers if isinstance(each, messages.Results)]
    named = messages.Failure("ValueError", "no", "", "device")
    assert told_failures == [{1: named}, {}, {}, {}]


def test_failures_go_with_the_half_of_the_results_that_they_belong_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uplink, "MAX_VALUES_BYTES", 92)
    up = Uplink("device")
    up.add(lend(1, *range(6)))
    up.read_nowait(6)
    results = [*raw("x" * 40), None, *raw("y" * 40), None, None, *raw("z")]
    failures = {place: messages.Failure("E", str(place)) for place in (1, 3, 4)}
    answers = up.answer(ResultBatch(0, raw(*range(6)), results, failures), 0)
    assert told(answers) == [(1, 0, ["x" * 40, None, "y" * 40]), (1, 3, [None, None, "z"])]
    reasons = [
        {place: why.reason for place, why in each.failures.items()}
        for each in answers
        if isinstance(each, messages.Results)
    ]
    assert reasons == [{1: "1"}, {0: "3", 1: "4"}]


def test_results_of_just_the_size_that_is_allowed_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    results = raw("x" * 50, "y" * 50)
    monkeypatch.setattr(uplink, "MAX_VALUES_BYTES", len(RawCodec.encode(results)))
    monkeypatch.setattr(uplink, "MAX_VALUE_BYTES", len(RawCodec.encode(results)))
    up = Uplink("device")
    up.add(lend(1, 0, 1))
    up.read_nowait(2)
    answers = up.answer(ResultBatch(0, raw(0, 1), results, {}), 0)
    assert told(answers) == [(1, 0, ["x" * 50, "y" * 50])]
    assert isinstance(answers[0], messages.Results)
    assert answers[0].failures == {}


def test_results_that_come_whole_go_on_as_they_are_with_their_failures() -> None:
    up = Uplink("device")
    up.add(lend(1, 0, 1))
    up.read_nowait(2)
    encoded = msgspec.msgpack.encode([7, None])  # with the shortest head
    why = messages.Failure("ValueError", "no", "", "another device")
    results = RawCodec.decode(msgspec.Raw(encoded))
    (answer,) = up.answer(ResultBatch(0, raw(0, 1), results, {1: why}), 0)
    assert isinstance(answer, messages.Results)
    assert (bytes(answer.values), answer.failures) == (encoded, {1: why})


def test_large_results_part_and_too_large_ones_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink, "MAX_VALUES_BYTES", 100)
    monkeypatch.setattr(uplink, "MAX_VALUE_BYTES", 400)
    up = Uplink("device")
    up.add(lend(1, *range(4)))
    up.read_nowait(4)
    large = ["x" * 60, "y" * 60, "z" * 500, "w"]
    answers = up.answer(ResultBatch(0, raw(*range(4)), raw(*large), {}), 0)
    assert told(answers) == [(1, 0, ["x" * 60]), (1, 1, ["y" * 60]), (1, 2, [None]), (1, 3, ["w"])]
    assert isinstance(answers[2], messages.Results)
    assert "503 bytes" in answers[2].failures[0].reason
    assert answers[2].failures[0].type == "UnsupportedValueError"


def test_an_item_that_nobody_below_takes_fails_with_its_reason() -> None:
    up = Uplink("device")
    up.add(lend(1, 0, 1))
    up.read_nowait(2)
    why = messages.Failure("UnsupportedValueError", "it is too large")
    answers = up.answer(ResultBatch(1, raw(1), [None], {0: why}), 0)
    assert told(answers) == [(1, 1, [None])]
    assert isinstance(answers[0], messages.Results)
    assert answers[0].failures[0].reason == "it is too large"


def test_what_leaves_undone_goes_back_to_each_of_its_leases() -> None:
    up = Uplink("device")
    up.add(lend(1, "a", "b"))
    up.add(lend(2, "c"))
    up.add(lend(3, "d", "e"))
    for _ in range(3):
        up.read_nowait(9)
    assert told(list(up.give_back(1, 3))) == [
        ("back", 1, 1, 1),
        ("back", 2, 0, 1),
        ("back", 3, 0, 1),
    ]
    assert up.give_back(5, 1) == [], "there is no such item"
    assert told(up.answer(ResultBatch(4, raw("e"), raw("E"), {}), 0)) == [(3, 1, ["E"])]


def test_stale_results_and_senseless_leases() -> None:
    up = Uplink("device")
    why = r"^a lease without items, or a lease's number used again$"
    with pytest.raises(MalformedValueError, match=why):
        up.add(lend(1))
    up.add(lend(1, "a"))
    with pytest.raises(MalformedValueError, match=why):
        up.add(lend(1, "b"))
    up.read_nowait(1)
    up.close()
    assert up.answer(ResultBatch(0, raw("a"), raw("A"), {}), 0) == []
    assert up.recall(messages.Recall(1)) == (None, None)


def test_items_that_another_borrower_of_the_parent_has_as_well_are_known_by_their_lease() -> None:
    up = Uplink("device")
    up.add(lend(1, "a", "b"))
    up.add(messages.Lend(2, lend(2, "c").items, is_copy=True))
    up.read_nowait(2)
    up.read_nowait(1)
    assert [up.is_copy(index) for index in range(4)] == [False, False, True, False]


@given(st.lists(st.none() | st.integers() | st.text() | st.lists(st.integers())))
def test_the_raw_codec_never_looks_inside(items: list[Any]) -> None:
    encoded = RawCodec.encode(raw(*items))
    assert values.decode(encoded) == items
    assert list(RawCodec.decode(msgspec.Raw(encoded))) == raw(*items)


@given(st.lists(st.integers(-(2**63), 2**64 - 1)), st.integers(0, 20), st.integers(0, 20))
def test_values_that_are_passed_on_whole_are_not_taken_apart(
    items: list[int], low: int, high: int
) -> None:
    encoded = msgspec.msgpack.encode(items)  # with the shortest head, as others may write it
    packed = RawCodec.decode(msgspec.Raw(encoded))
    assert len(packed) == len(items)
    if items:
        assert packed[:] is packed
        assert RawCodec.encode(packed[: len(items) + 5]) == encoded
    assert list(packed[low:high]) == raw(*items[low:high])
    assert values.decode(RawCodec.encode(packed[low:])) == items[low:]


@pytest.mark.parametrize("size", [0, 15, 16, 65_535, 65_536])
def test_arrays_of_each_size(size: int) -> None:
    packed = RawCodec.decode(msgspec.Raw(msgspec.msgpack.encode([7] * size)))
    assert len(packed) == len(list(packed)) == size


@pytest.mark.parametrize("encoded", [b"\x01", b"\x80", b"\xc0", b"\xa1x", b""])
def test_what_is_no_array_is_malformed(encoded: bytes) -> None:
    with pytest.raises(MalformedValueError, match=r"^not an array of values$"):
        RawCodec.decode(msgspec.Raw(encoded))


def test_values_are_split_without_a_look_inside() -> None:
    encoded = msgspec.Raw(values.encode([1, [2, 3], "x"]))
    assert split_values(encoded) == raw(1, [2, 3], "x")
    with pytest.raises(MalformedValueError, match="not an array of values: "):
        split_values(msgspec.Raw(b"\x92\x01"))
