"""Report links at a root: who may have one, what is taken, and that nothing else is touched."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.testing

from pando import messages
from pando.channel import Channel, ChannelClosedError, memory_channel_pair
from pando.net.keepalive import KeepaliveChannel
from pando.net.trust.errors import JoinRefusedError
from pando.net.trust.identity import NodeIdentity
from pando.net.visitor import Visitor
from pando.reporting.device import Measured, Reporter
from pando.reporting.ledger import Ledger
from pando.reporting.report_link import MAX_REPORT_BYTES, OwnUpdates
from pando.reports.records import Device
from pando.running.value_codec import ValueCodec
from pando.tree.membership import Membership
from pando.tree.node import Node
from pando.tree.overlay import Overlay
from pando.tree.report_links import NOT_HERE, NOT_IN_RUN

from .test_admission import ASSIGNMENT, HOST, ROOT, Ignored, open_identity

SILENCE = 10.0


class Root:
    """A root with report links, and devices that join it."""

    def __init__(self, nursery: trio.Nursery, *, has_report_links: bool = True) -> None:
        self.ledger = Ledger()
        self._nursery = nursery
        self.membership = Membership.of_root(
            Node(ValueCodec()),
            Overlay(ROOT, degree=2),
            Ignored(),
            open_identity(),
            ASSIGNMENT,
            silence=SILENCE,
            global_ledger=self.ledger if has_report_links else None,
        )

    async def connect(
        self, identity: NodeIdentity, *, is_relayed: bool = False, **hello: Any
    ) -> KeepaliveChannel:
        ours, theirs = memory_channel_pair()
        visitor = Visitor(HOST, is_relayed=is_relayed)
        self._nursery.start_soon(self._serve, theirs, visitor)
        said = messages.encode(messages.Hello(**hello))
        return KeepaliveChannel(await identity.join_root(ours, None, None, said), silence=SILENCE)

    async def _serve(self, channel: Channel, visitor: Visitor) -> None:
        """Serve a connection, and close it afterwards, as a listener does."""
        await self.membership.handle_connection(channel, visitor)
        await channel.aclose()

    async def join(self, identity: NodeIdentity, *, is_relayed: bool = False) -> KeepaliveChannel:
        """Let a device become a child, whose heartbeats go on."""
        link = await self.connect(identity, is_relayed=is_relayed)
        assert isinstance(await link.receive(), messages.RunInfo)
        await link.send(messages.Ready())
        assert await link.receive() == messages.Welcome(ROOT)
        self._nursery.start_soon(link.run)
        self._nursery.start_soon(self._read, link)
        await trio.testing.wait_all_tasks_blocked()
        return link

    async def _read(self, link: KeepaliveChannel) -> None:
        """Read what a child is told, so that it hears the root's heartbeats."""
        with suppress(ChannelClosedError):
            while True:
                await link.receive()

    async def open_report_link(
        self, identity: NodeIdentity, run: str = ASSIGNMENT.run
    ) -> KeepaliveChannel:
        link = await self.connect(identity, run=run, reports=True)
        assert await link.receive() == messages.Welcome(ROOT)
        return link


class Reports:
    """What a device tells."""

    def __init__(self, node: bytes) -> None:
        self._node = node
        self.updates = OwnUpdates(node)
        self._reporter = Reporter(trio.current_time(), ASSIGNMENT.reporting_interval)

    def make(self, items: int) -> messages.Update:
        own = Device(self._node, 1, ROOT, "device", workers=4)
        now = trio.current_time()
        return self.updates.encode(self._reporter.report(own, Measured(items=items), now), now)


async def closed(link: KeepaliveChannel) -> None:
    """Assert that the other end closes a link."""
    with pytest.raises(ChannelClosedError):
        await link.receive()


async def test_a_device_of_the_run_reports_on_a_link_of_its_own(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        root, identity = Root(nursery), NodeIdentity()
        await root.join(identity)
        link = await root.open_report_link(identity)
        reports = Reports(identity.identifier)
        for items in (5, 9):
            await link.send(reports.make(items))
            await trio.sleep(3)
        [entry] = root.ledger.live()
        assert (entry.device.node, entry.total.items) == (identity.identifier, 9)
        assert identity.identifier not in root.membership.ledger.entries
        await link.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert not root.ledger.live()
        assert [child.node for child in root.membership.children] == [identity.identifier]
        nursery.cancel_scope.cancel()


async def test_a_device_has_one_report_link(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        root, identity = Root(nursery), NodeIdentity()
        await root.join(identity)
        first = await root.open_report_link(identity)
        reports = Reports(identity.identifier)
        await first.send(reports.make(1))
        second = await root.open_report_link(identity)
        await closed(first)
        reports.updates.begin_link()
        await second.send(reports.make(2))
        await trio.testing.wait_all_tasks_blocked()
        assert len(root.membership.report_links or ()) == 1
        assert [entry.total.items for entry in root.ledger.live()] == [2]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("who", ["a stranger", "not ready", "of another run", "sent away"])
async def test_only_a_device_that_is_in_the_run_may_report(autojump_clock: Any, who: str) -> None:
    async with trio.open_nursery() as nursery:
        root, identity = Root(nursery), NodeIdentity()
        run = ASSIGNMENT.run
        if who == "not ready":
            await (await root.connect(identity)).receive()
        elif who != "a stranger":
            await root.join(identity)
        if who == "of another run":
            run = "another"
        if who == "sent away":
            await root.membership.send_away(identity.identifier)
        with pytest.raises(JoinRefusedError) as refusal:
            await root.connect(identity, run=run, reports=True)
        assert refusal.value.reason == NOT_IN_RUN
        assert root.membership.counters["report_links_refused"] == 1
        assert len(root.membership.report_links or ()) == 0
        assert root.membership.joining == (who == "not ready")
        nursery.cancel_scope.cancel()


async def test_a_run_without_report_links_refuses_them(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        root, identity = Root(nursery, has_report_links=False), NodeIdentity()
        child = await root.join(identity)
        with pytest.raises(JoinRefusedError) as refusal:
            await root.connect(identity, run=ASSIGNMENT.run, reports=True)
        assert refusal.value.reason == NOT_HERE
        await child.send(messages.Heartbeat())
        nursery.cancel_scope.cancel()


async def test_below_the_root_there_are_no_report_links(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        root, parent, identity = Root(nursery), NodeIdentity(), NodeIdentity()
        await root.join(parent)
        await root.join(identity)
        below = Membership(
            Node(ValueCodec()), Overlay(parent.identifier, degree=2), Ignored(), parent
        )
        offer = await below.placement.find_parent_slot(identity.identifier)
        ours, theirs = memory_channel_pair()
        nursery.start_soon(below.handle_connection, theirs, Visitor(HOST))
        hello = messages.encode(messages.Hello(run=ASSIGNMENT.run, reports=True))
        with pytest.raises(JoinRefusedError) as refusal:
            await identity.join_parent(ours, parent.identifier, offer.ticket, hello)
        assert refusal.value.reason == NOT_HERE
        assert not below.children
        nursery.cancel_scope.cancel()


async def test_a_device_that_is_sent_away_reports_no_more(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        root, identity = Root(nursery), NodeIdentity()
        await root.join(identity)
        link = await root.open_report_link(identity)
        await root.membership.send_away(identity.identifier)
        await trio.testing.wait_all_tasks_blocked()
        assert len(root.membership.report_links or ()) == 0
        await closed(link)
        nursery.cancel_scope.cancel()


async def violate(how: str, link: KeepaliveChannel, reports: Reports) -> None:
    """Send what may not come on a report link."""
    match how:
        case "another message":
            await link.send(messages.Capacity(1000))
        case "a large message":
            await link.send(messages.Large(2**26))
        case "another device's report":
            await link.send(Reports(b"somebody").make(1))
        case "bytes":
            await link.send_encoded(b"\xc1")
        case "reports without end":
            for items in range(1000):
                await link.send(reports.make(items))


@pytest.mark.parametrize(
    "how",
    [
        "another message",
        "a large message",
        "another device's report",
        "bytes",
        "reports without end",
    ],
)
async def test_who_breaks_the_rules_loses_the_link_and_no_more(
    autojump_clock: Any, how: str
) -> None:
    async with trio.open_nursery() as nursery:
        root, identity = Root(nursery), NodeIdentity()
        child = await root.join(identity)
        link = await root.open_report_link(identity)
        try:
            await violate(how, link, Reports(identity.identifier))
        except ChannelClosedError:
            assert how == "reports without end"
        await closed(link)
        counters = root.membership.counters
        over_rate = how == "reports without end"
        assert counters["report_links_over_rate"] == over_rate
        assert counters["report_link_violations"] == (not over_rate)
        await trio.sleep(3 * SILENCE)
        assert [each.node for each in root.membership.children] == [identity.identifier]
        await child.send(messages.Capacity(3))
        await (await root.open_report_link(identity)).aclose()
        nursery.cancel_scope.cancel()


async def test_a_silent_link_ends(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        root, identity = Root(nursery), NodeIdentity()
        await root.join(identity)
        await root.open_report_link(identity)
        await trio.sleep(3 * SILENCE)
        assert len(root.membership.report_links or ()) == 0
        assert [each.node for each in root.membership.children] == [identity.identifier]
        nursery.cancel_scope.cancel()


async def test_the_channel_itself_takes_no_longer_messages(autojump_clock: Any) -> None:
    class Limited:
        """A channel that can keep to a limit."""

        def __init__(self, channel: Any) -> None:
            self.limits: list[int] = []
            self.send, self.receive, self.aclose = channel.send, channel.receive, channel.aclose

        def limit_messages(self, max_bytes: int) -> None:
            self.limits.append(max_bytes)

    async with trio.open_nursery() as nursery:
        root, identity = Root(nursery), NodeIdentity()
        await root.join(identity)
        ours, theirs = memory_channel_pair()
        limited = Limited(theirs)
        nursery.start_soon(root.membership.handle_connection, limited, Visitor(HOST))
        hello = messages.encode(messages.Hello(run=ASSIGNMENT.run, reports=True))
        await identity.join_root(ours, None, None, hello)
        await trio.testing.wait_all_tasks_blocked()
        [limit] = limited.limits
        assert MAX_REPORT_BYTES < limit < MAX_REPORT_BYTES + 100
        nursery.cancel_scope.cancel()


# ---- relayed children ----


async def test_relayed_children_are_counted_and_those_beyond_the_degree(
    autojump_clock: Any,
) -> None:
    async with trio.open_nursery() as nursery:
        root = Root(nursery)
        assert root.membership.count_relayed() == (0, 0)
        await root.join(NodeIdentity())
        await root.join(NodeIdentity(), is_relayed=True)
        assert root.membership.count_relayed() == (1, 0)
        last = await root.join(NodeIdentity(), is_relayed=True)  # nobody else takes children
        await root.join(NodeIdentity())
        assert len(root.membership.placement.overlay.beyond_degree) == 2
        assert root.membership.count_relayed() == (2, 1)
        await last.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert root.membership.count_relayed() == (1, 0)
        nursery.cancel_scope.cancel()
