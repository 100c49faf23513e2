"""A function that takes memory without end: its item fails alone, and the page lives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Playwright

from ..roots import Party
from . import firefox
from .chromium import Chromium, Tab, link_of
from .firefox import Firefox

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.socket]

HEAP_MEGABYTES = 128
"""What a heap may take here: the browser's own limit is some gigabytes."""
ITEMS = 60
GREEDY = (7, 31)
HOARDS = """\
module.exports['/pando/1.0.0'] = function (x, cb) {
  const kept = []
  while (GREEDY.includes(x)) kept.push({ x, more: new Array(1000).fill(x) })
  cb(null, x * x)
}
""".replace("GREEDY", str(list(GREEDY)))


@pytest.fixture
def bounded(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A browser whose heaps are small, so that the machine keeps its memory."""
    profile = tmp_path_factory.mktemp("bounded")
    flag = f"--js-flags=--max-old-space-size={HEAP_MEGABYTES}"
    with Chromium(playwright, profile, flag) as chromium:
        yield chromium


def test_an_item_that_exhausts_its_heap_fails_alone(party: Party, bounded: Chromium) -> None:
    options = ["--start-idle", "--on-error=null"]
    root = party.root(*options, items=ITEMS, module=HOARDS, name="module.js")
    tab = Tab(bounded.context(), link_of(root.link, "device=phone"))
    try:
        tab.set_workers(2)
        tab.start()
        assert root.process.wait(120) == 1, root.errors.read_text()
        said = root.errors.read_text()
        print(said, tab.state, tab.problems)
        lines = root.output.read_text().split("\n")
        assert lines[:-1] == ["" if n in GREEDY else str(n * n) for n in range(ITEMS)]
        for item in GREEDY:
            assert f"pando: item {item} ({item}): WorkerLost: gave up after 3 workers" in said
        assert tab.says("finished. Thank you!"), tab.state
        assert tab.results >= ITEMS - len(GREEDY)
    finally:
        tab.close()


@pytest.fixture
def bounded_firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    """The same of a browser that has no limit of its own."""
    if firefox.FIREFOX is None:
        pytest.skip("there is no Firefox: install it, or set FIREFOX to its program")
    preferences = {"dom.workers.options.mem.max": HEAP_MEGABYTES}
    with Firefox(tmp_path_factory.mktemp("bounded"), **preferences) as browser:
        yield browser


def test_the_same_in_firefox_where_its_workers_are_bounded(
    party: Party, bounded_firefox: Firefox
) -> None:
    options = ["--start-idle", "--on-error=null"]
    root = party.root(*options, items=ITEMS, module=HOARDS, name="module.js")
    tab = bounded_firefox.open(f"{root.link}#device=phone")
    tab.start(2)
    assert root.process.wait(120) == 1, root.errors.read_text()
    said = root.errors.read_text()
    print(said, tab.state)
