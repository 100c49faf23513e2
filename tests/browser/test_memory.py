"""A function that takes memory without end: its item fails alone, and the page lives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Playwright

from ..processes import wait_until
from ..roots import Party, Root
from . import firefox
from .chromium import Chromium, Tab, link_of
from .firefox import Firefox

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.socket]

HEAP_MEGABYTES = 128
"""What a heap may take here, so that the machine keeps its memory."""
ITEMS = 30
GREEDY = 7
HOARDS = f"""\
module.exports['/pando/1.0.0'] = function (x, cb) {{
  const kept = []
  while (x === {GREEDY}) kept.push({{ x, more: new Array(1000).fill(x) }})
  cb(null, x * x)
}}
"""
PATIENCE_SECONDS = 240
"""That what ran the function is gone is noticed after some seconds, each of three times."""


@pytest.fixture
def bounded_chromium(
    playwright: Playwright, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Chromium]:
    """A browser whose heaps are small: by itself it lets them have some gigabytes."""
    profile = tmp_path_factory.mktemp("bounded")
    flag = f"--js-flags=--max-old-space-size={HEAP_MEGABYTES}"
    with Chromium(playwright, profile, flag) as chromium:
        yield chromium


@pytest.fixture
def bounded_firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    """A browser whose workers are bounded: by itself it lets them have all that there is."""
    if firefox.FIREFOX is None:
        pytest.skip("there is no Firefox: install it, or set FIREFOX to its program")
    preferences = {"dom.workers.options.mem.max": HEAP_MEGABYTES}
    with Firefox(tmp_path_factory.mktemp("bounded"), **preferences) as browser:
        yield browser


def start_root(party: Party) -> Root:
    options = ["--start-idle", "--on-error=null"]
    return party.root(*options, items=ITEMS, module=HOARDS, name="module.js")


def assert_one_item_failed(root: Root) -> None:
    """Its memory was the reason, and the other items are what they should be."""
    assert wait_until(lambda: root.process.poll() is not None, PATIENCE_SECONDS), (
        root.errors.read_text()
    )
    lines = root.output.read_text().split("\n")
    assert lines[:-1] == ["" if n == GREEDY else str(n * n) for n in range(ITEMS)]
    said = root.errors.read_text()
    lost = f"pando: item {GREEDY} ({GREEDY}): WorkerLost: gave up after 3 workers crashed"
    assert lost in said, said
    assert root.process.returncode == 1


def test_in_chromium(party: Party, bounded_chromium: Chromium) -> None:
    root = start_root(party)
    tab = Tab(bounded_chromium.context(), link_of(root.link, "device=phone"))
    try:
        tab.set_workers(2)
        tab.start()
        assert_one_item_failed(root)
        assert tab.says("finished. Thank you!"), tab.state
        assert tab.results >= ITEMS - 1
    finally:
        tab.close()


def test_in_firefox(party: Party, bounded_firefox: Firefox) -> None:
    root = start_root(party)
    tab = bounded_firefox.open(f"{root.link}#device=phone")
    tab.start(2)
    assert_one_item_failed(root)
    assert tab.says("finished. Thank you!"), tab.state
    assert tab.results >= ITEMS - 1
