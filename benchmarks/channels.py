"""What one WebRTC link carries: probes that `webrtc.py` runs in processes of their own.

Both ways count, in sum: of bare data channels, and of values that come back as they are.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio
from chromium import Chromium, open_chromium
from direct import REPORTING_SECONDS, _run_native, serve
from functions import echo, square
from playwright.sync_api import Page
from probes import Figures, run_as_probe
from swarm import _take_for, _wait_until
from tabs import RootProcess

import pando

BARE = str(Path(__file__).resolve().parent / "bare_channel.py")
VALUE_BYTES = 64 * 1024
WARM_UP_SECONDS = 2.0
LINK_SECONDS = 60.0
DIRECTLY = "Connected directly, by WebRTC."
CONNECT = """
async (seconds) => {
  const connection = new RTCPeerConnection();
  const channel = connection.createDataChannel("bare", { negotiated: true, id: 0 });
  channel.binaryType = "arraybuffer";
  channel.bufferedAmountLowThreshold = 128 * 1024;
  const frame = new Uint8Array(16 * 1024);
  let came = 0;
  const fill = () => {
    while (channel.readyState === "open" && channel.bufferedAmount < 256 * 1024) {
      channel.send(frame);
    }
  };
  channel.onbufferedamountlow = fill;
  channel.onmessage = ({ data }) => { came += data.byteLength; };
  const gathered = new Promise((resolve) => {
    connection.onicegatheringstatechange = () => {
      if (connection.iceGatheringState === "complete") resolve();
    };
  });
  const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  window.rate = (async () => {
    await new Promise((resolve) => { channel.onopen = resolve; });
    fill();
    await pause(1);
    const before = came, began = performance.now();
    await pause(seconds);
    return (came - before) / (performance.now() - began) * 1000;
  })();
  window.accept = (sdp) => connection.setRemoteDescription({ type: "answer", sdp });
  await connection.setLocalDescription(await connection.createOffer());
  await gathered;
  return connection.localDescription.sdp;
}
"""


class _BareEnd:
    """A process with one end of a bare data channel; see `bare_channel.py`."""

    def __init__(self, role: str, seconds: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, BARE, role, str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, description: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(description) + "\n")
        self.process.stdin.flush()

    def description(self) -> str:
        return str(self._read())

    def rate(self) -> float:
        return float(self._read())

    def _read(self) -> str | float:
        assert self.process.stdout is not None
        said: str | float = json.loads(self.process.stdout.readline())
        return said


@contextmanager
def _bare_end(role: str, seconds: float) -> Iterator[_BareEnd]:
    end = _BareEnd(role, seconds)
    try:
        yield end
    finally:
        end.process.kill()
        end.process.wait()


def native(protocol: str, seconds: str) -> Figures:
    """One `pando-volunteer` of one worker, and two bare ends by aiortc in the same round.

    Args:
        protocol: what carries the link.
        seconds: how long each steady state is.
    """
    figures = trio.run(_native, protocol, float(seconds))
    if protocol == "webrtc":
        figures["bare"] = _measure_bare(float(seconds))
        figures["share"] = figures["bytes"] / figures["bare"]
    return figures


async def _native(protocol: str, seconds: float) -> Figures:
    options = serve(protocol, reporting_interval=REPORTING_SECONDS)
    figures = {}
    for name, function in (("items", square), ("bytes", echo)):
        async with (
            trio.open_nursery() as nursery,
            pando.open_run(function, workers=0, serve=options) as run,
        ):
            nursery.start_soon(_run_native, run.links[0], "native")
            with trio.fail_after(LINK_SECONDS):
                await _wait_until(lambda run=run: _kinds(run) == [protocol])  # type: ignore[misc]
            items = itertools.count() if name == "items" else itertools.repeat(bytes(VALUE_BYTES))
            stream = run.map(items)
            await _take_for(WARM_UP_SECONDS, stream)
            began = time.perf_counter()
            count = await _take_for(seconds, stream)
            figures[name] = count / (time.perf_counter() - began)
            nursery.cancel_scope.cancel()
    figures["bytes"] *= 2 * VALUE_BYTES
    return figures


def _kinds(run: pando.Run[object, object]) -> list[str]:
    """What carries the links of the volunteers that are there."""
    seen = run.monitoring().get("volunteers", {}).values()
    return [each["link"] for each in seen if each["state"] not in ("left", "lost")]


def _measure_bare(seconds: float) -> float:
    with _bare_end("offer", seconds) as offering, _bare_end("answer", seconds) as answering:
        answering.tell(offering.description())
        offering.tell(answering.description())
        return offering.rate() + answering.rate()


def tab(protocol: str, seconds: str) -> Figures:
    """One tab with one worker in JavaScript, and a bare page with a bare end by aiortc."""
    figures: Figures = {}
    with open_chromium() as chromium:
        for name, function, item in (
            ("items", "square", "count"),
            ("bytes", "echo", f"bytes:{VALUE_BYTES}"),
        ):
            figures[name] = _measure_tab(chromium, function, item, protocol, float(seconds))
        figures["bytes"] *= 2 * VALUE_BYTES
        if protocol == "webrtc":
            with chromium.driving("about:blank") as page:
                figures["bare"] = _measure_bare_page(page, float(seconds))
            figures["share"] = figures["bytes"] / figures["bare"]
    return figures


def _measure_tab(
    chromium: Chromium, function: str, item: str, protocol: str, seconds: float
) -> float:
    with RootProcess("javascript", function, item) as root:
        with chromium.driving(f"{root.link};protocol={protocol}") as page:
            page.locator("#settings").evaluate("settings => { settings.open = true; }")
            page.locator("#workers").fill("1")
            page.locator("#start").click()
            root.first_result()
            if protocol == "webrtc":
                page.get_by_text(DIRECTLY).wait_for(timeout=LINK_SECONDS * 1000)
        try:
            return root.measure(seconds)
        finally:
            chromium.close_tabs()


def _measure_bare_page(page: Page, seconds: float) -> float:
    with _bare_end("answer", seconds) as end:
        end.tell(page.evaluate(CONNECT, seconds))
        page.evaluate("(sdp) => accept(sdp)", end.description())
        return float(page.evaluate("rate")) + end.rate()


if __name__ == "__main__":
    run_as_probe(native, tab)
