"""Light volunteers, many in one process: ``python light.py LINK[,LINK …] COUNT [--watch]``.

A light volunteer joins, holds its place in the tree, relays and delegates with the very code that
`pando-volunteer` runs, over real sockets. Only its worker is not a process: it answers each item
with the item itself when a second has passed. So a thousand of them fit on one machine, and what
is measured is the tree.

Standard output has a line ``ready``, then one JSON object each `REPORT_SECONDS`; they start to
join at the first line of standard input. With ``--watch`` it is looked at all the time what carries
their links, and at a second line of standard input they leave in order.
"""

from __future__ import annotations

import importlib
import json
import math
import resource
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec
import trio

from pando import messages
from pando.channel import MessageChannel
from pando.errors import UsageError
from pando.volunteering import Volunteer, VolunteerOptions
from pando.volunteering.device import VolunteerState

ITEM_SECONDS = 1.0
REPORT_SECONDS = 0.25
LOOK_SECONDS = 0.1
"""Between two looks at each link: an orphan pauses for longer before it asks for a parent."""

_split = msgspec.msgpack.Decoder(list[msgspec.Raw])


class _Item(NamedTuple):
    lease: int
    offset: int
    value: msgspec.Raw
    received: float


class LightWorker:
    """Computes one item after the other, for a second each, on Trio's clock.

    It is the node's channel to itself, so that it costs no tasks: it computes while the node waits
    for what it says. The next item begins when the one before ends, if it was there by then, and
    not when this process gets round to it: a real worker would not be slowed down by its
    neighbours' messages.

    Args:
        begun: called when items are here.
    """

    def __init__(self, begun: Callable[[], None]) -> None:
        self._begun = begun
        self._waiting: deque[_Item] = deque()
        self._running: _Item | None = None
        self._free = 0.0
        self._returned: deque[messages.ReturnItems] = deque()
        self._news = trio.Event()

    async def send(self, message: messages.Message) -> None:
        """Take in what the node says."""
        if isinstance(message, messages.Lend):
            now = trio.current_time()
            self._waiting.extend(
                _Item(message.lease, offset, value, now)
                for offset, value in enumerate(_split.decode(message.items))
            )
            self._begun()
            if self._running is None:
                self._news.set()
        elif isinstance(message, messages.Recall):
            self._give_back(message.lease)

    async def receive(self) -> messages.Message:
        """The next result, when it is due, or items that go back."""
        while True:
            if self._returned:
                return self._returned.popleft()
            if self._running is None and self._waiting:
                self._running = self._waiting.popleft()
                self._free = max(self._free, self._running.received) + ITEM_SECONDS
            with trio.move_on_at(self._free if self._running else math.inf):
                await self._news.wait()
                self._news = trio.Event()
                continue
            if self._running is not None:
                item, self._running = self._running, None
                values = msgspec.Raw(b"\x91" + bytes(item.value))  # an array of one value
                return messages.Results(item.lease, item.offset, ITEM_SECONDS, values)

    async def aclose(self) -> None:
        """Nothing is to be closed."""

    def _give_back(self, lease: int) -> None:
        recalled = [item for item in self._waiting if item.lease == lease]
        if recalled:
            self._waiting = deque(item for item in self._waiting if item.lease != lease)
            first = recalled[0].offset
            self._returned.append(messages.ReturnItems(lease, first, len(recalled)))
            self._news.set()


class Member:
    """A light volunteer of a crowd.

    Attributes:
        volunteer: it.
        begun: when it had its first item; 0 before.
        direct: when it was first seen to compute over WebRTC; 0 before.
        orphaned: when it was seen to have no parent, if it has had no item since; else 0.
        again: each time that it has lost its parent, and that it had an item again.
    """

    def __init__(self, link: str, name: str) -> None:
        options = VolunteerOptions(workers=1, name=name, stay=False)

        def ignore(text: str) -> None:
            """Nobody reads what a thousand have to say."""

        self.volunteer = Volunteer(link, options, ignore, make_pool=self._make_pool)
        self.begun = self.direct = self.orphaned = 0.0
        self.again: list[tuple[float, float]] = []

    def _make_pool(self, function: bytes, count: int, serve: Serve, **options: object) -> LightPool:
        return LightPool(count, serve, self._begin)

    def _begin(self) -> None:
        now = time.monotonic()
        self.begun = self.begun or now
        if self.orphaned:
            self.again.append((self.orphaned, now))
            self.orphaned = 0.0

    def look(self) -> None:
        """See what has become of its link."""
        seen = self.volunteer.statistics()
        if self.begun and seen.state is not VolunteerState.COMPUTING:
            self.orphaned = self.orphaned or time.monotonic()
        if self.begun and not self.direct and seen.link == "webrtc":
            self.direct = time.monotonic()


class Crowd:
    """Many light volunteers under one Trio loop.

    Args:
        links: of the root; several are joined in turn.
        count: how many.
        watches: whether their links are looked at.
    """

    def __init__(self, links: list[str], count: int, *, watches: bool = False) -> None:
        self._members = [
            Member(links[number % len(links)], f"light {number}") for number in range(count)
        ]
        self._watches = watches
        self._turned_away = 0

    async def run(self) -> None:
        """Join and compute until the run is over."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._report)
            async with trio.open_nursery() as volunteers:
                if self._watches:
                    nursery.start_soon(self._watch)
                    nursery.start_soon(self._leave_when_told, volunteers.cancel_scope)
                for member in self._members:
                    volunteers.start_soon(self._take_part, member)
            nursery.cancel_scope.cancel()

    async def _take_part(self, member: Member) -> None:
        try:
            await member.volunteer.run()
        except UsageError:
            self._turned_away += 1

    async def _watch(self) -> None:
        while True:
            for member in self._members:
                member.look()
            await trio.sleep(LOOK_SECONDS)

    async def _leave_when_told(self, scope: trio.CancelScope) -> None:
        await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
        async with trio.open_nursery() as nursery:
            for member in self._members:
                nursery.start_soon(member.volunteer.leave)
        scope.cancel()

    async def _report(self) -> None:
        while True:
            await trio.sleep(REPORT_SECONDS)
            usage = resource.getrusage(resource.RUSAGE_SELF)
            begun = [member.begun for member in self._members if member.begun]
            report = {
                "computing": len(begun),
                "last_begun": max(begun, default=0.0),
                "turned_away": self._turned_away,
                "cpu": usage.ru_utime + usage.ru_stime,
            }
            if self._watches:
                direct = [member.direct for member in self._members if member.direct]
                report["direct"] = len(direct)
                report["last_direct"] = max(direct, default=0.0)
                report["again"] = [member.again for member in self._members if member.again]
                report["orphaned"] = sum(member.orphaned > 0 for member in self._members)
            say(json.dumps(report))


Serve = Callable[[MessageChannel, str], Awaitable[object]]


class LightPool:
    """What a light volunteer has in the place of a `pando.worker.pool.WorkerPool`.

    Args:
        count: how many workers.
        serve: given the channel to each.
        begun: called when items are here.
    """

    def __init__(self, count: int, serve: Serve, begun: Callable[[], None]) -> None:
        self._count = count
        self._serve = serve
        self._begun = begun

    async def run(self, failed: Callable[[Exception], None]) -> None:
        """Run until cancelled."""
        async with trio.open_nursery() as nursery:
            for number in range(1, self._count + 1):
                worker = LightWorker(self._begun)
                nursery.start_soon(self._serve, worker, f"worker {number}")


def say(line: str) -> None:
    """One line on standard output, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def raise_file_limit() -> None:
    """As many open files as this process may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def load_webrtc() -> None:
    """Import what carries links by WebRTC, as one does who has begun some time ago."""
    importlib.import_module("aiortc")


def main() -> None:
    """Wait for the word, then join."""
    links, count, watches = sys.argv[1].split(","), int(sys.argv[2]), "--watch" in sys.argv
    raise_file_limit()
    if watches:
        load_webrtc()
    say("ready")
    sys.stdin.readline()
    trio.run(Crowd(links, count, watches=watches).run)


if __name__ == "__main__":
    main()
