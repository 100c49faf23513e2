"""A volunteer's report link, over memory channels: it comes back, and harms nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from pando import messages
from pando.channel import ChannelClosedError, memory_channel_pair
from pando.errors import UsageError
from pando.net.keepalive import KeepaliveChannel
from pando.net.trust.errors import TrustError
from pando.reporting.device import Measured, Reporter
from pando.reporting.ledger import Ledger
from pando.reporting.report_link import ReportReader
from pando.reports.records import Device, Report
from pando.volunteering.backoff import LONGEST_PAUSE_SECONDS
from pando.volunteering.report_link import OPEN_SECONDS, ReportLink

NODE, ROOT = b"a device", b"the root"
INTERVAL, SILENCE = 3.0, 10.0
HELLO = messages.Hello("device", 4, "run", reports=True)


class Root:
    """A root that a device reports to, as well as it can.

    Attributes:
        tries: when the device has tried to connect.
        failure: what it meets then, if anything.
        far: the root's end of the newest link.
    """

    def __init__(self) -> None:
        self.tries: list[float] = []
        self.failure: Exception | None = None
        self.says: messages.Message | None = messages.Welcome(ROOT)
        self.far: KeepaliveChannel | None = None
        self._reporter = Reporter(trio.current_time(), INTERVAL)
        self._made = 0

    @asynccontextmanager
    async def connect(self, hello: bytes) -> AsyncIterator[KeepaliveChannel]:
        self.tries.append(trio.current_time())
        assert messages.decode(hello) == HELLO
        if self.failure is not None:
            raise self.failure
        near, far = memory_channel_pair()
        self.far = KeepaliveChannel(far, silence=SILENCE)
        if self.says is not None:
            await self.far.send(self.says)
        try:
            yield KeepaliveChannel(near)
        finally:
            await near.aclose()

    def make_report(self) -> Report:
        self._made += 1
        own = Device(NODE, 1, ROOT, "device")
        return self._reporter.report(own, Measured(items=self._made), trio.current_time())

    def new_link(self) -> ReportLink:
        return ReportLink(
            self.connect, NODE, HELLO, self.make_report, interval=INTERVAL, silence=SILENCE
        )


async def hear(root: Root, ledger: Ledger, count: int) -> None:
    """Take so many reports at the root's end, while its heartbeats go on."""
    far = root.far
    assert far is not None
    now = trio.current_time()
    reader = ReportReader(NODE, ledger, far, interval=INTERVAL, silence=SILENCE, now=now)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(far.run)
        for _ in range(count):
            update = await far.receive()
            assert isinstance(update, messages.Update)
            reader.take(update, trio.current_time())
        nursery.cancel_scope.cancel()


async def test_it_reports_each_interval(autojump_clock: Any) -> None:
    root, ledger = Root(), Ledger()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(root.new_link().run)
        await trio.sleep(0.001)
        await hear(root, ledger, 5)
        assert trio.current_time() == pytest.approx(4 * INTERVAL, abs=1)
        assert ledger.entries[NODE].total.items == 5
        nursery.cancel_scope.cancel()
    assert len(root.tries) == 1


async def test_it_comes_back_and_tells_all_anew(autojump_clock: Any) -> None:
    root, ledger = Root(), Ledger()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(root.new_link().run)
        await trio.sleep(0.001)
        for links in range(1, 4):
            await hear(root, ledger, 2)
            assert root.far is not None
            assert len(root.tries) == links
            await root.far.aclose()
            await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert ledger.entries[NODE].report.sequence >= 6


FAILURES = {
    "unreachable": ChannelClosedError("the root cannot be reached"),
    "refused": TrustError("this is another run"),
    "another user": UsageError("another user listens there"),
    "nonsense": messages.MalformedMessageError("not a message"),
    "an error in Pando": RuntimeError("this should not happen"),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_where_it_cannot_be_opened_it_is_tried_again_ever_more_seldom(
    autojump_clock: Any, failure: str
) -> None:
    root = Root()
    root.failure = FAILURES[failure]
    with trio.move_on_after(600):
        await root.new_link().run()
    pauses = [after - before for before, after in zip(root.tries, root.tries[1:], strict=False)]
    assert pauses[0] < 1
    assert all(
        LONGEST_PAUSE_SECONDS / 2 <= pause <= LONGEST_PAUSE_SECONDS for pause in pauses[-10:]
    )
    assert len(root.tries) < 150


@pytest.mark.parametrize("says", [messages.JoinRejected("no"), messages.RunEnded()])
async def test_a_root_that_lets_nobody_report_is_left(
    autojump_clock: Any, says: messages.Message
) -> None:
    root = Root()
    root.says = says
    with trio.move_on_after(600):
        await root.new_link().run()
    assert 10 < len(root.tries) < 150
    assert root.far is not None
    with pytest.raises(ChannelClosedError):
        raise_if_report(await root.far.receive())


def raise_if_report(message: messages.Message) -> None:
    """Nothing may have come."""
    raise AssertionError(f"it has sent {message}")


async def test_a_root_that_says_nothing_is_left_after_a_while(autojump_clock: Any) -> None:
    root = Root()
    root.says = None
    with trio.move_on_after(OPEN_SECONDS * 3.5):
        await root.new_link().run()
    assert len(root.tries) in (3, 4)


async def test_a_root_that_falls_silent_is_left(autojump_clock: Any) -> None:
    root = Root()
    with trio.move_on_after(5 * SILENCE):
        await root.new_link().run()
    assert len(root.tries) > 2


async def test_whatever_the_root_says_on_it_ends_it(autojump_clock: Any) -> None:
    root, ledger = Root(), Ledger()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(root.new_link().run)
        await trio.sleep(0.001)
        await hear(root, ledger, 1)
        assert root.far is not None
        await root.far.send(messages.Recall(1))
        await trio.sleep(2)
        assert len(root.tries) == 2
        nursery.cancel_scope.cancel()
