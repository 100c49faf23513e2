"""A headless Chromium, as a person has it: its own profile, none of a test driver's flags."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

HERE = Path(__file__).resolve().parent
FRONTEND = HERE.parent / "pando" / "web" / "frontend"
STATIC = HERE.parent / "pando" / "web" / "static"
PROGRAM = shutil.which(os.environ.get("CHROMIUM", "chromium"))
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
PATIENCE_SECONDS = 60.0
CLOSE_SECONDS = 20.0


class ChromiumError(Exception):
    """The browser does not do as it should."""


class Chromium:
    """A running browser."""

    def __init__(self, process: subprocess.Popen[bytes], browser: Browser) -> None:
        self._process = process
        self._browser = browser

    def open_page(self, url: str) -> Page:
        """A page in a tab of its own, loaded."""
        page = self.new_page()
        page.goto(url)
        return page

    def new_page(self) -> Page:
        """An empty tab of the person whose profile it is."""
        return self._browser.contexts[0].new_page()

    def memory(self) -> int:
        """What all processes use that show pages; what they share is divided among them."""
        children = psutil.Process(self._process.pid).children(recursive=True)
        renderers = [child for child in children if "--type=renderer" in child.cmdline()]
        return sum(renderer.memory_full_info().pss for renderer in renderers)

    def close(self) -> None:
        """Close it as a person does, so that the profile keeps what it should."""
        self._browser.new_browser_cdp_session().send("Browser.close")
        self._process.wait(CLOSE_SECONDS)


@contextmanager
def open_chromium(profile: Path | None = None) -> Iterator[Chromium]:
    """Start the browser, with a new profile where none is given."""
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        chromium = _start(playwright, profile or Path(folder))
        try:
            yield chromium
        finally:
            chromium.close()


def _start(playwright: Playwright, profile: Path) -> Chromium:
    if PROGRAM is None:
        raise ChromiumError("there is no Chromium here; set CHROMIUM to its program")
    port_file = profile / "DevToolsActivePort"
    port_file.unlink(missing_ok=True)
    process = subprocess.Popen(
        [PROGRAM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until(lambda: port_file.is_file() and port_file.read_text().count("\n") == 1)
        endpoint = f"http://127.0.0.1:{port_file.read_text().split()[0]}"
        return Chromium(process, playwright.chromium.connect_over_cdp(endpoint))
    except BaseException:
        process.kill()
        raise


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise ChromiumError("the browser does not start")
        time.sleep(0.01)


def describe_version() -> str:
    """The browser's name and version."""
    if PROGRAM is None:
        return "no Chromium"
    told = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True)
    return " ".join(told.stdout.split()[:2])


# ---- bare loops ----


class _Files(SimpleHTTPRequestHandler):
    """The page of bare loops, the functions, and the very Pyodide that Pando brings."""

    def translate_path(self, path: str) -> str:
        name = path.partition("?")[0].lstrip("/")
        if name == "pyodide/python_stdlib.zip":
            return str(next((STATIC / "assets").glob("python-*.zip")))
        if name.startswith("pyodide/"):
            return str(FRONTEND / "node_modules" / "pyodide" / Path(name).name)
        folder = HERE if name.startswith("functions.") else HERE / "bare_page"
        return str(folder / Path(name or "index.html").name)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


_Files.extensions_map = {
    **_Files.extensions_map,
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
}


class BareLoops:
    """Bare loops in workers of a page."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def start(self, language: str, function: str, workers: int) -> None:
        """Have so many workers with a function."""
        self._page.evaluate("(given) => start(...given)", [language, function, workers])

    def calibrate(self, seconds: float) -> int:
        """Rounds that one worker makes in this time."""
        rounds: int = self._page.evaluate("calibrate", seconds * 1000)
        return rounds

    def measure(self, item: int | None, chunk: int, seconds: float) -> float:
        """Items a second of all workers; where it is None, items are counted up."""
        rate: float = self._page.evaluate("(given) => measure(...given)", [item, chunk, seconds])
        return rate


@contextmanager
def open_bare_loops(chromium: Chromium) -> Iterator[BareLoops]:
    """The page of bare loops in a tab, which is closed behind."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = chromium.open_page(f"http://127.0.0.1:{server.server_port}/")
        try:
            yield BareLoops(page)
        finally:
            page.close()
            server.shutdown()


if __name__ == "__main__":
    sys.exit("this is a part of browsers.py")
