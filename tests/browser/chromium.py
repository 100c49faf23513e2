"""Chromium as people have it: a process of its own with a fresh profile, driven from outside."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.request
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import trio
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Playwright,
)
from trio_websocket import open_websocket_url

from ..processes import wait_until

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)
NAMES = (os.environ.get("CHROMIUM", "chromium"), "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
FRONTEND = Path(__file__).parents[2] / "pando" / "web" / "frontend"
AXE = FRONTEND / "node_modules" / "axe-core" / "axe.min.js"
OF_THE_PLOT = re.compile("/assets/(plot|uPlot)[^/]*$")
"""The page asks for these while it computes, perhaps when its root has just gone."""
PATIENCE = 30_000.0
"""Milliseconds that anything on a page may take, however busy the machine is."""


class Chromium:
    """A running browser. None of Playwright's own flags are set: pages are throttled as usual.

    Args:
        profile: its folder.
        flags: more flags than all have.
    """

    def __init__(self, playwright: Playwright, profile: Path, *flags: str) -> None:
        assert CHROMIUM is not None
        self.process = subprocess.Popen(
            [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        port = profile / "DevToolsActivePort"
        assert wait_until(lambda: port.is_file() and port.read_text().count("\n") == 1)
        self._endpoint = f"http://127.0.0.1:{port.read_text().split()[0]}"
        self._playwright = playwright

    @cached_property
    def browser(self) -> Browser:
        """As Playwright drives it."""
        return self._playwright.chromium.connect_over_cdp(self._endpoint)

    def __enter__(self) -> Chromium:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        self.process.wait()
        if "browser" in vars(self):
            self.browser.close()

    def signal(self, number: int) -> None:
        """Send a signal to all its processes."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return

    def context(self, **options: object) -> BrowserContext:
        """A person's browser: nothing is shared with others."""
        context = self.browser.new_context(**options)  # type: ignore[arg-type]
        context.set_default_timeout(PATIENCE)
        return context

    def open_unattended(self, url: str) -> UnattendedTab:
        """Open a page in front of all others, without Playwright, for which no page is hidden."""
        request = urllib.request.Request(f"{self._endpoint}/json/new?{url}", method="PUT")
        with urllib.request.urlopen(request, timeout=20) as answer:
            return UnattendedTab(json.load(answer)["webSocketDebuggerUrl"])


class UnattendedTab:
    """A tab that nothing keeps awake."""

    def __init__(self, debugger: str) -> None:
        self._debugger = debugger

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        return trio.run(self._evaluate, expression)

    async def _evaluate(self, expression: str) -> Any:
        order = {"id": 1, "method": "Runtime.evaluate", "params": {"expression": expression}}
        async with open_websocket_url(self._debugger) as socket:
            await socket.send_message(json.dumps(order))
            return json.loads(await socket.get_message())["result"]["result"]["value"]


def barriers(page: Page) -> list[str]:
    """What axe finds against WCAG 2.2 AA, with the elements."""
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
    rules["rules"] = {"target-size": {"enabled": True}}  # type: ignore[assignment]
    page.evaluate(AXE.read_text())
    found = page.evaluate("rules => axe.run(document, rules)", rules)
    return [
        f"{each['id']}: {node['html']}: {node['failureSummary']}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


class Tab:
    """The volunteer page in a tab."""

    def __init__(self, context: BrowserContext, link: str) -> None:
        self.context = context
        self.page: Page = context.new_page()
        self.problems: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", self._note)
        self.page.goto(link)

    def _note(self, said: ConsoleMessage) -> None:
        text, url = said.text, said.location.get("url", "")
        is_late = text.startswith("Failed to load resource") and OF_THE_PLOT.search(url)
        if said.type == "error" and not is_late:
            self.problems.append(f"{text} ({url})")

    def __getitem__(self, name: str) -> Locator:
        """An element of the page, by its identifier."""
        return self.page.locator(f"#{name}")

    @property
    def state(self) -> str:
        """All that it says of its state, in words."""
        texts = (self[name].text_content() or "" for name in ("state", "detail", "next"))
        return " ".join(texts).strip()

    @property
    def stage(self) -> str | None:
        return self["page"].get_attribute("data-stage")

    def set_workers(self, count: int) -> None:
        """Choose how many cores it uses, as people do who open the settings."""
        self["settings"].evaluate("settings => { settings.open = true; }")
        self["workers"].fill(str(count))

    @property
    def results(self) -> int:
        """How many items it says it has done."""
        text = self["results"].text_content() or "0"
        return int("".join(filter(str.isdigit, text)))

    def start(self) -> None:
        self["start"].click()

    def barriers(self) -> list[str]:
        """What axe finds in the page."""
        return barriers(self.page)

    def computes(self, results: int = 1) -> bool:
        """Whether it soon has so many results."""
        return wait_until(lambda: self.results >= results)

    def says(self, words: str) -> bool:
        """Whether its state soon has these words, a regular expression."""
        return wait_until(lambda: re.search(words, self.state) is not None)

    def close(self) -> None:
        """Close the tab, and the browser of its person."""
        self.context.close()


def link_of(root_link: str, *words: str) -> str:
    """A link with words behind its `#`."""
    return f"{root_link}#{';'.join(words)}"
