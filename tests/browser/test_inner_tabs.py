"""Tabs below tabs: a tab in sight takes others in, and they go on without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..processes import GENEROUS_SECONDS
from ..processes import wait_until as wait_for
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
        root: Root | Run, name: str, *, in_sight: bool = True, words: str = ";protocol=webrtc"
    ) -> Tab:
        context = chromium.context()
        # Then addresses are not hidden behind names, which not every machine here can resolve.
        context.grant_permissions(["camera", "microphone"])
        if in_sight:
            context.add_init_script(LONG_IN_SIGHT)
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


def join_both(root: Root, open_tab: OpenTab) -> tuple[Tab, Tab]:
    """Two tabs, the second below the first."""
    first = open_tab(root, "first")
    assert wait_until(lambda: links(root) == {"first": "webrtc"}), (root.monitoring(), first.state)
    second = open_tab(root, "second")
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
