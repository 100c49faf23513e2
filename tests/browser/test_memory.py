"""A function that takes memory without end: its item fails alone, and the page lives."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Playwright

from ..processes import wait_until
from ..roots import Party
from .chromium import Chromium, link_of

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.socket]

HEAP_MEGABYTES = 128
"""What a heap may take here, so that the machine keeps its memory."""
ITEMS = 30
GREEDY = 7
HOARDS = f"""\
module.exports['/pando/1.0.0'] = function (x, cb) {{
  let kept = null
  while (x === {GREEDY}) kept = {{ kept, x }}
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


def test_an_item_that_exhausts_a_heap_fails_alone(party: Party, bounded_chromium: Chromium) -> None:
    """The page lives on. Playwright counts one as crashed when a frame in it has: it asks none."""
    options = ["--start-idle", "--on-error=null"]
    root = party.root(*options, items=ITEMS, module=HOARDS, name="module.js")
    tab = bounded_chromium.open_unattended(quote(link_of(root.link, "start", "device=phone")))
    assert wait_until(lambda: bool(tab.evaluate("!!document.getElementById('state')")))
    tab.evaluate("window.isTheSame = true")
    assert wait_until(lambda: root.process.poll() is not None, PATIENCE_SECONDS), (
        root.errors.read_text()
    )
    lines = root.output.read_text().split("\n")
    assert lines[:-1] == ["" if n == GREEDY else str(n * n) for n in range(ITEMS)]
    said = root.errors.read_text()
    lost = f"pando: item {GREEDY} ({GREEDY}): WorkerLost: gave up after 3 workers crashed"
    assert lost in said, said
    assert root.process.returncode == 1
    says = "document.getElementById('state').innerText"
    assert wait_until(lambda: "finished. Thank you!" in tab.evaluate(says)), tab.evaluate(says)
    assert tab.evaluate("window.isTheSame") is True, "it was not loaded again"
