"""What monitoring costs the root: ``python reporting.py``.

Devices in a tree of degree 10 report each 3 seconds; their updates are made beforehand, so that
only the root's work is timed: decode and take them, bring what is shown up to date, and encode it
for a log and for a page. Then volunteers come and go for a simulated day. At last, what a call of
`pando.report` takes beyond the call of a function that does nothing.
"""

from __future__ import annotations

import argparse
import functools
import gc
import random
import resource
import time
import timeit

import msgspec

import pando
from pando.reporting.device import Measured, Reporter
from pando.reporting.ledger import Ledger
from pando.reporting.live import Viewer, encode
from pando.reporting.monitor import Monitor, RunFigures
from pando.reporting.passing import Incoming, Outgoing
from pando.reports.records import Device, Update

DEGREE = 10
INTERVAL = 3.0
WORKERS = 4
ROOT = b"the root"

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Update)


class Node:
    """A device that computes, and passes on what those below it report."""

    def __init__(self, number: int, parent: bytes, random: random.Random) -> None:
        self.node = number.to_bytes(8, "big")
        self.ledger = Ledger()
        self.children: list[tuple[Node, Incoming]] = []
        self._device = Device(
            self.node,
            random.getrandbits(53),
            parent,
            f"device {number}",
            "native",
            "0.1.0",
            "websocket",
            WORKERS,
        )
        self._random = random
        self._reporter = Reporter(0.0, INTERVAL)
        self._measured = Measured()
        self._outgoing = Outgoing(self.node)

    def add(self, child: Node) -> None:
        """Take a child."""
        self.children.append((child, Incoming(child.node, self.ledger, self.node)))

    def update(self, now: float) -> bytes:
        """Return what this node tells its parent, encoded."""
        for child, incoming in self.children:
            incoming.take(_decoder.decode(child.update(now)), now)
        busy = WORKERS * INTERVAL * self._random.random()
        before = self._measured
        self._measured = Measured(
            items=before.items + self._random.randrange(50_000),
            function=before.function + busy,
            starved=before.starved + WORKERS * INTERVAL - busy,
            cpu=before.cpu + busy,
            bytes_in=before.bytes_in + self._random.randrange(10**7),
            bytes_out=before.bytes_out + self._random.randrange(10**7),
            transfer=before.transfer + self._random.random(),
        )
        self.ledger.hear(self._reporter.report(self._device, self._measured, now), "own", now)
        return _encoder.encode(self._outgoing.encode(self.ledger))


def make_tree(count: int) -> list[Node]:
    """Return the root's children, with all devices below them."""
    generator = random.Random(1)
    nodes: list[Node] = []
    for number in range(count):
        place = (number - DEGREE) // DEGREE
        parent = None if number < DEGREE else nodes[place]
        node = Node(number + 1, ROOT if parent is None else parent.node, generator)
        nodes.append(node)
        if parent is not None:
            parent.add(node)
    return nodes[:DEGREE]


def measure_root(count: int, intervals: int) -> None:
    """Print what reports of this many devices cost the root."""
    top = make_tree(count)
    updates = [[node.update(INTERVAL * (step + 1)) for node in top] for step in range(intervals)]
    monitor = Monitor("benchmark", ROOT, 0.0, INTERVAL)
    incoming = [Incoming(node.node, monitor.ledger, ROOT) for node in top]
    viewer = Viewer(monitor)
    first = min(3, intervals - 1)
    sent = page = 0
    seconds = dict.fromkeys(("hear", "show", "log", "page"), 0.0)
    for step, messages in enumerate(updates):
        now = INTERVAL * (step + 1)
        times = [time.process_time()]
        for link, data in zip(incoming, messages, strict=True):
            link.take(_decoder.decode(data), now)
        times.append(time.process_time())
        information = monitor.tick(RunFigures(done=step), now)
        times.append(time.process_time())
        information.to_json()
        times.append(time.process_time())
        message = viewer.next()
        page_bytes = len(encode(message)) if message is not None else 0
        times.append(time.process_time())
        if step >= first:
            sent += sum(map(len, messages))
            page += page_bytes
            for part, begin, end in zip(seconds, times, times[1:], strict=False):
                seconds[part] += end - begin
    passed = INTERVAL * (intervals - first)
    shares = ", ".join(f"{part} {100 * one / passed:.2f} %" for part, one in seconds.items())
    print(
        f"{count:,} devices: {100 * sum(seconds.values()) / passed:.2f} % of a core ({shares}), "
        f"{sent / passed / count * 100 / 1024:.2f} KB/s to the root per 100 devices, "
        f"{page / passed / 1024:.0f} KB/s to a page"
    )


def measure_day(count: int, intervals: int, stay: int) -> None:
    """Print how much the root keeps while devices come and go."""
    generator = random.Random(1)
    monitor = Monitor("benchmark", ROOT, 0.0, INTERVAL)
    came = count
    nodes = [Node(number + 1, ROOT, generator) for number in range(count)]
    links = [Incoming(node.node, monitor.ledger, ROOT) for node in nodes]
    for step in range(1, intervals + 1):
        now = INTERVAL * step
        for place, node in enumerate(nodes):
            links[place].take(_decoder.decode(node.update(now)), now)
            if generator.randrange(stay) == 0:
                monitor.ledger.close(node.node, now, lost=True)
                came += 1
                nodes[place] = Node(came, ROOT, generator)
                links[place] = Incoming(nodes[place].node, monitor.ledger, ROOT)
        monitor.tick(RunFigures(done=step), now)
        if step % (intervals // 12) == 0:
            gc.collect()
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"after {now / 3600:4.1f} h: {came:,} devices came, {len(gc.get_objects()):,} "
                f"objects, {memory:.1f} MB at the most"
            )


def measure_report(calls: int) -> None:
    """Print what a call of `pando.report` takes."""

    def empty(
        info: object = None,
        /,
        *,
        items: float = 1,
        units: str = "",
        cpu_time: float = 0.0,
        transfer_time: float = 0.0,
    ) -> None:
        pass

    info = {"nbItems": 1, "units": "BigNums", "cpuTime": 3, "dataTransferTime": 0}
    for words, call in {
        "by keyword": lambda report: report(items=1, units="BigNums", cpu_time=0.1),
        "as a dict": lambda report: report(info),
    }.items():
        best = [
            min(timeit.repeat(functools.partial(call, report), number=calls, repeat=7))
            for report in (pando.report, empty)
        ]
        print(f"pando.report {words}: {1e6 * (best[0] - best[1]) / calls:.2f} µs beyond the call")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, nargs="*", default=[100, 1000, 5000])
    parser.add_argument("--intervals", type=int, default=60)
    parser.add_argument("--day", type=int, default=28_800, help="intervals of the day; 0: none")
    parser.add_argument("--reports", type=int, default=200_000, help="calls of pando.report")
    arguments = parser.parse_args()
    for count in arguments.devices:
        measure_root(count, arguments.intervals)
    if arguments.day:
        measure_day(100, arguments.day, 200)
    measure_report(arguments.reports)


if __name__ == "__main__":
    main()
