"""The monitoring page in Chromium: devices come and are killed while it is watched."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

import pando

from ..processes import wait_until
from ..roots import Party, Root
from .chromium import Chromium, barriers
from .conftest import OpenTab

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.socket]


def watch(chromium: Chromium, root: Root, **options: object) -> Page:
    """Open the monitoring page. Programs that the page does not run would be seen as errors."""
    page = chromium.context(**options).new_page()
    page.on("pageerror", lambda error: pytest.fail(f"the page failed: {error}"))
    page.goto(f"{root.link}monitoring")
    return page


def row(page: Page, name: str):
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name, exact=True))


def test_devices_come_compute_and_one_is_killed(
    party: Party, tab: OpenTab, chromium: Chromium
) -> None:
    root = party.root("--start-idle", "--reporting-interval=0.3", "--heartbeat=1500", items=200_000)
    page = watch(chromium, root)
    expect(page.get_by_text("No other device has joined yet")).to_be_visible()
    expect(row(page, "this root")).to_contain_text("does not compute")
    first, second = tab(root, name="first tab"), tab(root, name="second tab")
    native = party.volunteer(root, "a native one")
    page.bring_to_front()
    for name, kind in (("first tab", "tab"), ("second tab", "tab"), ("a native one", "native")):
        expect(row(page, name)).to_contain_text("computing", timeout=60_000)
        expect(row(page, name)).to_contain_text(f"{kind} {pando.__version__}")
    before = row(page, "a native one").evaluate("row => row.dataset.id")
    page.evaluate(
        """() => {
            window.shifts = 0;
            new PerformanceObserver((list) => {
                for (const shift of list.getEntries()) window.shifts += shift.value;
            }).observe({ type: "layout-shift" });
        }"""
    )
    native.send_signal(signal.SIGKILL)
    native.wait()
    expect(row(page, "a native one")).to_contain_text("lost", timeout=60_000)
    assert row(page, "a native one").evaluate("row => row.dataset.id") == before
    expect(page.locator("#events")).to_contain_text("a native one · lost")
    assert page.evaluate("window.shifts") == 0
    heights = "rows => rows.map((row) => row.offsetHeight)"
    assert len(set(page.locator("#devices tbody tr").evaluate_all(heights))) == 1
    second.page.close()
    expect(row(page, "second tab")).to_contain_text("lost", timeout=60_000)
    expect(row(page, "first tab")).to_contain_text("computing")
    first.page.close()


def test_a_tab_below_a_node_that_stalls_is_still_heard(
    party: Party, tab: OpenTab, chromium: Chromium
) -> None:
    root = party.root(
        "--start-idle",
        "--degree=1",
        "--global-monitoring",
        "--reporting-interval=0.3",
        "--heartbeat=120000",
        items=200_000,
    )
    page = watch(chromium, root)
    upper = party.volunteer(root, "upper")
    expect(row(page, "upper")).to_contain_text("computing", timeout=60_000)
    phone = tab(root, name="phone")
    expect(row(page, "phone")).to_contain_text("computing", timeout=60_000)
    known = root.volunteers()
    assert known["phone"]["parent"] == known["upper"]["id"]
    expect(page.locator("#reports")).to_contain_text("Over report links: 2 devices")
    expect(row(page, "phone")).to_contain_text("/s at 0:")
    upper.send_signal(signal.SIGSTOP)
    expect(row(page, "phone")).to_contain_text("silent for", timeout=60_000)
    expect(row(page, "phone")).to_contain_text("stalls")
    expect(page.locator("#reports")).to_contain_text("1 stalls: heard there, and not through")
    before = root.volunteers()["phone"]

    def is_heard() -> bool:
        now = root.volunteers()["phone"]
        goes_on = now["globalReport"]["heardAt"] > before["globalReport"]["heardAt"] + 1
        return goes_on and now["heardAt"] == before["heardAt"]

    assert wait_until(is_heard)
    assert barriers(page) == []
    upper.send_signal(signal.SIGCONT)
    expect(row(page, "phone")).not_to_contain_text("stalls", timeout=60_000)
    phone.page.close()


def test_without_report_links_the_page_has_no_place_for_them(
    party: Party, chromium: Chromium
) -> None:
    root = party.root("--workers=1", items=200_000)
    page = watch(chromium, root)
    expect(row(page, "this root")).to_contain_text("computing", timeout=60_000)
    expect(page.locator("#reports")).to_be_hidden()
    expect(page.get_by_role("columnheader", name="Report link")).to_have_count(0)


def test_a_tab_that_is_paused_is_shown_as_paused_and_its_figures_go_on(
    party: Party, tab: OpenTab, chromium: Chromium
) -> None:
    root = party.root("--start-idle", "--reporting-interval=0.3", items=200_000, seconds=0.01)
    page = watch(chromium, root)
    phone = tab(root, name="phone")
    expect(row(page, "phone")).to_contain_text("computing", timeout=60_000)
    assert phone.computes(5)
    phone["pause"].click()
    assert phone.says("Paused")
    expect(row(page, "phone")).to_contain_text("paused")
    expect(page.locator("#workers")).to_have_text("0")
    assert wait_until(lambda: volunteer(root)["held"] == 0), "what it was lent goes back"
    assert wait_until(lambda: volunteer(root)["waiting"]["pause"] > 100)
    own = volunteer(root)
    before = own["totalItems"]
    assert own["state"] == "paused"
    assert before >= 5
    phone["name"].fill("renamed")
    phone.start()
    expect(row(page, "renamed")).to_contain_text("computing", timeout=60_000)
    assert wait_until(lambda: volunteer(root)["totalItems"] > before)
    assert volunteer(root)["id"] == own["id"]
    assert page.locator("#devices tbody tr").count() == 2, "it is the same device as before"
    expect(page.locator("#events")).not_to_contain_text("left")
    phone.page.close()


def volunteer(root: Root) -> dict[str, Any]:
    """What is shown of the only volunteer."""
    (own,) = root.monitoring()["volunteers"].values()
    return dict(own)


def test_a_tab_is_sent_away_stays_away_and_is_let_back(
    party: Party, tab: OpenTab, chromium: Chromium
) -> None:
    root = party.root("--start-idle", "--reporting-interval=0.3", items=200_000)
    page = watch(chromium, root)
    phone = tab(root, name="phone")
    expect(row(page, "phone")).to_contain_text("computing", timeout=60_000)
    expect(row(page, "this root").get_by_role("button")).to_have_count(0)
    page.bring_to_front()
    page.get_by_role("button", name="Send away: phone").press("Enter")
    expect(page.locator("#away-list")).to_contain_text("phone")
    expect(page.locator("#events")).to_contain_text("phone · sent away")
    assert phone.says("has sent this device away")
    phone.page.reload()
    phone.start()
    assert phone.says("has sent this device away")
    assert barriers(page) == []
    page.get_by_role("button", name="Let back: phone").click()
    expect(page.locator("#away")).to_be_hidden()
    phone.page.reload()
    phone.start()
    expect(row(page, "phone")).to_contain_text("computing", timeout=60_000)
    assert page.locator("#devices tbody tr").count() == 2, "it is the same device as before"


def test_seven_tabs_are_all_live(party: Party, chromium: Chromium) -> None:
    """Browsers keep to six connections to a host, but for WebSockets."""
    root = party.root("--workers=1", "--reporting-interval=0.3", items=100_000, seconds=0.01)
    first = watch(chromium, root)
    pages = [first, *(first.context.new_page() for _ in range(6))]
    for page in pages[1:]:
        page.goto(f"{root.link}monitoring")
    for page in pages:
        page.bring_to_front()
        expect(page.locator("#state")).to_contain_text("running for")
        done = page.locator("#done").text_content() or ""
        expect(page.locator("#done")).not_to_have_text(done)


def test_sorting_and_filtering_move_and_hide_rows(party: Party, chromium: Chromium) -> None:
    root = party.root("--start-idle", "--reporting-interval=0.3", items=200_000)
    page = watch(chromium, root)
    for name in ("bee", "ant", "cat"):
        party.volunteer(root, name)
        expect(row(page, name)).to_be_visible(timeout=60_000)
    names = "rows => rows.map((row) => row.cells[0].textContent)"
    rows = page.locator("#devices tbody tr")
    page.get_by_role("button", name="Device", exact=True).click()
    assert rows.evaluate_all(names) == ["ant", "bee", "cat", "this root"]
    header = page.get_by_role("columnheader", name="Device")
    expect(header).to_have_attribute("aria-sort", "ascending")
    page.get_by_role("button", name="Device", exact=True).press("Enter")
    expect(header).to_have_attribute("aria-sort", "descending")
    page.get_by_role("searchbox").fill("native ca")
    expect(rows.filter(visible=True)).to_have_count(1)
    expect(page.locator("#device-count")).to_have_text("1 of 4")


def test_the_root_goes_and_the_page_shows_it_when_it_is_back(
    party: Party, chromium: Chromium
) -> None:
    root = party.root("--start-idle", "--reporting-interval=0.3", items=10)
    page = watch(chromium, root)
    expect(page.locator("#state")).to_contain_text("running for")
    root.end()
    expect(page.locator("#state")).to_contain_text("gone after")
    expect(page.get_by_text("This page shows it when it is back")).to_be_visible()
    party.root("--start-idle", "--reporting-interval=0.3", items=10, port=root.port)
    expect(page.locator("#state")).to_contain_text("running for", timeout=60_000)


def test_the_final_figures_stay(party: Party, chromium: Chromium) -> None:
    root = party.root("--workers=1", items=100, seconds=0.01, hold=True)
    page = watch(chromium, root)
    expect(page.get_by_text("No other device has joined yet")).to_be_visible()
    expect(page.get_by_text("Invite another device")).to_be_visible()
    party.volunteer(root, "helper", "--once")
    expect(row(page, "helper")).to_contain_text("waiting for items", timeout=60_000)
    root.release()
    root.finish()
    for _ in range(2):
        expect(page.locator("#state")).to_contain_text("over after")
        expect(page.locator("#done")).to_have_text("100")
        expect(page.locator("#workers")).to_have_text("2")
        expect(page.get_by_text("These are the final figures.")).to_be_visible()
        for name in ("this root", "helper"):
            expect(row(page, name).get_by_role("cell").first).to_have_text("over")
        expect(page.locator("#events")).not_to_contain_text("left")
        expect(page.get_by_role("button", name="Send away: helper")).to_have_count(0)
        expect(page.get_by_text("Invite another device")).to_be_hidden()
        expect(page.get_by_role("link", name="As JSON")).to_be_hidden()
        page.wait_for_timeout(2000)  # in which it looks whether another run has begun


def test_history_is_downloaded_paused_and_zoomed(
    party: Party, chromium: Chromium, tmp_path: Path
) -> None:
    root = party.root("--workers=1", "--reporting-interval=0.3", items=100_000, seconds=0.01)
    page = watch(chromium, root)
    expect(page.locator("#legend")).to_contain_text("this root")
    assert wait_until(lambda: root.monitoring()["root"]["elapsed"] > 3)
    late = watch(chromium, root)
    expect(late.locator("#legend")).to_contain_text("this root")
    with late.expect_download() as download:
        late.get_by_role("button", name="Download CSV").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines[0] == 'seconds,"this root"'
    assert len(lines) > 5, "a late viewer has the whole history"
    chart = late.locator("#chart")
    expect(late.get_by_role("button", name="Whole run")).to_be_hidden()
    chart.press("+")
    expect(late.get_by_role("button", name="Whole run")).to_be_visible()
    chart.press("Escape")
    expect(late.get_by_role("button", name="Whole run")).to_be_hidden()
    late.get_by_role("button", name="Pause").click()
    done = late.locator("#done").text_content()
    late.wait_for_timeout(1000)
    assert late.locator("#done").text_content() == done
    late.get_by_role("button", name="Go on").press("Enter")
    expect(late.locator("#done")).not_to_have_text(done or "")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_axe_finds_nothing(
    scheme: str, party: Party, chromium: Chromium
) -> None:
    root = party.root("--start-idle", "--reporting-interval=0.3", items=200_000)
    page = watch(chromium, root, color_scheme=scheme, viewport={"width": 360, "height": 740})
    party.volunteer(root, "a device whose name is rather long, longer than most")
    expect(page.locator("#devices tbody tr")).to_have_count(2, timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert barriers(page) == []
