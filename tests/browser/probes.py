"""A function that tries to reach what it should not: an item is what to try, and on whom.

It is sent to browsers, so that what is imported only there is imported in functions.
"""

from __future__ import annotations

import asyncio
from typing import Any

OPEN = """(kind, url) => new Promise((open, lost) => {
    const socket = new self[kind](url);
    socket.onopen = () => open("open");
    socket.onerror = () => lost(new Error("refused"));
})"""
OPEN_DATABASE = """() => new Promise((open, lost) => {
    const request = indexedDB.open("x");
    request.onsuccess = () => open("open");
    request.onerror = () => lost(new Error("refused"));
})"""
START_WORKER = """url => new Promise((answer, lost) => {
    const fetching = `fetch("${url}").then(() => postMessage("open"), () => postMessage("no"))`;
    const worker = new Worker(URL.createObjectURL(new Blob([fetching])));
    worker.onmessage = ({ data }) => data === "open" ? answer(data) : lost(new Error(data));
    worker.onerror = () => lost(new Error("refused"));
})"""


def run_js(program: str) -> Any:
    from pyodide.code import run_js

    return run_js(program)


async def fetch(url: str) -> int:
    import js

    return int((await js.fetch(url)).status)


def request(url: str) -> int:
    import js

    request = js.XMLHttpRequest.new()
    request.open("GET", url, False)
    request.send()
    return int(request.status)


def urlopen(url: str) -> int:
    import urllib.request

    with urllib.request.urlopen(url, timeout=5) as answer:
        return int(answer.status)


async def pyfetch(url: str) -> int:
    from pyodide.http import pyfetch

    return int((await pyfetch(url)).status)


async def connect(url: str) -> str:
    return str(await run_js(OPEN)("WebSocket", url.replace("http", "ws")))


async def listen(url: str) -> str:
    return str(await run_js(OPEN)("EventSource", url))


async def import_module(url: str) -> str:
    return str(await run_js("url => import(url).then(() => 'imported')")(url))


def import_script(url: str) -> None:
    import js

    js.importScripts(url)


async def start_worker_inside(url: str) -> str:
    return str(await run_js(START_WORKER)(url))


def start_worker(url: str) -> None:
    import js

    js.Worker.new(url)


async def open_database(url: str) -> None:
    await run_js(OPEN_DATABASE)()


def read_storage(url: str) -> None:
    run_js("localStorage.length")


async def open_cache(url: str) -> None:
    await run_js("caches.open('x')")


def read_document(url: str) -> None:
    run_js("document.title")


def post_to_pages(url: str) -> None:
    run_js("(self.parent ?? self.top ?? self.opener).postMessage('hello', '*')")


def close(url: str) -> None:
    run_js("close()")


def open_peer_connection(url: str) -> None:
    run_js("new RTCPeerConnection()")


NETWORK = (
    fetch,
    request,
    urlopen,
    pyfetch,
    connect,
    open_peer_connection,
    listen,
    import_module,
    import_script,
    start_worker_inside,
    start_worker,
)
PAGE = (open_database, read_storage, open_cache, read_document, post_to_pages, close)
PROBES = {probe.__name__: probe for probe in (*NETWORK, *PAGE)}


async def pando(item: str) -> str:
    """The origin this runs under, and what has come of the try."""
    name, url = item.split(" ")
    origin = run_js("self.origin")
    try:
        result: Any = PROBES[name](url)
        if asyncio.iscoroutine(result):
            result = await asyncio.wait_for(result, 5)
    except BaseException as error:
        return f"{origin} no {type(error).__name__}"
    return f"{origin} yes {result}"
