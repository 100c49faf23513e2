"""One browser for all tests of this folder; each has roots, volunteers and tabs of its own.

It is gone before other tests run: Playwright keeps an event loop of asyncio running meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Playwright, sync_playwright

from ..roots import Party, Root
from .chromium import CHROMIUM, Chromium, Tab, link_of

OpenTab = Callable[..., Tab]


@pytest.fixture(scope="package", autouse=True)
def browser_is_there() -> None:
    """Skip where there is none, which `bin/test` sees to when these tests are asked for."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: install it, or set CHROMIUM to its program")


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="package")
def chromium(
    playwright: Playwright, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Chromium]:
    with Chromium(playwright, tmp_path_factory.mktemp("profile")) as chromium:
        yield chromium


@pytest.fixture
def party(tmp_path: Path) -> Iterator[Party]:
    with Party(tmp_path) as party:
        yield party


@pytest.fixture
def tab(chromium: Chromium) -> Iterator[OpenTab]:
    """Opens a run's page as a person with one worker does, and starts it."""
    tabs: list[Tab] = []

    def open_tab(root: Root, *, name: str = "tab", start: bool = True, workers: int = 1) -> Tab:
        tab = Tab(chromium.context(), link_of(root.link, f"device={name}"))
        tabs.append(tab)
        tab.set_workers(workers)
        if start:
            tab.start()
        return tab

    yield open_tab
    for each in tabs:
        each.close()
