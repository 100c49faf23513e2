"""Many tabs that join over WebRTC: a probe that `webrtc.py` runs in a process of its own.

The run is at a public server of this machine, so that no tab has a direct address of its root.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import time

import trio
from chromium import Chromium, open_chromium
from direct import REPORTING_SECONDS, Computing
from playwright.sync_api import sync_playwright
from probes import Figures, run_as_probe
from public_server import end, free_port, start_server
from swarm import ProbeFailedError, _drain, _wait_until

from pando.functions.package import JavaScriptPackage
from pando.functions.serialized import serialize_javascript
from pando.running.opening import open_serialized_run
from pando.running.options import RunOptions
from pando.running.serve_options import ServeOptions

NAP = """\
module.exports["/pando/1.0.0"] = (item, cb) => setTimeout(() => cb(null, item), 200);
"""
"""Items that wait: tabs that compute would take the cores from those that still join."""
JOIN_SECONDS = 40.0
START_SECONDS = 3.0
"""After the last page is loaded, so that nothing is attached to the browser any more."""
LOAD_MILLISECONDS = 120_000
AWAIT_START = """
() => {
  window.awaited = new BroadcastChannel("start");
  window.awaited.onmessage = () => document.querySelector("#start").click();
}
"""
START = """
(at) => setTimeout(() => {
  new BroadcastChannel("start").postMessage(null);
}, at - Date.now())
"""
"""For the tab that is seen: timers of the others come up to a second late."""


def join(protocol: str, tabs: str) -> Figures:
    """Tabs that are loaded start all at once; until all compute over a link of this kind.

    Args:
        protocol: what carries their links: ``webrtc``, or ``websocket``, relayed by the server.
        tabs: how many.
    """
    with tempfile.TemporaryDirectory() as home:  # for links, and for what marks a user's own runs
        os.environ["HOME"] = home
        port = free_port()
        server = start_server(port)
        try:
            return trio.run(_join, protocol, int(tabs), port)
        finally:
            end(server)


async def _join(protocol: str, tabs: int, port: int) -> Figures:
    serve = ServeOptions(
        host=f"localhost:{port}",
        link_for="",
        protocol=protocol,
        reporting_interval=REPORTING_SECONDS,
    )
    packed = serialize_javascript(JavaScriptPackage("nap", NAP, "nap.js", False, []))
    options = RunOptions(workers=0, serve=serve)
    async with (
        open_serialized_run(packed, "nap", options) as run,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(_drain, run.map(itertools.count()))
        with open_chromium() as chromium:
            began = await trio.to_thread.run_sync(_load, chromium, run.links[0], tabs)
            await trio.sleep(max(0.0, began - time.time()))
            computing = Computing(run, protocol)
            with trio.move_on_after(JOIN_SECONDS):
                await _wait_until(lambda: computing.count() == tabs)
            seconds = time.time() - began
            reached = computing.count()
        nursery.cancel_scope.cancel()
    if reached < tabs:
        raise ProbeFailedError(f"{reached} of {tabs} after {JOIN_SECONDS:g} s")
    return {"seconds": seconds}


def _load(chromium: Chromium, link: str, tabs: int) -> float:
    """Load the page in so many tabs; when they will start, in seconds since 1970."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.connect_over_cdp(chromium.endpoint)
        pages = [browser.contexts[0].new_page() for _ in range(tabs)]
        for number, page in enumerate(pages):
            page.goto(f"{link};device=tab-{number}", timeout=LOAD_MILLISECONDS)
            page.locator("#start").wait_for(timeout=LOAD_MILLISECONDS)
            page.locator("#settings").evaluate("settings => { settings.open = true; }")
            page.locator("#workers").fill("1")
            page.evaluate(AWAIT_START)
        seen = next(page for page in pages if page.evaluate("!document.hidden"))
        starts = time.time() + START_SECONDS
        seen.evaluate(START, starts * 1000)
    return starts


if __name__ == "__main__":
    run_as_probe(join)
