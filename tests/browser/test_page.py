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
        options = ["--start-idle", "--on-error=skip", "--asker=Zoë & <b>friends</b>"]
        yield party.root(*options, items=1_000_000, module=FAILS, name=f"{LONG_NAME}.py")


def overflow(page: Page) -> int:
    """How many pixels the page is too wide."""
    width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    return int(page.evaluate(width))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_no_need_to_scroll_sideways(
    scheme: str, root: Root, chromium: Chromium, tmp_path: Path
) -> None:
    context = chromium.context(viewport=PHONE, color_scheme=scheme, is_mobile=True, has_touch=True)
    tab = Tab(context, link_of(root.link, "device=a%20phone"))
    assert overflow(tab.page) == 0
    tab.page.screenshot(path=tmp_path / "idle.png", full_page=True)
    tab["start"].tap()
    assert tab.computes(50)
    expect(tab["failure-count"]).to_have_text(re.compile("[0-9]+ items? failed"))
    tab["failure-count"].tap()
    tab.page.get_by_text("A computer that has Pando helps more").tap()
    assert overflow(tab.page) == 0
    for button in ("pause", "stop"):
        box = tab[button].bounding_box()
        assert box is not None
        assert box["height"] >= 44, "large enough for a thumb"
    assert contrast(tab.page, "#about") >= 4.5
    assert contrast(tab.page, "dt") >= 4.5
    assert contrast(tab.page, "#stop") >= 4.5
    tab.page.screenshot(path=tmp_path / "computing.png", full_page=True)
    assert not tab.problems
    tab.close()


def contrast(page: Page, selector: str) -> float:
    """The contrast of an element's text, as WCAG has it; `color()` and transparency aside."""
    colors = page.locator(selector).first.evaluate(
        """element => {
            const canvas = document.createElement("canvas").getContext("2d");
            const read = (color) => {
                canvas.fillStyle = color;
                canvas.fillRect(0, 0, 1, 1);
                return [...canvas.getImageData(0, 0, 1, 1).data];
            };
            let behind = element;
            while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)")
                behind = behind.parentElement;
            const ground = getComputedStyle(behind).backgroundColor;
            return [getComputedStyle(element).color, ground].map(read);
        }"""
    )
    light, dark = sorted((luminance(color) for color in colors), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(color: list[int]) -> float:
    parts = [part / 255 for part in color[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_everything_can_be_done_by_keyboard(root: Root, chromium: Chromium) -> None:
    tab = Tab(chromium.context(), root.link)
    press = tab.page.keyboard.press
    press("Tab")
    expect(tab["start"]).to_be_focused()
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
    assert tab.says("Computing")
    expect(tab["pause"]).to_be_focused()
    press("Tab")
    press("Enter")
    assert tab.says("Stopped")
    expect(tab["start"]).to_be_focused()
    tab.page.reload()
    assert tab["name"].input_value() == "by hand", "it is remembered"
    tab.close()


def test_the_page_is_understood_without_being_seen(root: Root, chromium: Chromium) -> None:
    tab = Tab(chromium.context(), root.link)
    page = tab.page
    assert page.title() == f"Pando · {LONG_NAME}"
    assert page.locator("html").get_attribute("lang") == "en"
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text(f"Zoë & <b>friends</b> asks for your help with {LONG_NAME}")
    expect(page.get_by_role("main")).to_have_count(1)
    expect(page.get_by_role("button", name="Start computing")).to_be_visible()
    expect(page.get_by_role("textbox", name="This device is called")).to_be_visible()
    expect(page.get_by_role("spinbutton", name="Workers")).to_be_visible()
    assert unlabelled(page) == []
    tab["workers"].fill("1")
    tab.start()
    assert tab.computes()
    expect(page.get_by_role("status")).to_have_text(re.compile("Computing"))
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
