"""What leads to a pause: bounds, and shares."""

from __future__ import annotations

import pytest

from pando.scheduler import Conduct


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
