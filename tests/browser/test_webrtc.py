"""Tabs that are connected by WebRTC: at the root, below it, and through a public server."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..processes import GENEROUS_SECONDS
from ..processes import wait_until as wait_for
from ..roots import Party, Root
from ..server.runs import SECRET, Run, Scene
from .chromium import Chromium, Tab

pytest.importorskip("aiortc")
pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.socket]

OpenTab = Callable[[str], Tab]
LARGE_BYTES = 64_000_000
DIRECTLY = "Connected directly, by WebRTC."
NOT_DIRECTLY = "There is no connection by WebRTC"
SQUARE_LATER = """\
module.exports["/pando/1.0.0"] = (x, cb) => setTimeout(() => cb(null, x * x), 5);
"""
LARGE = """\
module.exports["/pando/1.0.0"] = (x, cb) =>
  cb(null, Number(x) > 0 ? "ab".repeat(x / 2) : [x.length, x[0], x.at(-1)]);
"""


JAVASCRIPT = {"module": SQUARE_LATER, "name": "later.js"}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Scene(tmp_path) as scene:
        yield scene


@pytest.fixture
def open_tab(chromium: Chromium) -> Iterator[OpenTab]:
    """Opens a link as a person with one worker does, and starts it."""
    tabs: list[Tab] = []

    def open_link(link: str) -> Tab:
        tab = Tab(chromium.context(), link)
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


def links(root: Root) -> dict[str, str]:
    """What carries each device's link to its parent, by name."""
    return {name: volunteer["link"] for name, volunteer in root.volunteers().items()}


def connection(tab: Tab) -> str:
    """What the page says of its connection."""
    return tab["connection"].text_content() or ""


def watch(scene: Scene, port: int, *options: str) -> tuple[Run, Path]:
    """A run at a server of this machine, and the file with its monitoring."""
    log = scene.folder / "monitoring"
    log.touch()
    given = [f"--secret={SECRET}", "--start-idle", f"--monitoring-log={log}", *options]
    interval = "--reporting-interval=0.3"
    host = f"localhost:{port}"
    run = scene.run(host, *given, interval, items=range(600), source=SQUARE_LATER, suffix=".js")
    return run, log


def start_changed(
    scene: Scene, chromium: Chromium, script: str, words: str = ""
) -> tuple[Run, Path, Tab]:
    """A run, its monitoring, and a tab that joins it in a browser that a script has changed."""
    run, log = watch(scene, scene.server().port)
    context = chromium.context()
    context.add_init_script(script)
    tab = Tab(context, f"{run.link};device=tab{words}")
    tab.start()
    return run, log, tab


def carries(log: Path, kind: str) -> bool:
    """Whether the monitoring soon has a link of this kind."""
    return wait_until(lambda: f'"link":"{kind}"' in log.read_text().replace('": "', '":"'))


def test_a_tab_behind_a_public_server_changes_over_and_nothing_is_lost(
    scene: Scene, open_tab: OpenTab
) -> None:
    server = scene.server()
    run, log = watch(scene, server.port)
    tab = open_tab(f"{run.link};device=tab")
    assert carries(log, "webrtc"), tab.state
    assert wait_until(lambda: connection(tab) == DIRECTLY), connection(tab)
    run.finish()
    assert tab.says("finished. Thank you!"), tab.state
    assert tab.results >= len(run.items)
    assert not tab.problems


@pytest.mark.parametrize(
    ("of_run", "of_link", "says"),
    [
        ("websocket", "", "Connected through a server"),
        ("websocket", ";protocol=webrtc", "the run does not take part in it"),
        ("auto", ";protocol=websocket", "Connected through a server"),
    ],
)
def test_a_tab_that_is_to_use_websockets_stays_on_the_relay(
    scene: Scene, open_tab: OpenTab, of_run: str, of_link: str, says: str
) -> None:
    server = scene.server()
    run, log = watch(scene, server.port, f"--protocol={of_run}")
    tab = open_tab(f"{run.link};device=tab{of_link}")
    assert carries(log, "websocket"), tab.state
    assert wait_until(lambda: says in connection(tab)), connection(tab)
    run.finish()
    assert '"webrtc"' not in log.read_text()
    assert not tab.problems


def test_the_server_may_go_once_the_tab_is_connected_directly(
    scene: Scene, open_tab: OpenTab
) -> None:
    server = scene.server()
    run, log = watch(scene, server.port)
    tab = open_tab(f"{run.link};device=tab")
    assert carries(log, "webrtc"), tab.state
    assert wait_until(lambda: connection(tab) == DIRECTLY), connection(tab)
    server.kill()
    before = run.lines()
    run.rest.set()
    assert wait_until(lambda: run.lines() > before + 100), run.said
    assert connection(tab) == DIRECTLY


def test_the_link_says_how_to_connect_to_the_root(party: Party, open_tab: OpenTab) -> None:
    root = party.root("--start-idle", items=1000, hold=True, **JAVASCRIPT)
    tab = open_tab(f"{root.printed_link};device=tab;protocol=webrtc")
    assert wait_until(lambda: links(root) == {"tab": "webrtc"}), root.monitoring()
    assert wait_until(lambda: connection(tab) == DIRECTLY), connection(tab)
    root.release()
    root.finish()
    assert tab.says("finished. Thank you!"), tab.state
    assert tab.results == 1000
    assert not tab.problems


def test_a_tab_in_the_network_of_its_root_needs_no_data_channel(
    party: Party, open_tab: OpenTab
) -> None:
    root = party.root("--start-idle", items=300, hold=True, **JAVASCRIPT)
    tab = open_tab(f"{root.printed_link};device=tab")
    assert wait_until(lambda: links(root) == {"tab": "websocket"}), root.monitoring()
    assert wait_until(lambda: connection(tab) == "Connected by WebSocket."), connection(tab)
    root.release()
    root.finish()


def join_below(party: Party, root: Root) -> subprocess.Popen[bytes]:
    """A native volunteer that has the root's only place."""
    parent = party.volunteer(root, "parent", "--protocol=webrtc", link=root.printed_link)
    assert wait_until(lambda: links(root) == {"parent": "webrtc"}), links(root)
    return parent


def test_a_tab_below_a_native_node(party: Party, open_tab: OpenTab) -> None:
    pytest.importorskip("py_mini_racer")
    root = party.root("--start-idle", "--degree=1", items=1000, hold=True, **JAVASCRIPT)
    join_below(party, root)
    tab = open_tab(f"{root.printed_link};device=tab;protocol=webrtc")
    assert wait_until(lambda: links(root) == dict.fromkeys(("parent", "tab"), "webrtc")), (
        links(root),
        connection(tab),
    )
    assert root.monitoring()["root"]["childrenNb"] == 1
    root.release()
    root.finish()
    assert 0 < tab.results < 1000
    assert not tab.problems


def test_a_killed_parent_leaves_a_tab_that_falls_back_and_nothing_is_lost(
    party: Party, open_tab: OpenTab
) -> None:
    pytest.importorskip("py_mini_racer")
    options = ["--start-idle", "--degree=1", "--heartbeat=3000"]
    root = party.root(*options, items=3000, hold=True, **JAVASCRIPT)
    parent = join_below(party, root)
    tab = open_tab(f"{root.printed_link};device=tab;protocol=webrtc")
    assert wait_until(lambda: len(links(root)) == 2), links(root)
    root.release()
    assert tab.computes(20)
    parent.kill()
    assert wait_until(lambda: links(root) == {"tab": "webrtc"}), (links(root), tab.state)
    assert root.lines() < 3000
    root.finish()
    assert tab.says("finished. Thank you!"), tab.state


def test_a_tab_that_is_closed_gives_its_items_back_at_once(
    party: Party, open_tab: OpenTab, chromium: Chromium
) -> None:
    root = party.root("--start-idle", "--heartbeat=60000", items=2000, hold=True, **JAVASCRIPT)
    link = f"{root.printed_link};protocol=webrtc;device="
    first = Tab(chromium.context(), f"{link}first")
    first.set_workers(1)
    first.start()
    assert wait_until(lambda: links(root) == {"first": "webrtc"}), links(root)
    second = open_tab(f"{link}second")
    assert wait_until(lambda: len(links(root)) == 2), links(root)
    root.release()
    assert first.computes(20)
    first.close()
    assert wait_until(lambda: links(root) == {"second": "webrtc"}), links(root)
    root.finish()
    assert second.says("finished. Thank you!"), second.state


def test_values_of_64_megabytes_come_and_go(party: Party, open_tab: OpenTab) -> None:
    large = "ab" * (LARGE_BYTES // 2)
    items = [str(LARGE_BYTES), large]
    root = party.root("--start-idle", items=items, module=LARGE, name="large.js", hold=True)
    tab = open_tab(f"{root.printed_link};device=tab;protocol=webrtc")
    assert wait_until(lambda: links(root) == {"tab": "webrtc"}), root.monitoring()
    root.release()
    assert root.process.wait(12 * GENEROUS_SECONDS) == 0, root.errors.read_text()
    result, told = root.output.read_text().splitlines()
    assert result.strip("\"'") == large
    assert re.findall(r"\w+", told) == [str(LARGE_BYTES), "a", "b"]
    assert tab.says("finished. Thank you!"), tab.state
    assert tab.results == 2


def test_where_the_browser_has_no_webrtc_the_page_says_so(scene: Scene, chromium: Chromium) -> None:
    script = "delete window.RTCPeerConnection"
    run, log, tab = start_changed(scene, chromium, script, ";protocol=webrtc")
    assert carries(log, "websocket"), tab.state
    assert wait_until(lambda: "this browser does not have it" in connection(tab)), connection(tab)
    run.finish()
    tab.close()


def test_where_udp_finds_no_way_the_tab_stays_on_the_relay_and_says_so(
    scene: Scene, chromium: Chromium
) -> None:
    # Its offers and answers have no addresses, as where a firewall drops all of UDP.
    run, log, tab = start_changed(
        scene,
        chromium,
        """
        const set = RTCPeerConnection.prototype.setRemoteDescription;
        RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
          const kept = sdp.split("\\r\\n").filter((line) => !line.startsWith("a=candidate"));
          const lost = kept.join("\\r\\n").replace(/a=ice-pwd:./, "a=ice-pwd:Q");
          return set.call(this, { type, sdp: lost });
        };
        """,
    )
    assert wait_until(lambda: NOT_DIRECTLY in connection(tab)), connection(tab)
    assert "the devices cannot reach each other by UDP" in connection(tab)
    assert carries(log, "websocket")
    run.finish()
    assert tab.says("finished. Thank you!"), tab.state
    assert '"webrtc"' not in log.read_text()
    tab.close()


def test_where_the_data_channel_cannot_be_transferred_the_page_passes_its_frames_on(
    scene: Scene, chromium: Chromium
) -> None:
    run, log, tab = start_changed(
        scene,
        chromium,
        """
        const post = MessagePort.prototype.postMessage;
        MessagePort.prototype.postMessage = function (message, transfer) {
          if (message?.type === "channel") throw new DOMException("no", "DataCloneError");
          return post.call(this, message, transfer);
        };
        """,
    )
    assert carries(log, "webrtc"), tab.state
    assert wait_until(lambda: connection(tab) == DIRECTLY), connection(tab)
    run.finish()
    assert tab.says("finished. Thank you!"), tab.state
    assert not tab.problems
    tab.close()
