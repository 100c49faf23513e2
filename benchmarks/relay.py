"""What a relayed message costs the server: processor time, beside a bare relay in the same run.

    python benchmarks/relay.py [--seconds 3] [--nodes 10]

A server's process relays messages of some nodes to one root, which counts them. The bare relay is a
`trio-websocket` server that passes each message on to another connection, with nothing else done.
Both are asked for the processor time that they have used, by `/proc`; the least of the rounds is
shown, because what other programs do on the machine only adds to it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from statistics import median

import trio
import trio_websocket
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from pando.channel import ChannelClosedError
from pando.net.prefixed_stream import PrefixedStream
from pando.net.relayed import parts
from pando.net.relayed.channel import RelayedChannel
from pando.net.relayed.link import RelayLink
from pando.net.relayed.proof import RoomKey
from pando.net.relayed.server_address import ServerAddress
from pando.net.trust.keys import RootKeys
from pando.net.websocket import WebSocketChannel
from pando.server.limits import ServerLimits
from pando.server.options import ServerOptions
from pando.server.serving import Server

HOME, SECRET = "127.0.0.1", "a secret for a benchmark"
SIZES = (100, 16 * 1024, 256 * 1024)
TICKS = os.sysconf("SC_CLK_TCK")
QUEUE, BUFFER = 16, 256 * 1024


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--nodes", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bare", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--ours", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare is not None:
        await serve_bare(options.bare)
        return
    if options.ours is not None:
        await serve_ours(options.ours)
        return
    server, bare = start("--ours", "5199"), start("--bare", "5198")
    await trio.sleep(2.0)
    print(f"{'bytes':>8} {'direction':>10} {'server µs':>10} {'bare µs':>9} {'messages/s':>11}")
    try:
        for size in SIZES:
            for direction in ("to root", "to nodes"):
                ours, theirs, rates = [], [], []
                for _ in range(options.rounds):
                    cost, rate = await measure(server.pid, relay, size, direction, options)
                    ours.append(cost)
                    rates.append(rate)
                    cost, _ = await measure(bare.pid, relay_bare, size, direction, options)
                    theirs.append(cost)
                print(
                    f"{size:8} {direction:>10} {min(ours):10.0f} {min(theirs):9.0f} "
                    f"{median(rates):11,.0f}"
                )
    finally:
        server.terminate()
        bare.terminate()


def start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, __file__, *arguments])


async def serve_ours(port: int) -> None:
    # Without a limit on what one run may send: the machine's speed is asked for.
    limits = ServerLimits(bytes_per_second=10**12)
    options = ServerOptions(port=port, listen=HOME, secret=SECRET, limits=limits)
    await Server(options, lambda text: None).run()


def processor_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Counter:
    """Messages that have arrived."""

    def __init__(self) -> None:
        self.value = 0


Run = Callable[[int, str, int, Counter], Awaitable[None]]


async def measure(
    pid: int, run: Run, size: int, direction: str, options: argparse.Namespace
) -> tuple[float, float]:
    """Microseconds of processor time for each message, and messages a second."""
    counter = Counter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, size, direction, options.nodes, counter)
        await trio.sleep(0.7)
        count, used, began = counter.value, processor_seconds(pid), time.monotonic()
        await trio.sleep(options.seconds)
        count = counter.value - count
        used = processor_seconds(pid) - used
        elapsed = time.monotonic() - began
        nursery.cancel_scope.cancel()
    await trio.sleep(0.2)
    return used / max(count, 1) * 1e6, count / elapsed


# ---- this project's server ----


async def relay(size: int, direction: str, nodes: int, counter: Counter) -> None:
    key = RoomKey.of(RootKeys.generate())
    message = bytes(size)

    async def serve(channel: RelayedChannel, purpose: object, address: str) -> None:
        while True:
            if direction == "to root":
                await channel.receive()
                counter.value += 1
            else:
                await channel.send(message)

    async def node() -> None:
        stream = PrefixedStream(await trio.open_tcp_stream(HOME, 5199))
        protocol = ClientProtocol(parse_uri(f"ws://{HOME}:5199/r/{key.room}/node"))
        channel = WebSocketChannel(stream, protocol)
        protocol.send_request(protocol.connect())
        await channel.flush()
        await channel.next_event()
        while True:
            if direction == "to root":
                for part in parts.split(message):
                    protocol.send_binary(part)
                await channel.flush()
            else:
                frame = await channel.next_event()
                counter.value += frame.data[:1] == parts.LAST  # type: ignore[attr-defined]

    link = RelayLink(ServerAddress(HOME, 5199, tls=False), key, serve, secret=SECRET)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(link.run)
            for _ in range(nodes):
                nursery.start_soon(node)
    except* ChannelClosedError:
        pass


# ---- the bare one ----


async def serve_bare(port: int) -> None:
    root: list[trio_websocket.WebSocketConnection] = []
    others: list[trio_websocket.WebSocketConnection] = []

    async def handle(request: trio_websocket.WebSocketRequest) -> None:
        socket = await request.accept()
        is_root = request.path == "/root"
        group = root if is_root else others
        group.append(socket)
        turn = 0
        try:
            while True:
                message = await socket.get_message()
                if not (others if is_root else root):
                    return
                if is_root:
                    turn += 1
                    await others[turn % len(others)].send_message(message)
                else:
                    await root[0].send_message(message)
        except trio_websocket.ConnectionClosed:
            pass
        finally:
            group.remove(socket)

    await trio_websocket.serve_websocket(
        handle,
        HOME,
        port,
        None,
        message_queue_size=QUEUE,
        max_message_size=2**20,
        receive_buffer_size=BUFFER,
    )


async def relay_bare(size: int, direction: str, nodes: int, counter: Counter) -> None:
    message = bytes(size)

    async def client(path: str, *, sends: bool) -> None:
        async with trio_websocket.open_websocket(
            HOME,
            5198,
            path,
            use_ssl=False,
            message_queue_size=QUEUE,
            receive_buffer_size=BUFFER,
        ) as socket:
            while True:
                if sends:
                    await socket.send_message(message)
                else:
                    await socket.get_message()
                    counter.value += 1

    async with trio.open_nursery() as nursery:
        up = direction == "to root"
        if up:
            nursery.start_soon(lambda: client("/root", sends=False))
            await trio.sleep(0.2)
        for number in range(nodes):
            nursery.start_soon(lambda n=number: client(f"/{n}", sends=up))
        if not up:
            await trio.sleep(0.3)
            nursery.start_soon(lambda: client("/root", sends=True))


if __name__ == "__main__":
    trio.run(main)
