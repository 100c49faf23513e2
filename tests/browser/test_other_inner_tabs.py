"""Tabs of other browsers than Chromium as inner nodes: Firefox with Chromium, and WebKit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ..processes import GENEROUS_SECONDS
from ..processes import wait_until as wait_for
from ..roots import Party, Root
from . import firefox as installed
from . import webkit
from .chromium import Chromium, Tab
from .firefox import Firefox
from .other_tab import OtherTab
from .test_inner_tabs import LONG_IN_SIGHT, parents
from .test_webrtc import JAVASCRIPT, links
from .webkit import WebKit

pytest.importorskip("aiortc")
pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.socket]

AnyTab = Tab | OtherTab
REAL_ADDRESSES = {"media.peerconnection.ice.obfuscate_host_addresses": False}
"""Firefox names no names instead of addresses, which not every machine here can look up."""
HAS_WEBRTC = "typeof RTCPeerConnection === 'function'"


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    if installed.FIREFOX is None:
        pytest.skip("there is no Firefox: install it, or set FIREFOX to its program")
    with Firefox(tmp_path_factory.mktemp("firefox"), **REAL_ADDRESSES) as browser:
        yield browser


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebKit]:
    if not webkit.IS_THERE:
        pytest.skip("there is no WebKit: install webkit2gtk-driver and xvfb")
    with WebKit(tmp_path_factory.mktemp("webkit")) as browser:
        yield browser


@pytest.fixture
def opened() -> Iterator[list[AnyTab]]:
    """Tabs, which are closed after the test."""
    tabs: list[AnyTab] = []
    yield tabs
    for tab in tabs:
        tab.close()


def wait_until(condition: Callable[[], bool]) -> bool:
    """Whether a condition comes true while a page loads, a function starts and nodes connect."""
    return wait_for(condition, 3 * GENEROUS_SECONDS)


def join_from(browser: Chromium | Firefox | WebKit, root: Root, name: str) -> AnyTab:
    """A tab with one worker, of a page that has long been in sight."""
    link = f"{root.printed_link};device={name};protocol=webrtc"
    if isinstance(browser, Chromium):
        context = browser.context()
        context.grant_permissions(["camera", "microphone"])  # then it names addresses, too
        context.add_init_script(LONG_IN_SIGHT)
        tab = Tab(context, link)
        tab.set_workers(1)
        tab.start()
        return tab
    other = browser.open(link)
    other.evaluate(f"(() => {{ {LONG_IN_SIGHT} }})()")
    other.start(1)
    return other


def connection(tab: AnyTab) -> str:
    """What the page says of its connection."""
    return (
        (tab["connection"].text_content() or "") if isinstance(tab, Tab) else tab.text("connection")
    )


@pytest.mark.parametrize("above", ["Firefox", "Chromium"])
def test_firefox_and_chromium_one_below_the_other_and_the_parent_is_closed(
    party: Party, firefox: Firefox, chromium: Chromium, opened: list[AnyTab], above: str
) -> None:
    browsers = (firefox, chromium) if above == "Firefox" else (chromium, firefox)
    root = party.root("--start-idle", "--degree=1", items=4000, hold=True, **JAVASCRIPT)
    parent = join_from(browsers[0], root, "parent")
    opened.append(parent)
    assert wait_until(lambda: links(root) == {"parent": "webrtc"}), (
        root.monitoring(),
        parent.state,
        connection(parent),
    )
    child = join_from(browsers[1], root, "child")
    opened.append(child)
    assert wait_until(lambda: parents(root) == {"parent": "", "child": "parent"}), (
        root.monitoring(),
        connection(parent),
        connection(child),
    )
    assert links(root) == {"parent": "webrtc", "child": "webrtc"}
    through = "1 device connects through this one"
    assert wait_until(lambda: through in connection(parent)), connection(parent)
    root.release()
    assert parent.computes(20)
    assert child.computes(20)
    opened.remove(parent)
    parent.close()
    assert wait_until(lambda: parents(root) == {"child": ""}), root.monitoring()
    assert root.lines() < 4000
    root.finish()
    assert child.says("finished. Thank you!"), child.state


def test_webkit_without_webrtc_says_so_computes_and_takes_nobody(
    party: Party, other: WebKit, chromium: Chromium, opened: list[AnyTab]
) -> None:
    root = party.root("--start-idle", "--degree=1", items=1000, hold=True, **JAVASCRIPT)
    first = join_from(other, root, "webkit")
    opened.append(first)
    assert isinstance(first, OtherTab)
    if first.evaluate(HAS_WEBRTC):
        pytest.skip(f"WebKit {other.version} has WebRTC here")
    assert wait_until(lambda: links(root) == {"webkit": "websocket"}), (
        root.monitoring(),
        first.state,
    )
    assert wait_until(lambda: "this browser does not have it" in connection(first))
    second = join_from(chromium, root, "chromium")
    opened.append(second)
    assert wait_until(lambda: parents(root) == {"webkit": "", "chromium": ""}), root.monitoring()
    root.release()
    root.finish()
    for tab in (first, second):
        assert tab.says("finished. Thank you!"), tab.state
        assert tab.results > 0
    assert first.results + second.results == 1000
