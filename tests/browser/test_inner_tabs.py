"""Tabs below tabs: a tab in sight takes others in, and they go on without it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from time import time

import pytest
from playwright.sync_api import BrowserContext, Route

from pando.net.webrtc.ice_servers import CREDENTIAL_SECONDS

from ..processes import GENEROUS_SECONDS
from ..processes import wait_until as wait_for
from ..proxy import Proxy
from ..roots import Party, Root
from ..server.runs import Run, Scene
from .chromium import Chromium, Tab
from .test_webrtc import JAVASCRIPT, carries, connection, links, watch

pytest.importorskip("aiortc")
pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.socket]

OpenTab = Callable[..., Tab]
LONG_IN_SIGHT = """
const now = performance.now.bind(performance);
performance.now = () => now() + 130_000;
"""
"""The page takes itself for one that has been in sight for more than two minutes."""


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Scene(tmp_path) as scene:
        yield scene


@pytest.fixture
def open_tab(chromium: Chromium) -> Iterator[OpenTab]:
    """Opens a link, with one worker, as a page that has long been in sight, and starts it."""
    tabs: list[Tab] = []

    def open_link(
        root: Root | Run,
        name: str,
        *,
        in_sight: bool = True,
        shows_addresses: bool = True,
        words: str = ";protocol=webrtc",
        prepare: Callable[[BrowserContext], object] = lambda context: None,
    ) -> Tab:
        context = chromium.context()
        if shows_addresses:
            # Then they are not hidden behind names, which not every machine here can resolve.
            context.grant_permissions(["camera", "microphone"])
        if in_sight:
            context.add_init_script(LONG_IN_SIGHT)
        prepare(context)
        link = root.link if isinstance(root, Run) else root.printed_link
        tab = Tab(context, f"{link};device={name}{words}")
        tabs.append(tab)
        tab.set_workers(1)
        tab.start()
        return tab

    yield open_link
    for each in tabs:
        each.close()


def wait_until(condition: Callable[[], bool]) -> bool:
    """Whether a condition comes true while a page loads, a function starts and nodes connect."""
    return wait_for(condition, 3 * GENEROUS_SECONDS)


def parents(root: Root) -> dict[str, str]:
    """The name of each device's parent; empty where that is the root."""
    volunteers = root.volunteers()
    names = {volunteer["id"]: name for name, volunteer in volunteers.items()}
    return {name: names.get(each["parent"], "") for name, each in volunteers.items()}


def join_both(root: Root, open_tab: OpenTab, **options: object) -> tuple[Tab, Tab]:
    """Two tabs, the second below the first."""
    first = open_tab(root, "first", **options)
    assert wait_until(lambda: links(root) == {"first": "webrtc"}), (root.monitoring(), first.state)
    second = open_tab(root, "second", **options)
    assert wait_until(lambda: parents(root) == {"first": "", "second": "first"}), (
        root.monitoring(),
        connection(second),
    )
    return first, second


def test_a_tab_below_a_tab(party: Party, open_tab: OpenTab) -> None:
    root = party.root("--start-idle", "--degree=1", items=2000, hold=True, **JAVASCRIPT)
    first, second = join_both(root, open_tab)
    assert wait_until(lambda: "1 device connects through this one" in connection(first))
    assert first.barriers() + second.barriers() == []
    root.release()
    root.finish()
    assert first.says("finished. Thank you!"), first.state
    assert second.says("finished. Thank you!"), second.state
    assert first.results > 0
    assert second.results > 0
    assert first.results + second.results == 2000
    assert not first.problems + second.problems


def test_the_parent_is_closed_and_the_child_goes_on(party: Party, open_tab: OpenTab) -> None:
    root = party.root("--start-idle", "--degree=1", items=4000, hold=True, **JAVASCRIPT)
    first, second = join_both(root, open_tab)
    root.release()
    assert first.computes(20)
    assert second.computes(20)
    first.close()
    assert wait_until(lambda: parents(root) == {"second": ""}), root.monitoring()
    assert root.lines() < 4000
    root.finish()
    assert second.says("finished. Thank you!"), second.state
    assert not second.problems


OUT_OF_SIGHT = """
Object.defineProperty(document, "visibilityState", { get: () => "hidden" });
document.dispatchEvent(new Event("visibilitychange"));
"""
FROZEN = 'document.dispatchEvent(new Event("freeze"));'


@pytest.mark.parametrize(
    "why", ["the person", OUT_OF_SIGHT, FROZEN], ids=["box", "hidden", "frozen"]
)
def test_who_lets_nobody_connect_any_more_hands_them_over(
    party: Party, open_tab: OpenTab, why: str
) -> None:
    root = party.root("--start-idle", "--degree=1", items=12_000, hold=True, **JAVASCRIPT)
    first, second = join_both(root, open_tab)
    assert root.monitoring()["root"]["childrenNb"] == 1
    root.release()
    assert second.computes(20)
    before = first.results
    if why == "the person":
        first["others"].set_checked(False)
    else:
        first.page.evaluate(why)
    assert wait_until(lambda: parents(root) == {"first": "", "second": ""}), root.monitoring()
    assert first.computes(before + 20)
    root.finish()
    for tab in (first, second):
        assert tab.says("finished. Thank you!"), tab.state
        assert not tab.problems


def test_a_page_that_has_just_come_into_sight_takes_nobody(party: Party, open_tab: OpenTab) -> None:
    root = party.root("--start-idle", "--degree=1", items=300, hold=True, **JAVASCRIPT)
    first = open_tab(root, "first", in_sight=False)
    assert wait_until(lambda: links(root) == {"first": "webrtc"}), (root.monitoring(), first.state)
    open_tab(root, "second")
    assert wait_until(lambda: parents(root) == {"first": "", "second": ""}), root.monitoring()
    root.release()
    root.finish()


def test_in_the_network_of_the_root_a_tab_is_asked_for_an_offer(
    party: Party, open_tab: OpenTab
) -> None:
    """There it connects by WebSocket, and so makes none by itself."""
    root = party.root("--start-idle", "--degree=1", items=600, hold=True, **JAVASCRIPT)
    first = open_tab(root, "first", words="")
    assert wait_until(lambda: links(root) == {"first": "websocket"}), root.monitoring()
    second = open_tab(root, "second", words="")
    assert wait_until(lambda: parents(root) == {"first": "", "second": "first"}), (
        root.monitoring(),
        connection(second),
    )
    assert links(root) == {"first": "websocket", "second": "webrtc"}
    root.release()
    root.finish()
    assert first.says("finished. Thank you!"), first.state
    assert not first.problems + second.problems


def test_a_native_node_below_a_tab(party: Party, open_tab: OpenTab) -> None:
    pytest.importorskip("py_mini_racer")
    root = party.root("--start-idle", "--degree=1", items=4000, hold=True, **JAVASCRIPT)
    first = open_tab(root, "first")
    assert wait_until(lambda: links(root) == {"first": "webrtc"}), root.monitoring()
    party.volunteer(root, "native", "--protocol=webrtc", link=root.printed_link)
    assert wait_until(lambda: parents(root) == {"first": "", "native": "first"}), root.monitoring()
    root.release()
    assert first.computes(20)
    first["others"].set_checked(False)
    assert wait_until(lambda: parents(root) == {"first": "", "native": ""}), root.monitoring()
    root.finish()
    assert 0 < first.results < 4000
    assert not first.problems


def test_a_native_node_that_finds_no_other_place_stays_below_a_tab_that_takes_none(
    party: Party, open_tab: OpenTab
) -> None:
    pytest.importorskip("py_mini_racer")
    root = party.root("--start-idle", "--degree=1", items=4000, hold=True, **JAVASCRIPT)
    first = open_tab(root, "first")
    assert wait_until(lambda: links(root) == {"first": "webrtc"}), root.monitoring()
    proxy = Proxy(root)
    try:
        fragment = root.printed_link.partition("#")[2]
        link = f"http://localhost:{proxy.port}/#{fragment}"
        party.volunteer(root, "native", "--protocol=webrtc", link=link)
        below = {"first": "", "native": "first"}
        assert wait_until(lambda: parents(root) == below), root.monitoring()
        root.release()
        assert first.computes(20)
    finally:
        proxy.close()  # it cannot ask the root any more

    def items() -> int:
        return int(root.volunteers().get("native", {}).get("totalItems", 0))

    before = items()
    first["others"].set_checked(False)
    assert wait_until(lambda: items() > before + 300), root.monitoring()
    assert parents(root) == below
    root.finish()
    assert not first.problems


def test_behind_a_public_server_a_tab_takes_another(scene: Scene, open_tab: OpenTab) -> None:
    server = scene.server()
    run, log = watch(scene, server.port, "--degree=1")
    first = open_tab(run, "first", words="")
    assert carries(log, "webrtc"), first.state
    second = open_tab(run, "second", words="")
    through = "1 device connects through this one"
    assert wait_until(lambda: through in connection(first)), (first.state, second.state)
    run.finish()
    for tab in (first, second):
        assert tab.says("finished. Thank you!"), tab.state
        assert tab.results > 0
        assert not tab.problems


# ---- names instead of addresses ----

CONNECT = """
async (answered) => {
  if (answered && window.own) await own.setRemoteDescription({ type: "answer", sdp: answered });
  else {
    window.own = new RTCPeerConnection();
    own.createDataChannel("probe", { negotiated: true, id: 0 });
    if (answered) await own.setRemoteDescription({ type: "offer", sdp: answered });
    await own.setLocalDescription();
    while (own.iceGatheringState !== "complete")
      await new Promise((resolve) => { own.onicegatheringstatechange = resolve; });
  }
  return own.localDescription.sdp;
}
"""
"""One end of a connection: it makes an offer, answers one, or takes an answer."""


def names_are_found(chromium: Chromium, root: Root) -> bool:
    """Whether pages in this browser connect, on this machine, that name no addresses."""
    contexts = [chromium.context() for _ in range(2)]
    try:
        one, other = (context.new_page() for context in contexts)
        for page in (one, other):
            page.goto(root.link)
        offer = one.evaluate(CONNECT, "")
        candidates = [line for line in offer.split("\r\n") if line.startswith("a=candidate")]
        assert all(".local " in line for line in candidates), candidates
        one.evaluate(CONNECT, other.evaluate(CONNECT, offer))
        ended = ("connected", "failed")
        wait_until(lambda: one.evaluate("own.connectionState") in ended)
        return bool(candidates) and one.evaluate("own.connectionState") == "connected"
    finally:
        for context in contexts:
            context.close()


def test_tabs_that_name_no_addresses_find_each_other_by_mdns(
    party: Party, open_tab: OpenTab, chromium: Chromium
) -> None:
    root = party.root("--start-idle", "--degree=1", items=1000, hold=True, **JAVASCRIPT)
    if not names_are_found(chromium, root):
        pytest.skip("this machine does not find the names that Chromium gives by mDNS")
    first, second = join_both(root, open_tab, shows_addresses=False)
    root.release()
    root.finish()
    for tab in (first, second):
        assert tab.says("finished. Thank you!"), tab.state
        assert tab.results > 0
        assert not tab.problems


UNKNOWN_NAMES = r"""
const set = RTCPeerConnection.prototype.setRemoteDescription;
RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
  const unknown = " 00000000-0000-4000-8000-000000000000.local ";
  return set.call(this, { type, sdp: sdp.replace(/ [0-9a-f-]+\.local /g, unknown) });
};
"""


def test_where_names_are_not_found_the_second_tab_gets_another_place(
    party: Party, open_tab: OpenTab
) -> None:
    root = party.root("--start-idle", "--degree=1", items=600, hold=True, **JAVASCRIPT)

    def prepare(context: BrowserContext) -> None:
        context.add_init_script(UNKNOWN_NAMES)

    first = open_tab(root, "first", shows_addresses=False, prepare=prepare)
    assert wait_until(lambda: links(root) == {"first": "webrtc"}), (root.monitoring(), first.state)
    second = open_tab(root, "second", shows_addresses=False, prepare=prepare)
    assert wait_until(lambda: parents(root) == {"first": "", "second": ""}), (
        root.monitoring(),
        connection(second),
    )
    root.release()
    root.finish()
    assert first.results + second.results == 600
    assert not first.problems + second.problems


# ---- passwords for TURN servers ----

SOON = """
const later = self.setTimeout.bind(self);
const said = new BroadcastChannel("pauses");
self.setTimeout = (callback, milliseconds) => {
  if (milliseconds < 3_600_000) return later(callback, milliseconds);
  said.postMessage("");
  return later(callback, 2000);
};
"""
"""Hours are over in two seconds, and the page is told of each such pause that begins."""
NOTE_USERS = """
window.pauses = 0;
const told = new BroadcastChannel("pauses");
told.onmessage = () => { window.pauses += 1; };
const users = (window.users = []);
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(settings) {
    super(settings);
    users.push(...settings.iceServers.map(({ username }) => username).filter(Boolean));
  }
};
"""


def test_a_tab_that_stays_answers_offers_with_passwords_that_are_new(
    party: Party, open_tab: OpenTab, tmp_path: Path
) -> None:
    config = tmp_path / "home" / ".pando" / "config.json"
    config.parent.mkdir(parents=True)
    config.write_text(
        json.dumps({"iceServers": [{"urls": "turn:127.0.0.1:9"}], "turn-secret": "north"})
    )
    options = {"items": 600, "hold": True, "home": tmp_path / "home", **JAVASCRIPT}
    root = party.root("--start-idle", "--degree=1", **options)

    def hurry(route: Route) -> None:
        program = SOON + route.fetch().text()
        route.fulfill(body=program, content_type="text/javascript")

    def prepare(context: BrowserContext) -> None:
        context.add_init_script(NOTE_USERS)
        context.route("**/assets/main-*.js", hurry)

    def expiries(tab: Tab) -> list[int]:
        return [int(user.partition(":")[0]) for user in tab.page.evaluate("users")]

    def pauses() -> int:
        return int(first.page.evaluate("pauses"))

    first = open_tab(root, "first", prepare=prepare)
    # The program is passed on while something is asked of the page.
    assert wait_until(lambda: "Waiting for work" in first.state), first.state
    assert wait_until(lambda: links(root) == {"first": "webrtc"}), (root.monitoring(), first.state)
    assert expiries(first)
    now, before = int(time()), pauses()
    # Another one begins when there are new passwords.
    assert wait_until(lambda: pauses() > before + 1), first.state
    before = len(expiries(first))
    open_tab(root, "second")
    assert wait_until(lambda: parents(root) == {"first": "", "second": "first"}), root.monitoring()
    assert min(expiries(first)[before:]) > now + CREDENTIAL_SECONDS
    root.release()
    root.finish()
    assert not first.problems
