"""Two tabs, one below the other or side by side: a probe that `webrtc.py` runs by itself."""

from __future__ import annotations

import itertools
import time

import trio
from channels import WARM_UP_SECONDS
from chromium import Chromium, open_chromium
from direct import REPORTING_SECONDS, serve
from playwright.sync_api import sync_playwright
from probes import Figures, run_as_probe
from swarm import _take_for, _wait_until

from pando.functions.package import JavaScriptPackage
from pando.functions.serialized import serialize_javascript
from pando.running.opening import open_serialized_run
from pando.running.options import RunOptions
from pando.running.run import Run

JOIN_SECONDS = 60.0
WORK = {
    "wait": "setTimeout(() => cb(null, 1), 10)",
    "compute": "let x = 1; for (let i = 0; i < 8e6; i++) x = (x * 31 + i) % 1000003; cb(null, x)",
}
"""Items that take ten milliseconds, or about as long."""
SHAPES = {"beside": (10, "websocket"), "below": (1, "webrtc")}
"""The root's degree, and what carries the links."""
LONG_IN_SIGHT = """
const now = performance.now.bind(performance);
performance.now = () => now() + 130_000;
"""
"""Two minutes have passed before a page takes others in: they are not waited for here."""
START = """
() => setTimeout(() => document.querySelector("#start").click(), 1000);
"""
"""When nothing is attached to the browser any more: what it detaches from may stand still."""


def measure(work: str, seconds: str) -> Figures:
    """Items a second of two tabs of one worker each: beside each other, and one below the other.

    Args:
        work: whether items ``wait`` or ``compute``.
        seconds: how long each steady state is.
    """
    rates = {shape: trio.run(_measure, shape, work, float(seconds)) for shape in SHAPES}
    return {**rates, "share": rates["below"] / rates["beside"]}


async def _measure(shape: str, work: str, seconds: float) -> float:
    degree, protocol = SHAPES[shape]
    source = f'module.exports["/pando/1.0.0"] = (item, cb) => {{ {WORK[work]} }};\n'
    packed = serialize_javascript(JavaScriptPackage(work, source, f"{work}.js", False, []))
    options = serve(protocol, degree=degree, reporting_interval=REPORTING_SECONDS)
    async with open_serialized_run(packed, work, RunOptions(workers=0, serve=options)) as run:
        stream = run.map(itertools.count())
        with open_chromium() as chromium:
            for number in (1, 2):
                await trio.to_thread.run_sync(_open, chromium, run.links[0], number)
                with trio.fail_after(JOIN_SECONDS):
                    await _wait_until(lambda: _links(run) == [protocol] * number)  # noqa: B023
            devices = _devices(run)
            below = sum(each["parent"] in {other["id"] for other in devices} for each in devices)
            assert below == (shape == "below"), "the tree has another shape"
            await _take_for(WARM_UP_SECONDS, stream)
            began = time.perf_counter()
            count = await _take_for(seconds, stream)
            return count / (time.perf_counter() - began)


def _devices(run: Run[object, object]) -> list[dict[str, object]]:
    seen = run.monitoring().get("volunteers", {}).values()
    return [each for each in seen if each["state"] not in ("left", "lost")]


def _links(run: Run[object, object]) -> list[object]:
    return [each["link"] for each in _devices(run)]


def _open(chromium: Chromium, link: str, number: int) -> None:
    """Open a tab in a window of its own, so that both are in sight, and start it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.connect_over_cdp(chromium.endpoint)
        context = browser.contexts[0]
        # Then addresses are not hidden behind names, which not every machine can resolve.
        context.grant_permissions(["camera", "microphone"])
        page = context.new_page()
        page.add_init_script(LONG_IN_SIGHT)
        page.goto(f"{link};device=tab-{number}")
        page.locator("#settings").evaluate("settings => { settings.open = true; }")
        page.locator("#workers").fill("1")
        page.evaluate(START)


if __name__ == "__main__":
    run_as_probe(measure)
