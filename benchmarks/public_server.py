"""Runs at a public server: a crowd, no-ops against a direct link, a restart, a slow link.

    python benchmarks/public_server.py crowd [--volunteers 1000] [--rooms 10] [--processes 2]
    python benchmarks/public_server.py no-op [--seconds 5] [--rounds 5]
    python benchmarks/public_server.py restart [--volunteers 20]
    python benchmarks/public_server.py slow-link [--megabytes 64] [--mbits 10] [--count 2]

Server, volunteers and crowds are processes of their own; the roots, which have no workers, are in
this one. What a relayed message costs the server is measured by `relay.py`.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import psutil
import trio
from functions import square
from light import raise_file_limit
from machine import describe_machine
from swarm import _all_compute, _drain, _start_crowd, _wait_until

import pando
from pando.limits import DEGREE
from pando.running.serve_options import ServeOptions

VOLUNTEER = "import sys; from pando.cli.volunteer import main; sys.exit(main())"
STEADY_SECONDS = 5.0


def turn(data: bytes) -> bytes:
    """Return the bytes in the other order: as much goes back as has come."""
    return data[::-1]


# ---- processes ----


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def start_server(port: int) -> subprocess.Popen[bytes]:
    """A server of this user, whose runs need no secret."""
    command = [sys.executable, "-m", "pando.server", "--port", str(port)]
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(command, stdout=quiet, stderr=quiet)
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return server
        except OSError:
            time.sleep(0.02)


def start_volunteer(link: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", VOLUNTEER, link, "--workers=1", "--once", "--quiet"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def end(*processes: subprocess.Popen[bytes]) -> None:
    for process in processes:
        process.kill()
        process.wait()


def options_at(port: int, number: int = 0, degree: int = DEGREE) -> ServeOptions:
    """Those of a run of its own: runs with the same options share a room.

    By WebSocket alone: where they could, volunteers would change over to WebRTC, and nothing of
    the relay would be measured.
    """
    return ServeOptions(
        host=f"localhost:{port}",
        link_for="",
        monitoring_token=f"token-of-run-{number:04}",
        degree=degree,
        protocol="websocket",
    )


# ---- the measurements ----


async def crowd(arguments: argparse.Namespace) -> None:
    """Light volunteers, each process among the rooms in turn; all join at once and stay relayed."""
    port = free_port()
    server = start_server(port)
    watched = psutil.Process(server.pid)
    share = arguments.volunteers // (arguments.rooms * arguments.processes)
    try:
        async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
            links, runs = [], []
            for number in range(arguments.rooms):
                serve = options_at(port, number, degree=share * arguments.processes)
                opened = pando.open_run(square, workers=0, serve=serve)
                run = await stack.enter_async_context(opened)
                nursery.start_soon(_drain, run.map(range(sys.maxsize)))
                links.append(run.links[0])
                runs.append(run)
            waiting = [
                await _start_crowd(nursery, ",".join(links), share * arguments.rooms)
                for _ in range(arguments.processes)
            ]
            memory, used, began = watched.memory_info().rss, processor(watched), time.monotonic()
            for each in waiting:
                await each.start_joining()
            wanted = share * arguments.rooms * arguments.processes
            computing = await _all_compute(waiting, wanted)
            took, joining = time.monotonic() - began, processor(watched) - used
            memory = watched.memory_info().rss - memory
            used, began = processor(watched), time.monotonic()
            await trio.sleep(STEADY_SECONDS)
            steady = (processor(watched) - used) / (time.monotonic() - began)
            print(
                f"{computing} of {wanted} volunteers in {len(links)} rooms compute after "
                f"{took:.1f} s; server: {100 * joining / took:.0f} % of a core meanwhile, then "
                f"{100 * steady:.0f} %, {memory / computing / 1000:.1f} KB a volunteer"
            )
            children = sum(run.statistics().volunteers for run in runs)
            events: Counter[str] = sum(
                (Counter(run.statistics().counters) for run in runs), Counter()
            )
            print(f"{children} of them are relayed now; at the roots: {dict(events)}")
            nursery.cancel_scope.cancel()
    finally:
        end(server)


async def no_op(arguments: argparse.Namespace) -> None:
    """No-ops of one volunteer, through the server and directly, in turns."""
    port = free_port()
    server = start_server(port)
    ways = {
        "direct": ServeOptions(port=0, listen="127.0.0.1", link_for=""),
        "relayed": options_at(port),
    }
    rates: dict[str, list[float]] = {way: [] for way in ways}
    try:
        for _ in range(arguments.rounds):
            for way, serve in ways.items():
                rates[way].append(await measure_rate(serve, arguments.seconds))
    finally:
        end(server)
    medians = {way: statistics.median(each) for way, each in rates.items()}
    ratio = statistics.median(b / a for a, b in zip(*rates.values(), strict=True))
    print(
        f"direct {medians['direct']:,.0f} items/s, relayed {medians['relayed']:,.0f} items/s, "
        f"median of the ratios {100 * ratio:.0f} %"
    )


async def measure_rate(serve: ServeOptions, seconds: float) -> float:
    async with (
        pando.open_run(square, workers=0, serve=serve) as run,
        trio.open_nursery() as nursery,
    ):
        volunteer = start_volunteer(run.links[0])
        try:
            nursery.start_soon(_drain, run.map(itertools.count()))
            await _wait_until(lambda: count_results(run) > 100_000)
            before, began = count_results(run), time.monotonic()
            await trio.sleep(seconds)
            rate = (count_results(run) - before) / (time.monotonic() - began)
            nursery.cancel_scope.cancel()
        finally:
            end(volunteer)
    return rate


async def restart(arguments: argparse.Namespace) -> None:
    """The server is killed under a run, and another one takes its place."""
    port = free_port()
    server = start_server(port)
    volunteers: list[subprocess.Popen[bytes]] = []
    serve = options_at(port, degree=arguments.volunteers)
    try:
        async with pando.open_run(nap, workers=0, serve=serve) as run:
            volunteers = [start_volunteer(run.links[0]) for _ in range(arguments.volunteers)]
            stream = run.map(range(arguments.items))
            results: list[int] = []

            async def read() -> None:
                async for result in stream:
                    results.append(result)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                await _wait_until(lambda: run.statistics().volunteers == arguments.volunteers)
                await trio.sleep(2)
                server.send_signal(signal.SIGKILL)
                server.wait()
                await trio.sleep(2)
                server = start_server(port)
                back = time.monotonic()
                await _wait_until(lambda: run.statistics().volunteers > 0)
                done = len(results)
                await _wait_until(lambda: len(results) > done)
                first = time.monotonic() - back
                await _wait_until(lambda: run.statistics().volunteers == arguments.volunteers)
                everybody = time.monotonic() - back
            exact = results == list(range(arguments.items))
            print(
                f"results again after {first:.1f} s, all {arguments.volunteers} volunteers after "
                f"{everybody:.1f} s; {'exact' if exact else 'NOT EXACT'}: {len(results):,} results"
            )
    finally:
        end(server, *volunteers)


def nap(item: int) -> int:
    """Wait, so that many volunteers do not need many cores."""
    time.sleep(0.05)
    return item


async def slow_link(arguments: argparse.Namespace) -> None:
    """Large values over a link that is slow in both directions."""
    port = free_port()
    server = start_server(port)
    size = arguments.megabytes * 1_000_000
    items = [bytes([number]) * size for number in range(arguments.count)]
    try:
        async with (
            pando.open_run(turn, workers=0, serve=options_at(port)) as run,
            limited(port, arguments.mbits * 1e6 / 8) as slow,
        ):
            volunteer = start_volunteer(run.links[0].replace(f":{port}/", f":{slow}/"))
            began = time.monotonic()
            results = [result async for result in run.map(items)]
            took = time.monotonic() - began
            counters = run.statistics().counters
            end(volunteer)
            print(
                f"{len(results)} values of {arguments.megabytes} MB there and back in "
                f"{took:.0f} s; exact: {results == [item[::-1] for item in items]}; "
                f"volunteers joined: {counters['joined']}, left or lost: {counters.get('left', 0)}"
            )
    finally:
        end(server)


@asynccontextmanager
async def limited(port: int, bytes_per_second: float) -> AsyncIterator[int]:
    """A port that leads to another one, with so many bytes a second in each direction."""

    async def pump(
        source: trio.SocketStream, target: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        try:
            while data := await source.receive_some(int(bytes_per_second / 50)):
                await trio.sleep(len(data) / bytes_per_second)
                await target.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        scope.cancel()

    async def serve(near: trio.SocketStream) -> None:
        far = await trio.open_tcp_stream("localhost", port)
        async with far, trio.open_nursery() as nursery:
            nursery.start_soon(pump, near, far, nursery.cancel_scope)
            nursery.start_soon(pump, far, near, nursery.cancel_scope)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0))
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


def count_results(run: pando.Run[int, int]) -> int:
    return sum(stream.finished + stream.delivered for stream in run.statistics().streams)


def processor(process: psutil.Process) -> float:
    """The processor time that a process has used, in seconds."""
    times = process.cpu_times()
    return float(times.user + times.system)


Measure = Callable[[argparse.Namespace], Awaitable[None]]
COMMANDS: dict[str, Measure] = {
    "crowd": crowd,
    "no-op": no_op,
    "restart": restart,
    "slow-link": slow_link,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--volunteers", type=int)
    parser.add_argument("--rooms", type=int, default=10)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--items", type=int, default=6000)
    parser.add_argument("--megabytes", type=int, default=64)
    parser.add_argument("--mbits", type=float, default=10.0)
    parser.add_argument("--count", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.volunteers is None:
        arguments.volunteers = 1000 if arguments.command == "crowd" else 20
    raise_file_limit()
    print(describe_machine("pando-computing", "trio", "trio-websocket", "websockets"))
    with tempfile.TemporaryDirectory() as home:  # for links, and for what marks a user's own runs
        os.environ["HOME"] = home
        trio.run(COMMANDS[arguments.command], arguments)


if __name__ == "__main__":
    main()
