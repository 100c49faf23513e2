"""A server in the test's own process, and clients that say exactly what a test wants said."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio

from pando.functions.package import FunctionPackage
from pando.functions.serialized import as_received
from pando.limits import Limits
from pando.notifier import to_nobody
from pando.running.monitoring import RunMonitoring
from pando.running.options import RunOptions
from pando.running.serve_options import ServeOptions
from pando.running.served_run import ServedRun
from pando.running.shared_server import shared_server
from pando.running.value_codec import ValueCodec
from pando.tree.node import Node

HOME = "127.0.0.1"
NO_FUNCTION = FunctionPackage("nothing", "3.11", 0, [], [], {}, [], [], [], [], [], []).to_bytes()
"""A function that is never loaded."""
"""What looks like a packed function, to those who do not load it."""
GENEROUS_SECONDS = 20.0
"""Nothing here should take so long, however busy the machine is."""
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


@asynccontextmanager
async def serving(
    name: str = "square",
    limits: Limits | None = None,
    requirements: tuple[str, ...] = (),
    **options: Any,
) -> AsyncIterator[ServedRun]:
    """A server on a port of its own, with no workers; it must end soon after the block."""
    node = Node(ValueCodec())
    serve = ServeOptions(**{"port": 0, "listen": HOME, "limits": limits or Limits(), **options})
    run_options = RunOptions(requires=requirements, serve=serve)
    async with (
        shared_server(serve, lambda text: None) as server,
        trio.open_nursery() as nursery,
    ):
        ids = random.Random()
        root = ids.randbytes(8)
        interval = run_options.interval
        monitoring = RunMonitoring(node, name, root, 0, interval, lambda: 0.0)
        function = as_received(NO_FUNCTION)
        say = to_nobody
        served = ServedRun(server, node, function, run_options, serve, monitoring, ids, say)
        server.runs.add(served)
        nursery.start_soon(served.run)
        nursery.start_soon(monitoring.run)
        yield served
        nursery.cancel_scope.cancel()
        await served.notify_run_ended()
        monitoring.finish()
        server.runs.remove(served)


@dataclass
class Reply:
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    body: str


class Client:
    """One connection."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.unread = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def request(self, method: str, path: str, **headers: str) -> Reply:
        """Send a request and read what comes. Headers' names are written with underscores."""
        await self.send(head(method, path, **headers))
        return await self.reply(with_body=method != "HEAD")

    async def reply(self, *, with_body: bool = True) -> Reply:
        with trio.fail_after(GENEROUS_SECONDS):
            while b"\r\n\r\n" not in self.unread:
                self.unread += await self._more()
            first, _, self.unread = self.unread.partition(b"\r\n\r\n")
            status, *lines = first.decode().split("\r\n")
            pairs = (line.split(": ", 1) for line in lines)
            headers = {key.lower(): value for key, value in pairs}
            length = int(headers.get("content-length", 0)) if with_body else 0
            while len(self.unread) < length:
                self.unread += await self._more()
        body, self.unread = self.unread[:length], self.unread[length:]
        return Reply(int(status.split()[1]), headers, body.decode())

    async def _more(self) -> bytes:
        data = await self.stream.receive_some()
        assert data, "the connection was closed without a whole reply"
        return data

    async def is_closed(self) -> bool:
        """Whether the server closes the connection within a generous time."""
        with trio.move_on_after(GENEROUS_SECONDS):
            try:
                while await self.stream.receive_some():
                    pass
            except trio.BrokenResourceError:
                pass
            return True
        return False


def head(method: str, path: str, **headers: str) -> bytes:
    """A request's head; a good `Host` is added where none is given."""
    headers = {"Host": "localhost"} | {k.replace("_", "-"): v for k, v in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode()


@asynccontextmanager
async def client_of(served: ServedRun) -> AsyncIterator[Client]:
    """A new connection to a served."""
    stream = await trio.open_tcp_stream(HOME, served.server.port)
    try:
        yield Client(stream)
    finally:
        await trio.aclose_forcefully(stream)


async def comes_true(condition: Callable[[], bool]) -> bool:
    """Whether a condition comes true within a generous time."""
    with trio.move_on_after(GENEROUS_SECONDS):
        while not condition():  # noqa: ASYNC110 - what is asked about has no event
            await trio.sleep(0.005)
    return condition()
