"""The volunteer page in Firefox and in WebKit, whatever version of them is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..processes import wait_until
from ..roots import Party, free_port
from . import firefox, probes, webkit
from .chromium import Chromium, Tab
from .firefox import Firefox
from .other_site import OtherSite
from .other_tab import PATIENCE_SECONDS, OtherTab
from .webkit import WebKit

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.socket]

Browser = Firefox | WebKit
SQUARE_LATER = """\
module.exports["/pando/1.0.0"] = (x, cb) => setTimeout(() => cb(null, x * x), 5);
"""
ENDLESS = """\
import sys

def pando(x):
    while sys.platform == "emscripten" and x == 0: pass
    return x * x
"""

NETWORK = {probe.__name__ for probe in probes.NETWORK} - {"start_worker"}
"""A worker that cannot be started is an error only later in some browsers."""

EMPTY_STORES = {"Firefox": set(), "WebKit": {"open_cache -"}}
"""What an origin that is nobody's has of its own, and empty, in some browsers."""


@pytest.fixture(scope="module", params=["firefox", "webkit"])
def browser(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "firefox":
        if firefox.FIREFOX is None:
            pytest.skip("there is no Firefox: install it, or set FIREFOX to its program")
        with Firefox(folder) as browser:
            yield browser
    else:
        if not webkit.IS_THERE:
            pytest.skip("there is no WebKit: install webkit2gtk-driver and xvfb")
        with WebKit(folder) as other:
            yield other


@pytest.fixture(autouse=True)
def _say_the_version(browser: Browser, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"[{browser.name} {browser.version}]", end=" ", flush=True)


@pytest.fixture
def opened(browser: Browser) -> Iterator[list[OtherTab]]:
    """Tabs, which are closed after the test."""
    tabs: list[OtherTab] = []
    yield tabs
    for tab in tabs:
        tab.close()


def test_webrtc(party: Party, browser: Browser, opened: list[OtherTab]) -> None:
    pytest.importorskip("aiortc")
    root = party.root("--start-idle", items=500, module=SQUARE_LATER, name="later.js", hold=True)
    tab = browser.open(f"{root.printed_link};device=tab;protocol=webrtc")
    opened.append(tab)
    tab.start(2)
    has = tab.evaluate("typeof RTCPeerConnection === 'function'")
    kind = "webrtc" if has else "websocket"

    def links() -> list[str]:
        return [volunteer["link"] for volunteer in root.volunteers().values()]

    assert wait_until(lambda: links() == [kind], PATIENCE_SECONDS), (
        links(),
        tab.text("connection"),
    )
    says = "Connected directly" if has else "this browser does not have it"
    assert wait_until(lambda: says in tab.text("connection")), tab.text("connection")
    root.release()
    root.finish()
    assert tab.says("finished. Thank you!"), tab.state
    assert tab.results == 500


def test_webrtc_with_chromium_on_one_run(
    party: Party, browser: Browser, opened: list[OtherTab], chromium: Chromium
) -> None:
    pytest.importorskip("aiortc")
    root = party.root("--start-idle", items=1000, module=SQUARE_LATER, name="later.js", hold=True)
    other = browser.open(f"{root.printed_link};device=other;protocol=webrtc")
    opened.append(other)
    other.start(2)
    tab = Tab(chromium.context(), f"{root.printed_link};device=chromium;protocol=webrtc")
    try:
        tab.set_workers(1)
        tab.start()
        has = other.evaluate("typeof RTCPeerConnection === 'function'")
        expected = {"other": "webrtc" if has else "websocket", "chromium": "webrtc"}

        def links() -> dict[str, str]:
            return {name: each["link"] for name, each in root.volunteers().items()}

        assert wait_until(lambda: links() == expected, PATIENCE_SECONDS), links()
        root.release()
        root.finish()
        assert other.says("finished. Thank you!"), other.state
        assert tab.says("finished. Thank you!"), tab.state
        assert other.results > 0
        assert tab.results > 0
        assert other.results + tab.results >= 1000
    finally:
        tab.close()


def test_javascript(party: Party, browser: Browser, opened: list[OtherTab]) -> None:
    root = party.root("--start-idle", items=500, module=SQUARE_LATER, name="later.js", hold=True)
    tab = browser.open(root.link)
    opened.append(tab)
    tab.start(2)
    assert tab.says("Waiting for work"), tab.state
    root.release()
    root.finish()
    assert tab.says("finished. Thank you!"), tab.state
    assert tab.results == 500


def test_python_and_the_end_of_the_run(
    party: Party,
    browser: Browser,
    opened: list[OtherTab],
) -> None:
    root = party.root("--start-idle", "--requester=Ada", items=2000, seconds=0)
    tab = browser.open(root.link)
    opened.append(tab)
    tab.start()
    root.finish()
    assert tab.says("Ada's run is finished. Thank you! This device computed 2,000 values"), (
        tab.state
    )


def test_the_sandbox(party: Party, browser: Browser, opened: list[OtherTab]) -> None:
    port = free_port()
    with OtherSite() as site:
        items = [
            *(f"{name} http://{site.address}/" for name in NETWORK),
            *(f"{name} http://localhost:{port}/node" for name in NETWORK),
            *(f"{probe.__name__} -" for probe in probes.PAGE),
        ]
        module = Path(probes.__file__).read_text()
        root = party.root(
            "--start-idle", "--strings", "--timeout=20", items=items, module=module, port=port
        )
        tab = browser.open(root.link)
        opened.append(tab)
        tab.start()
        assert root.process.wait(120) == 0, root.errors.read_text()
        assert not site.requests
    answers = [line.split() for line in root.output.read_text().splitlines()]
    assert len(answers) == len(items)
    assert {answer[0] for answer in answers} == {"null"}, "it has no origin"
    reached = {item for item, answer in zip(items, answers, strict=True) if answer[1] != "no"}
    assert reached <= EMPTY_STORES[browser.name]


@pytest.mark.parametrize("how", ["a link", "closing"])
def test_leaving_gives_back_what_is_running(
    how: str, party: Party, browser: Browser, opened: list[OtherTab]
) -> None:
    """At once, not after a minute of silence: an engine may suspend the page's workers."""
    root = party.root("--start-idle", "--heartbeat=60000", items=200, module=ENDLESS)
    tab = browser.open(root.link)
    tab.start()
    assert wait_until(lambda: root.monitoring()["root"]["lent"] > 0)
    if how == "closing":
        tab.close()
    else:
        opened.append(tab)
        tab.evaluate("location.assign('about:blank')")
    assert wait_until(lambda: root.counter("left") == 1, 5), "it gives back what it has"
    party.volunteer(root, "native")
    root.finish()
