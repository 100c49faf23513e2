"""WebKitGTK, driven by its WebDriver on a display of its own; its engine is that of Safari."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from ..processes import GENEROUS_SECONDS, wait_until
from ..roots import free_port
from .other_tab import OtherTab

DRIVER = shutil.which("WebKitWebDriver")
DISPLAY = shutil.which("Xvfb")
MINI_BROWSERS = sorted(Path("/usr").glob("lib*/**/webkit2gtk-4.*/MiniBrowser"))
IS_THERE = bool(DRIVER and DISPLAY and MINI_BROWSERS)


class WebKit:
    """A running browser with a home of its own."""

    name = "WebKit"

    def __init__(self, folder: Path) -> None:
        assert DRIVER is not None
        assert DISPLAY is not None
        self._processes: list[subprocess.Popen[bytes]] = []
        home = folder / "webkit"
        home.mkdir(mode=0o700)
        with (folder / "webkit.log").open("wb") as log:
            read, write = os.pipe()
            # It chooses a free display and says which.
            self._start(
                [DISPLAY, "-displayfd", str(write), "-screen", "0", "1000x900x24"], log, write
            )
            os.close(write)
            with os.fdopen(read) as pipe:
                display = pipe.readline().strip()
            environment = {
                **os.environ,
                "DISPLAY": f":{display}",
                "GDK_BACKEND": "x11",
                "HOME": str(home),
                "LIBGL_ALWAYS_SOFTWARE": "1",
                "NO_AT_BRIDGE": "1",
                "WEBKIT_DISABLE_COMPOSITING_MODE": "1",
                "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",
                "XDG_RUNTIME_DIR": str(home),
            }
            port = free_port()
            self._address = f"http://127.0.0.1:{port}"
            self._start([DRIVER, f"--port={port}", "--host=127.0.0.1"], log, env=environment)
        assert wait_until(self._answers), (folder / "webkit.log").read_text()
        options = {"binary": str(MINI_BROWSERS[-1]), "args": ["--automation"]}
        session = self._ask(
            "POST",
            "/session",
            {"capabilities": {"alwaysMatch": {"webkitgtk:browserOptions": options}}},
        )
        self._session = f"/session/{session['sessionId']}"
        self.version = session["capabilities"]["browserVersion"]
        self._first = self.command("GET", "/window")

    def _start(self, command: list[str], log: Any, *keep: int, env: Any = None) -> None:
        self._processes.append(
            subprocess.Popen(
                command, stdout=log, stderr=log, env=env, pass_fds=keep, start_new_session=True
            )
        )

    def _answers(self) -> bool:
        try:
            self._ask("GET", "/status")
        except OSError:
            return False
        return True

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"{self._address}{path}",
            method=method,
            data=json.dumps(body or {}).encode() if method == "POST" else None,
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=3 * GENEROUS_SECONDS) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None

    def command(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Do something in this browser, and return what is said of it."""
        return self._ask(method, f"{self._session}{path}", body)

    def open(self, url: str) -> OtherTab:
        """Open a page in a new tab."""
        self.command("POST", "/window", {"handle": self._first})
        new = self.command("POST", "/window/new", {"type": "tab"})["handle"]
        tab = WebKitTab(self, new)
        tab.go(url)
        return tab

    def __enter__(self) -> WebKit:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        try:
            self.command("DELETE", "")
        finally:
            for process in reversed(self._processes):
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


class WebKitTab(OtherTab):
    """A tab of it."""

    def __init__(self, browser: WebKit, handle: str) -> None:
        self._browser = browser
        self._handle = handle

    def _focus(self) -> None:
        self._browser.command("POST", "/window", {"handle": self._handle})

    def go(self, url: str) -> None:
        self._focus()
        self._browser.command("POST", "/url", {"url": url})

    def evaluate(self, expression: str) -> Any:
        self._focus()
        script = (
            "const done = arguments[arguments.length - 1];"
            f"(async () => JSON.stringify(await ({expression})))()"
            ".then(done, (error) => done(`!${error}`))"
        )
        value = self._browser.command("POST", "/execute/async", {"script": script, "args": []})
        assert not str(value).startswith("!"), value
        return None if value is None else json.loads(value)

    def close(self) -> None:
        self._focus()
        self._browser.command("DELETE", "/window")
