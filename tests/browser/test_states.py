"""The states of the volunteer page: what each says, and that what it says is true."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Route, ViewportSize, expect

from ..processes import wait_until
from ..roots import Party, Root
from .chromium import Chromium, Tab, link_of
from .conftest import OpenTab

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.socket]

WAKE_LOCK = """
    window.awake = 0;
    const lock = () => ({ onrelease: null, release: async () => { window.awake -= 1; } });
    Object.defineProperty(navigator, "wakeLock", {
        value: { request: async () => { window.awake += 1; return lock(); } },
    });
"""
"""The screen's lock, which headless browsers refuse; the page sees no difference."""
ODD_LANGUAGE = 'Object.defineProperty(navigator, "language", { get: () => "C" });'
SAVING = 'Object.defineProperty(navigator, "connection", { value: { saveData: true } });'
PHONE: ViewportSize = {"width": 360, "height": 740}
LONG_ITEM = """\
import pathlib, sys, time

def pando(x):
    if x == 0 and sys.platform == "emscripten":
        time.sleep(4)
    return x * x
"""
REPORTS = """\
import time
import pando as library

def pando(x):
    time.sleep(0.01)
    library.report(items=2, units="frames")
    return x * x
"""


def link_in(root: Root) -> str:
    """The link that a root prints, with an address of this machine in its network."""
    return next(word for word in root.errors.read_text().split() if re.match(r"https?://", word))


def test_the_end_of_a_run_lasts(party: Party, chromium: Chromium) -> None:
    root = party.root("--start-idle", "--requester=Ada", items=400, seconds=0)
    context = chromium.context()
    context.add_init_script(WAKE_LOCK)
    own = Tab(context, link_of(root.link))
    own.set_workers(1)
    own.start()
    assert wait_until(lambda: own.page.evaluate("awake") == 1)
    root.finish()
    assert own.says("Ada's run is finished. Thank you!"), own.state
    assert own.page.title() == "Ada's run is finished. Thank you! · Pando"
    assert "This device computed 400 values, 100 % of all" in own.state
    assert "You can close this page." in own.state
    assert wait_until(lambda: own.page.evaluate("awake") == 0), "the screen may sleep"
    assert own.barriers() == []
    own.page.wait_for_timeout(3000)
    assert own.says("Ada's run is finished"), own.state
    assert not own["pause"].is_visible()
    own.close()


def test_what_other_devices_did_is_told_from_what_this_one_did(party: Party, tab: OpenTab) -> None:
    root = party.root("--start-idle", items=600, seconds=0.01, hold=True)
    own = tab(root)
    party.volunteer(root, "native")
    assert wait_until(lambda: root.counter("joined") == 2)
    root.release()
    root.finish()
    assert own.says("finished")
    share = re.search(r"computed ([0-9]+) values, ([0-9]+) % of all", own.state)
    assert share, own.state
    assert 0 < int(share[1]) < 600
    assert abs(int(share[2]) - int(share[1]) / 6) <= 0.5


def test_a_link_that_lasts_waits_for_the_next_run_and_says_so(party: Party, tab: OpenTab) -> None:
    first = party.root("--start-idle", "--open", "--requester=Ada", items=50, seconds=0)
    own = tab(first)
    first.finish()
    assert own.says("helps again when Ada starts another run"), own.state
    second = party.root("--start-idle", "--open", items=50, seconds=0, port=first.port)
    second.finish()
    assert own.results == 100


def test_nothing_to_compute_is_said(party: Party, tab: OpenTab) -> None:
    root = party.root("--start-idle", items=50, seconds=0, hold=True)
    own = tab(root)
    assert own.says("Waiting for work"), own.state
    assert own.page.title() == "Waiting for work · Pando"
    assert not own["plot-box"].is_visible(), "there is nothing to show"
    root.release()
    root.finish()


def test_a_long_item_is_work(party: Party, tab: OpenTab) -> None:
    """Nothing says what is not so until it has a result: no share of transfers, no waiting."""
    root = party.root("--start-idle", items=1, module=LONG_ITEM)
    own = tab(root)
    assert own.says("Helping"), own.state
    assert wait_until(lambda: "processor time" in (own["effort"].text_content() or ""))
    assert "Waiting" not in own.state
    assert own.results == 0
    assert own["rate"].text_content() == ""
    assert "transfer" not in own.page.inner_text("body").lower()
    root.finish()


def test_a_device_without_network_says_so_at_once(party: Party, chromium: Chromium) -> None:
    root = party.root("--start-idle", items=100_000, seconds=0.01)
    link = link_in(root)
    if "localhost" in link:
        pytest.skip("this machine has no address but its own")
    own = Tab(chromium.context(), link)
    own.set_workers(1)
    own.start()
    assert own.computes(10)
    own.context.set_offline(True)
    expect(own["state"]).to_have_text("No connection", timeout=2000)
    assert own.barriers() == []
    own.context.set_offline(False)
    expect(own["state"]).to_have_text(re.compile("Helping"), timeout=5000)
    own.close()


def test_a_root_on_this_very_device_needs_no_network(party: Party, tab: OpenTab) -> None:
    root = party.root("--start-idle", items=100_000, seconds=0.01)
    own = tab(root)
    assert own.computes(10)
    own.page.evaluate(
        """() => {
            Object.defineProperty(navigator, "onLine", { get: () => false });
            dispatchEvent(new Event("offline"));
        }"""
    )
    assert own.computes(own.results + 100)
    assert own.says("Helping")


def test_what_the_function_reports_is_added_up_over_pauses(party: Party, tab: OpenTab) -> None:
    root = party.root("--start-idle", items=100_000, module=REPORTS)
    own = tab(root)
    reported = own["reported"]

    def count() -> int:
        return int("0" + "".join(filter(str.isdigit, reported.text_content() or "")))

    assert wait_until(lambda: count() > 40)
    own["pause"].click()
    assert own.says("Paused")
    before = count()
    assert before >= 40
    assert "frames" in (reported.text_content() or "")
    own.start()
    assert own.says("Starting|Joining|Helping")
    assert count() >= before
    assert wait_until(lambda: count() > before + 20)


def test_an_odd_language_costs_the_plot_at_most(party: Party, chromium: Chromium) -> None:
    root = party.root("--start-idle", items=300, seconds=0)
    context = chromium.context()
    context.add_init_script(ODD_LANGUAGE)
    own = Tab(context, link_of(root.link))
    own.set_workers(1)
    own.start()
    root.finish()
    assert own.says("finished. Thank you!"), own.state
    assert not own.problems
    own.close()


def test_without_the_plot_the_page_computes(party: Party, chromium: Chromium) -> None:
    root = party.root("--start-idle", items=300, seconds=0)
    context = chromium.context()
    context.route(re.compile(r"/assets/plot-.*\.js"), lambda route: route.abort())
    own = Tab(context, link_of(root.link))
    own.set_workers(1)
    own.start()
    root.finish()
    assert own.says("finished. Thank you!"), own.state
    assert not own["plot-box"].is_visible()
    own.close()


def answer_wrongly(answer: str, route: Route) -> None:
    """Instead of a program give something else, or nothing."""
    if answer:
        route.fulfill(content_type="text/javascript", body=answer)
    else:
        route.abort()


@pytest.mark.parametrize("broken", [r"/assets/app-.*\.js", r"/assets/index-.*\.js"])
def test_a_program_that_does_not_start_is_a_sentence(
    broken: str, party: Party, chromium: Chromium
) -> None:
    root = party.root("--start-idle", items=1)
    for answer in ("", "this is not a program"):
        context = chromium.context()

        context.route(re.compile(broken), functools.partial(answer_wrongly, answer))
        own = Tab(context, link_of(root.link))
        expect(own["startup"]).to_be_visible()
        expect(own["startup"]).to_contain_text("Load the page again")
        expect(own["card"]).not_to_be_visible()
        own.close()


def test_a_reload_goes_on_a_few_times(party: Party, tab: OpenTab) -> None:
    root = party.root("--start-idle", items=100_000, seconds=0.005)
    own = tab(root, name="reloaded")
    assert own.computes(50)
    for _ in range(3):
        before = own.results
        own.page.reload()
        assert own.computes(before + 20), own.state
    own.page.reload()
    assert own.says("asks for your help"), "something makes it reload again and again"
    assert own["start"].is_visible()
    own.start()
    assert own.computes(own.results + 10)


def test_how_much_is_fetched_is_said_before_it_happens(party: Party, chromium: Chromium) -> None:
    root = party.root("--start-idle", items=100_000)
    context = chromium.context()
    context.add_init_script(SAVING)
    fetched: list[str] = []
    own = Tab(context, "about:blank")
    own.page.on("request", lambda request: fetched.append(request.url))
    own.page.goto(link_of(root.link))
    assert own.says("asks for your help")
    expect(own["assurance-install"]).to_have_text(re.compile(r"[0-9.]+ MB are downloaded, once"))
    own.page.wait_for_timeout(500)
    assert not [url for url in fetched if "pyodide" in url], "this device saves data"
    assert own.page.locator("iframe").count() == len(own.page.workers) == 0, "and prepares nothing"
    held: list[Route] = []
    context.route(re.compile(r"pyodide-.*\.wasm"), lambda route: held.append(route))
    own.set_workers(1)
    own.start()
    expect(own["download-bar"]).to_be_visible()
    expect(own["download-label"]).to_have_text(re.compile(r"of [0-9.]+ MB downloaded"))
    assert own.barriers() == []
    assert wait_until(lambda: own.page.wait_for_timeout(50) is None and bool(held))
    held[0].continue_()
    assert own.computes(1)
    expect(own["download-bar"]).not_to_be_visible()
    own.close()


def test_a_device_that_saves_nothing_has_all_before_it_starts(
    party: Party, chromium: Chromium
) -> None:
    root = party.root("--start-idle", items=10)
    fetched: list[str] = []
    context = chromium.context()
    context.on("requestfinished", lambda request: fetched.append(request.url))
    own = Tab(context, link_of(root.link))
    assert wait_until(
        lambda: (
            own.page.wait_for_timeout(50) is None
            and any("pyodide" in url and ".wasm" in url for url in fetched)
        )
    )
    own.close()


def test_leaving_by_a_link_gives_back_what_is_running(party: Party, tab: OpenTab) -> None:
    root = party.root("--start-idle", "--heartbeat=60000", items=300, module=LONG_ITEM)
    own = tab(root)
    assert own.says("Helping")
    own.page.goto("about:blank")
    assert wait_until(lambda: root.counter("left") == 1), "without a minute of silence"
    assert wait_until(lambda: root.monitoring()["root"]["lent"] == 0)
    own.page.go_back()
    assert own.computes(1), "it goes on when it comes back"


WITHOUT_A_RUN: dict[str, dict[str, object]] = {
    "Preparing": {"type": "notReady", "packages": True},
    "No run at the moment": {"type": "notReady", "packages": False, "reason": "it has ended"},
    "link is incomplete": {"type": "denied", "incomplete": True},
    "link has expired": {"type": "denied", "incomplete": False},
    "This page has stopped": {"type": "untrusted", "reason": "its key is another one"},
}
"""What a page may be told in place of a run, by what it says then."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_states_without_a_run_bar_nobody(
    scheme: str, party: Party, chromium: Chromium, tmp_path: Path
) -> None:
    root = party.root("--start-idle", items=1)
    for words, answer in WITHOUT_A_RUN.items():
        context = chromium.context(color_scheme=scheme, viewport=PHONE)
        context.route(re.compile(r"/run\?id="), functools.partial(answer_with, answer))
        own = Tab(context, link_of(root.link))
        assert own.says(words), own.state
        own.page.screenshot(path=tmp_path / f"{words}.png", full_page=True)
        assert own.barriers() == []
        own.close()


def answer_with(answer: dict[str, object], route: Route) -> None:
    """Instead of the root, tell the page this."""
    route.fulfill(json=answer)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_states_of_a_run_bar_nobody(
    scheme: str, party: Party, chromium: Chromium, tmp_path: Path
) -> None:
    """Beside those that other tests look at: a run is waited for, and a root that is gone."""
    root = party.root("--start-idle", "--requester=Ada", items=100_000, seconds=0, hold=True)
    own = Tab(chromium.context(color_scheme=scheme, viewport=PHONE), link_of(root.link))
    own.set_workers(1)
    own.start()
    for words in ("Waiting for work", "No connection to Ada's computer.* Trying again"):
        assert own.says(words), own.state
        own.page.screenshot(path=tmp_path / f"{words[:13]}.png", full_page=True)
        assert own.barriers() == []
        root.end()
    own.close()


def test_what_is_downloaded_moves_nothing_that_may_be_pressed(
    party: Party, chromium: Chromium
) -> None:
    root = party.root("--start-idle", items=1)
    context = chromium.context(viewport=PHONE)
    held: list[Route] = []
    context.route(re.compile(r"pyodide-.*\.wasm"), lambda route: held.append(route))
    own = Tab(context, link_of(root.link))
    expect(own["download-bar"]).to_be_visible()
    before = own["start"].bounding_box()
    assert wait_until(lambda: own.page.wait_for_timeout(50) is None and bool(held))
    held[0].continue_()
    expect(own["download-bar"]).not_to_be_visible()
    assert own["start"].bounding_box() == before
    own.close()


def test_settings_that_cannot_be_changed_say_why(party: Party, tab: OpenTab) -> None:
    root = party.root("--start-idle", items=100_000, seconds=0.01)
    own = tab(root, start=False)
    expect(own["settings-note"]).not_to_be_visible()
    own.start()
    expect(own["settings-note"]).to_have_text("Pause to change them.")
    expect(own["name"]).to_be_disabled()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_screenshots(scheme: str, party: Party, chromium: Chromium, tmp_path: Path) -> None:
    """No red line in the console, and nothing to bar anybody, where the browser is not trusted.

    An address of the network over plain http is no secure context: much is missing there.
    """
    root = party.root("--start-idle", items=100_000, seconds=0.01)
    for size in ({"width": 360, "height": 740}, {"width": 1200, "height": 800}):
        context: BrowserContext = chromium.context(color_scheme=scheme, viewport=size)
        own = Tab(context, link_in(root))
        assert own.says("asks for your help")
        assert own.page.evaluate("isSecureContext") is ("localhost" in link_in(root))
        assert own.barriers() == []
        own.set_workers(1)
        own.start()
        assert own.computes(10)
        own.page.screenshot(path=tmp_path / f"{size['width']}-{scheme}.png", full_page=True)
        assert own.barriers() == []
        assert not own.problems
        own.close()
