"""Firefox, driven by WebDriver BiDi, which needs no driver but the browser itself."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import threading
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from ..processes import GENEROUS_SECONDS, wait_until
from .other_tab import OtherTab

NAMES = (os.environ.get("FIREFOX", "firefox-esr"), "firefox-esr", "firefox")
FIREFOX = next(filter(None, map(shutil.which, NAMES)), None)
PREFERENCES = {
    "app.update.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "browser.safebrowsing.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.getAddons.cache.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "remote.active-protocols": 1,
    "services.settings.server": "http://127.0.0.1:1/",
    "termsofuse.bypassNotification": True,
    "toolkit.telemetry.enabled": False,
}
"""Firefox asks nobody but the pages that it opens."""
LISTENING = re.compile(r"WebDriver BiDi listening on (ws://\S+)")


class Firefox:
    """A running browser with a profile of its own."""

    name = "Firefox"

    def __init__(self, folder: Path) -> None:
        assert FIREFOX is not None
        profile = folder / "firefox"
        profile.mkdir()
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in PREFERENCES.items()]
        (profile / "user.js").write_text("\n".join(lines))
        self._log = folder / "firefox.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(FIREFOX, "--headless", "--no-remote", "--remote-debugging-port=0"),
                    *("--profile", str(profile), "about:blank"),
                ],
                stdout=log,
                stderr=log,
                env={**os.environ, "HOME": str(profile), "MOZ_HEADLESS": "1"},
                start_new_session=True,
            )
        self._ids = itertools.count(1)
        self._answers: dict[int, dict[str, Any]] = {}
        found = wait_until(
            lambda: LISTENING.search(self._log.read_text()) is not None, 3 * GENEROUS_SECONDS
        )
        assert found, self._log.read_text()
        address = LISTENING.search(self._log.read_text())
        assert address
        self._opened = ExitStack()
        connection = connect(f"{address[1]}/session", max_size=None)
        self._socket = self._opened.enter_context(connection)
        threading.Thread(target=self._read, daemon=True).start()
        told = self.command("session.new", capabilities={})
        self.version = told["capabilities"]["browserVersion"]

    def _read(self) -> None:
        try:
            for message in self._socket:
                told = json.loads(message)
                if told.get("id") is not None:
                    self._answers[told["id"]] = told
        except ConnectionClosed:
            return

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Do something, and return what is said of it."""
        number = next(self._ids)
        order = {"id": number, "method": method, "params": parameters}
        self._socket.send(json.dumps(order))
        assert wait_until(lambda: number in self._answers, 3 * GENEROUS_SECONDS), method
        answer = self._answers.pop(number)
        assert answer["type"] == "success", answer
        return dict(answer["result"])

    def open(self, url: str) -> OtherTab:
        """Open a page in a new tab."""
        tab = FirefoxTab(self)
        tab.go(url)
        return tab

    def __enter__(self) -> Firefox:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._opened.close()
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class FirefoxTab(OtherTab):
    """A tab of it."""

    def __init__(self, browser: Firefox) -> None:
        self._browser = browser
        self._context = browser.command("browsingContext.create", type="tab")["context"]

    def go(self, url: str) -> None:
        self._browser.command(
            "browsingContext.navigate", context=self._context, url=url, wait="complete"
        )

    def evaluate(self, expression: str) -> Any:
        answer = self._browser.command(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({expression})))()",
            target={"context": self._context},
            awaitPromise=True,
        )
        assert answer["type"] == "success", answer
        value = answer["result"].get("value")
        return None if value is None else json.loads(value)

    def close(self) -> None:
        self._browser.command("browsingContext.close", context=self._context)
