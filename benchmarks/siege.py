"""How fast a run goes on while strangers hammer its port: ``python benchmarks/siege.py``.

Items of 1 ms on one worker, first in peace, then while another process opens 200 connections a
second and sends garbage, refused requests, and WebSockets whose first message is garbage. The
attacker has the machine's other core.
"""

from __future__ import annotations

import os
import random
import socket
import statistics
import subprocess
import sys
import time

import trio

import pando
from pando.running.serve_options import ServeOptions

ROUNDS = 3
SECONDS = 6.0
CONNECTIONS_PER_TENTH = 20
HELD = 500
"""Connections that the attacker keeps open."""
UPGRADE = (
    b"GET /node HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
REBOUND = b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"


def one_millisecond(x: int) -> int:
    """A millisecond of processor time."""
    end = time.thread_time() + 0.001
    while time.thread_time() < end:
        pass
    return x


def attack(port: int, seconds: float) -> int:
    """Hammer a port, and return with how many connections."""
    held: list[socket.socket] = []
    count = 0
    end = time.monotonic() + seconds
    while (started := time.monotonic()) < end:
        for _ in range(CONNECTIONS_PER_TENTH):
            connection = socket.create_connection(("127.0.0.1", port))
            garbage = os.urandom(204)
            weapons = [garbage, UPGRADE + b"\x82\xfe\x00\xc8" + garbage, REBOUND, b""]
            connection.sendall(random.choice(weapons))
            held.append(connection)
            count += 1
        while len(held) > HELD:
            held.pop(0).close()
        time.sleep(max(0.0, 0.1 - (time.monotonic() - started)))
    return count


async def measure_rate(stream: pando.ResultStream[int]) -> float:
    """Results per second."""
    count, started = 0, time.monotonic()
    while time.monotonic() - started < SECONDS:
        count += len(await stream.next_batch())
    return count / (time.monotonic() - started)


async def measure() -> None:
    """Print the ratio of each round, and their median."""
    options = ServeOptions(port=0, listen="127.0.0.1")
    ratios = []
    async with pando.open_run(one_millisecond, workers=1, serve=options) as run:
        port = run.links[0].rpartition(":")[2].partition("/")[0]
        stream = run.map(range(10**9))
        await measure_rate(stream)
        for _ in range(ROUNDS):
            peace = await measure_rate(stream)
            command = [sys.executable, __file__, port]
            attacker = subprocess.Popen(  # noqa: ASYNC220 - it starts at once
                command, stdout=subprocess.PIPE, text=True
            )
            besieged = await measure_rate(stream)
            connections = attacker.communicate()[0].strip()
            ratios.append(besieged / peace)
            print(f"{peace:.0f}/s, besieged by {connections} connections {besieged:.0f}/s")
        print(f"median {statistics.median(ratios):.1%} of its speed (goal: 90 %)")
        print("counted:", run.statistics().counters)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(attack(int(sys.argv[1]), SECONDS))
    else:
        trio.run(measure)
