"""What leads to a pause: bounds, and shares."""

from __future__ import annotations

import pytest

from pando.scheduler import Conduct, Conducts
from pando.scheduler import conduct as conducts
from pando.scheduler.conduct import FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS


@pytest.mark.parametrize(("results", "is_set_aside"), [(0, True), (296, True), (297, False)])
def test_who_sends_more_than_one_malformed_result_in_a_hundred_is_set_aside(
    results: int, is_set_aside: bool
) -> None:
    """The third one decides; of the results that came, those that are malformed included."""
    conduct = Conduct()
    assert [conduct.sent_malformed(5.0, results) for _ in range(2)] == ["", ""]
    why = conduct.sent_malformed(5.0, results)
    assert why == ("3 of its results were malformed" if is_set_aside else "")
    assert (conduct.paused_until > 5.0) == is_set_aside


def test_the_count_of_malformed_results_begins_anew_after_a_device_was_set_aside() -> None:
    conduct = Conduct()
    told = [conduct.sent_malformed(5.0, 0) for _ in range(6)]
    why = "3 of its results were malformed"
    assert told == ["", "", why, "", "", why]


def test_each_pause_is_twice_the_one_before_up_to_a_bound() -> None:
    """A refusal while it is paused changes nothing; the moment in which the pause ends counts."""
    conduct, now, pauses = Conduct(), 0.0, list[float]()
    for _ in range(12):
        conduct.refused(now)
        pauses.append(conduct.paused_until - now)
        conduct.refused(now)
        now = conduct.paused_until
    doubled = [FIRST_PAUSE_SECONDS * 2**times for times in range(12)]
    assert pauses == pytest.approx([min(pause, MAX_PAUSE_SECONDS) for pause in doubled])


def test_a_pause_is_no_shorter_than_the_time_for_which_items_were_of_no_use() -> None:
    conduct = Conduct()
    conduct.refused(1.0, wasted=7.0)
    assert conduct.paused_until == 8.0


def test_the_conduct_of_those_that_have_been_away_for_longest_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conducts, "MAX_DEVICES", 2)
    known = Conducts()
    first, second = known.of("first"), known.of("second")
    assert known.of("first") is first, "there is room for two"
    third = known.of("third")
    assert [known.of("first"), known.of("third")] == [first, third]
    assert known.of("second") is not second
