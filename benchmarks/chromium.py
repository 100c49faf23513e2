"""A headless Chromium, as a person has it: its own profile, none of a test driver's flags."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import psutil
from playwright.sync_api import Page, sync_playwright

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
    """A running browser.

    A driver that is attached is sent all that goes over WebSockets, which costs the browser more
    than the page's own work: so it is attached only where there is something to press or to run.

    Attributes:
        endpoint: where a driver is attached.
    """

    def __init__(self, process: subprocess.Popen[bytes], endpoint: str) -> None:
        self._process = process
        self.endpoint = endpoint

    def open_tab(self, url: str) -> None:
        """Open a tab, with nothing attached to it."""
        request = urllib.request.Request(f"{self.endpoint}/json/new?{quote(url)}", method="PUT")
        urllib.request.urlopen(request).close()

    def close_tabs(self) -> None:
        """Close all tabs but an empty one, without which the browser would end."""
        with urllib.request.urlopen(f"{self.endpoint}/json/list") as answer:
            tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
        for tab in tabs:
            if tab["url"] != "about:blank":
                urllib.request.urlopen(f"{self.endpoint}/json/close/{tab['id']}").close()

    @contextmanager
    def driving(self, url: str) -> Iterator[Page]:
        """A page in a tab of its own, driven meanwhile; the tab stays."""
        with sync_playwright() as playwright:
            browser = playwright.chromium.connect_over_cdp(self.endpoint)
            page = browser.contexts[0].new_page()
            page.goto(url)
            yield page

    def memory(self) -> int:
        """What all processes use that show pages; what they share is divided among them."""
        children = psutil.Process(self._process.pid).children(recursive=True)
        renderers = [child for child in children if "--type=renderer" in child.cmdline()]
        return sum(renderer.memory_full_info().pss for renderer in renderers)

    def processor_seconds(self) -> dict[str, float]:
        """Processor time so far: of the processes that show pages, and of all of the browser."""
        own = psutil.Process(self._process.pid)
        seconds = {"page": 0.0, "browser": 0.0}
        for process in (own, *own.children(recursive=True)):
            times = process.cpu_times()
            spent = times.user + times.system
            seconds["browser"] += spent
            if "--type=renderer" in process.cmdline():
                seconds["page"] += spent
        return seconds

    def close(self) -> None:
        """Close it in order, so that the profile keeps what it should."""
        self._process.terminate()
        self._process.wait(CLOSE_SECONDS)


@contextmanager
def open_chromium(profile: Path | None = None) -> Iterator[Chromium]:
    """Start the browser, with a new profile where none is given."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        chromium = _start(profile or Path(folder))
        try:
            yield chromium
        finally:
            chromium.close()


def _start(profile: Path) -> Chromium:
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
    except BaseException:
        process.kill()
        raise
    return Chromium(process, f"http://127.0.0.1:{port_file.read_text().split()[0]}")


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
        try:
            with chromium.driving(f"http://127.0.0.1:{server.server_port}/") as page:
                yield BareLoops(page)
        finally:
            chromium.close_tabs()
            server.shutdown()


if __name__ == "__main__":
    sys.exit("this is a part of browsers.py")
