"""Tabs that compute for a run: alone, together, and while they come and go."""

from __future__ import annotations

import pytest

from ..processes import wait_until
from ..roots import Party
from .conftest import OpenTab

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.socket]


def test_a_tab_computes_what_the_root_does_not(party: Party, tab: OpenTab) -> None:
    root = party.root("--start-idle", "--reporting-interval=0.2", items=2000, seconds=0)
    own = tab(root, name="my%20phone", start=False)
    assert own["name"].input_value() == "my phone"
    own.start()
    root.finish()
    assert own.says("finished. Thank you!"), own.state
    assert own.results == 2000
    assert not own.problems


def test_tabs_and_a_native_volunteer_compute_together(party: Party, tab: OpenTab) -> None:
    root = party.root("--start-idle", items=600, seconds=0.01, hold=True)
    tabs = [tab(root, name=name) for name in ("one", "two")]
    party.volunteer(root, "native")
    assert wait_until(lambda: root.counter("joined") == 3)
    root.release()
    root.finish()
    done = [each.results for each in tabs]
    assert min(done) > 20
    assert sum(done) < 600 - 20
    assert all(each.says("finished. Thank you!") for each in tabs)
