"""Tabs and browsers that are closed, killed, stopped and hidden, and roots that go."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Playwright

from ..processes import wait_until
from ..roots import Party, Root
from .chromium import Chromium, Tab, link_of
from .conftest import OpenTab

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.socket]

STUCK_IN_BROWSERS = """\
import sys, time

def pando(x):
    if sys.platform == "emscripten" and x == 0:
        while True: pass
    return x * x
"""
SLOW_SQUARE = """\
module.exports["/pando/1.0.0"] = (x, cb) => setTimeout(() => cb(null, x * x), 10);
"""


def test_a_tab_is_closed_in_the_middle_of_an_item(party: Party, tab: OpenTab) -> None:
    root = party.root("--start-idle", items=300, module=STUCK_IN_BROWSERS)
    own = tab(root)
    assert wait_until(lambda: root.monitoring()["root"]["lent"] > 0)
    own.page.close()
    assert wait_until(lambda: root.counter("left") == 1)
    party.volunteer(root, "native")
    root.finish()


def test_a_browser_is_stopped_and_comes_back_and_is_killed(
    party: Party, playwright: Playwright, tmp_path: Path
) -> None:
    root = party.root("--start-idle", "--heartbeat=1500", items=500, seconds=0.01)
    with Chromium(playwright, tmp_path / "profile") as chromium:
        own = Tab(chromium.context(), link_of(root.link))
        own.set_workers(1)
        own.start()
        assert wait_until(lambda: root.lines() > 20)
        chromium.signal(signal.SIGSTOP)
        assert wait_until(lambda: root.counter("left") == 1), "silence is noticed"
        before = root.lines()
        chromium.signal(signal.SIGCONT)
        assert wait_until(lambda: root.counter("joined") == 2), "it comes back"
        assert wait_until(lambda: root.lines() > before + 20), "and computes"
        chromium.signal(signal.SIGKILL)
        assert wait_until(lambda: root.counter("left") == 2)
    party.volunteer(root, "native")
    root.finish()


def test_a_root_goes_and_another_comes_at_its_place(party: Party, tab: OpenTab) -> None:
    first = party.root("--start-idle", items=100_000, module=SLOW_SQUARE, name="slow.js")
    own = tab(first)
    assert own.computes(20)
    assert own["language"].text_content() == "JavaScript"
    first.end()
    assert own.says("No connection to .*Trying again in [0-9]+ s"), own.state
    assert own.barriers() == []
    second = party.root("--start-idle", "--requester=Ada", items=100, port=first.port)
    own["try-now"].click()
    second.finish()
    assert own.says("Ada's run is finished. Thank you!"), own.state
    assert own["function"].text_content() == "module"
    assert own["language"].text_content() == "Python"
    assert own.results >= 120
    assert [said for said in own.problems if "WebSocket" not in said] == []


def test_a_hidden_tab_computes(party: Party, playwright: Playwright, tmp_path: Path) -> None:
    root = party.root("--start-idle", items=100_000, seconds=0.002)
    with Chromium(playwright, tmp_path / "profile") as chromium:
        tab = chromium.open_unattended(quote(link_of(root.link, "start", "device=hidden")))
        chromium.open_unattended("about:blank")
        assert tab.evaluate("document.visibilityState") == "hidden"
        assert wait_until(lambda: root.lines() > 0)
        before, start = root.lines(), time.monotonic()
        assert wait_until(lambda: root.lines() > before + 1000)
        assert (time.monotonic() - start) < 10
        assert tab.evaluate("document.visibilityState") == "hidden"


def test_pausing_and_resuming_are_obeyed_at_once(party: Party, tab: OpenTab) -> None:
    root = party.root("--start-idle", items=100_000, seconds=0.02)
    own = tab(root)
    assert own.computes(10)
    own["pause"].click()
    assert own.says("Paused")
    assert root.monitoring()["root"]["childrenNb"] == 1, "it keeps its place"
    assert_silent(root, own)
    assert own["start"].text_content() == "Resume"
    assert own["rate"].text_content() == "", "nothing is computed"
    before = own.results
    own.start()
    assert own.computes(before + 10)
    assert root.counter("joined") == 1


def assert_silent(root: Root, tab: Tab) -> None:
    """Nobody computes any more, and nothing is held back."""
    assert wait_until(lambda: root.monitoring()["root"]["lent"] == 0)
    before, done = root.lines(), tab.results
    assert done == before, "all that was done was delivered"
    tab.page.wait_for_timeout(300)
    assert (root.lines(), tab.results) == (before, done)
