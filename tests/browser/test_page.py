"""The volunteer page as people have it: on phones, by keyboard, and by ear."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from ..roots import Party, Root
from .chromium import Chromium, Tab, link_of

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.socket]

PHONE = {"width": 360, "height": 780}
LONG_NAME = "a_function_whose_name_is_much_too_long_for_the_narrow_screens_of_phones"
FAILS = """\
'''For my <i>thesis</i>, and yours.

More that is not shown.
'''
import time

def pando(x):
    time.sleep(0.002)
    if x % 100 == 3:
        raise ValueError("x" * 300 + " and " * 100)
    return x * x
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    """A run that never ends, with items that fail."""
    with Party(tmp_path_factory.mktemp("root")) as party:
        options = ["--start-idle", "--on-error=skip", "--requester=Zoë & <b>friends</b>"]
        yield party.root(*options, items=1_000_000, module=FAILS, name=f"{LONG_NAME}.py")


def overflow(page: Page) -> int:
    """How many pixels the page is too wide."""
    width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    return int(page.evaluate(width))


def low_targets(page: Page) -> list[str]:
    """What can be pressed and is less than 44 pixels high."""
    return page.locator("button, input, summary, a").evaluate_all(
        """controls => controls
            .filter((each) => each.checkVisibility())
            .map((each) => each.type === "checkbox" ? each.parentElement : each)
            .filter((each) => each.getBoundingClientRect().height < 44)
            .map((each) => each.outerHTML)"""
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_people_can_use_it_on_a_phone(
    scheme: str, root: Root, chromium: Chromium, tmp_path: Path
) -> None:
    context = chromium.context(viewport=PHONE, color_scheme=scheme, is_mobile=True, has_touch=True)
    tab = Tab(context, link_of(root.link, "device=a%20phone"))
    assert tab.says("asks for your help")
    check(tab, tmp_path / "invited.png")
    tab["settings"].locator("summary").tap()
    check(tab, tmp_path / "settings.png")
    tab["start"].tap()
    assert tab.computes(50)
    expect(tab["failure-count"]).to_have_text(re.compile("[0-9]+ items? failed"))
    tab["failure-count"].tap()
    tab.page.get_by_text("What this page does").tap()
    check(tab, tmp_path / "computing.png")
    tab["pause"].tap()
    assert tab.says("Paused")
    check(tab, tmp_path / "paused.png")
    assert not tab.problems
    tab.close()


def check(tab: Tab, screenshot: Path) -> None:
    """A state of the page, as it is shown: axe sees contrast, names, roles and sizes."""
    tab.page.screenshot(path=screenshot, full_page=True)
    assert overflow(tab.page) == 0, "nobody has to scroll sideways"
    assert low_targets(tab.page) == [], "large enough for a thumb"
    assert tab.barriers() == []
    assert tab.page.evaluate(FAINT_EDGES) == [], "what can be pressed has an edge to be seen"


FAINT_EDGES = """() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const luminance = (color) => {
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((part) => part / 255)
            .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = luminance(getComputedStyle(document.body).backgroundColor);
    const contrast = (color) => {
        const [dark, light] = [luminance(color), ground].sort((a, b) => a - b);
        return (light + 0.05) / (dark + 0.05);
    };
    const edge = (each) => each.classList.contains("primary")
        ? getComputedStyle(each).backgroundColor : getComputedStyle(each).borderTopColor;
    return [...document.querySelectorAll("button, input:not([type=checkbox])")]
        .filter((each) => each.checkVisibility() && contrast(edge(each)) < 3)
        .map((each) => each.outerHTML);
}"""
"""Gives the controls whose edges have a contrast below 3:1, which axe does not look at."""


def test_everything_can_be_done_by_keyboard(root: Root, chromium: Chromium) -> None:
    tab = Tab(chromium.context(), root.link)
    assert tab.says("asks for your help")
    press = tab.page.keyboard.press
    press("Tab")
    expect(tab["start"]).to_be_focused()
    press("Tab")
    press("Enter")
    press("Tab")
    expect(tab["name"]).to_be_focused()
    press("Control+A")
    tab.page.keyboard.type("by hand")
    press("Tab")
    expect(tab["workers"]).to_be_focused()
    press("Control+A")
    tab.page.keyboard.type("1")
    press("Enter")
    assert tab.computes()
    expect(tab["pause"]).to_be_focused()
    press("Space")
    assert tab.says("Paused")
    expect(tab["start"]).to_be_focused()
    press("Enter")
    assert tab.says("Helping")
    expect(tab["pause"]).to_be_focused()
    press("Enter")
    assert tab.says("Paused")
    tab.page.reload()
    assert tab.says("asks for your help"), "what was paused does not go on by itself"
    assert tab["name"].input_value() == "by hand", "it is remembered"
    tab.close()


def test_the_page_is_understood_without_being_seen(root: Root, chromium: Chromium) -> None:
    tab = Tab(chromium.context(), root.link)
    page = tab.page
    assert tab.says("asks for your help")
    assert page.title() == "Zoë & <b>friends</b> asks for your help · Pando"
    assert page.locator("html").get_attribute("lang") == "en"
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("Zoë & <b>friends</b> asks for your help")
    expect(tab["about"]).to_have_text("For my <i>thesis</i>, and yours.")
    assert tab["about"].locator("i").count() == 0
    expect(tab["function"]).to_have_text(LONG_NAME)
    expect(page.get_by_role("main")).to_have_count(1)
    expect(page.get_by_role("button", name="Start helping")).to_be_visible()
    page.get_by_text("Settings").click()
    expect(page.get_by_role("textbox", name="Device name")).to_be_visible()
    expect(page.get_by_role("spinbutton", name="Cores")).to_be_visible()
    assert unlabelled(page) == []
    tab.set_workers(1)
    tab.start()
    assert tab.computes()
    assert page.title() == "Helping Zoë & <b>friends</b> · Pando"
    expect(page.get_by_role("status")).to_have_text(re.compile("Helping"))
    expect(page.get_by_role("region", name="What this device does")).to_be_visible()
    expect(page.locator("#plot")).to_have_attribute("aria-hidden", "true")
    expect(page.locator("iframe")).to_have_attribute("title", re.compile("."))
    heard = tab["state"].evaluate_handle(
        """state => {
            const heard = [];
            new MutationObserver(() => heard.push(state.textContent))
                .observe(state, { childList: true, characterData: true, subtree: true });
            return heard;
        }"""
    )
    assert tab.computes(tab.results + 100)
    assert len(heard.json_value()) <= 1, "a screen reader does not say the same again and again"
    tab.close()


def unlabelled(page: Page) -> list[str]:
    """Controls without a name."""
    return page.locator("button, input, summary, a").evaluate_all(
        """controls => controls
            .filter((each) => each.checkVisibility())
            .filter((each) => !(each.labels?.length || each.textContent || each.ariaLabel))
            .map((each) => each.outerHTML)"""
    )
