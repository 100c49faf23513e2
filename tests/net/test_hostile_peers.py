"""Hostile peers: whatever they send, others finish the stream exactly, and it is counted."""

from __future__ import annotations

import random
import resource
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio_websocket

from pando import messages, values
from pando.channel import Channel, ChannelClosedError, MessageChannel, memory_channel_pair
from pando.errors import MAX_TEXT
from pando.functions.serialized import as_received
from pando.limits import Limits
from pando.messages import Capacity, Hello, ItemCrashed, Ready, Results, ReturnItems, Update
from pando.net import keepalive as link
from pando.net import websocket
from pando.net.keepalive import KeepaliveChannel
from pando.net.trust.errors import TrustError
from pando.net.trust.identity import NodeIdentity
from pando.net.trust.initiator import Initiator, LinkedRoot
from pando.net.trust.join_link import JoinLink, LinkSecret
from pando.net.trust.keys import NodeKey
from pando.net.visitor import Visitor
from pando.reports.records import MAX_DEVICES, Device, Gone, Interval, Introduction
from pando.running.opening import open_serialized_run
from pando.running.options import RunOptions
from pando.running.run import Run
from pando.running.serve_options import ServeOptions
from pando.running.served_run import ServedRun
from pando.tree import admission, membership
from pando.tree.encoded_run import FunctionOffer

from .clients import NO_FUNCTION, UPGRADE, Client, comes_true, head

pytestmark = pytest.mark.socket

HOME = "127.0.0.1"
OWN = Visitor(HOME, is_own_user=True)
MAX_GROWTH = 256 * 1024 * 1024
"""Bytes by which the process may grow while it is under attack, both ends being in it."""
ONE = msgspec.Raw(values.encode([1]))
SOMEBODY = bytes(range(8))


class Siege:
    """A run with an honest volunteer, which goes on for as long as the attack does."""

    def __init__(self, run: Run[int, int], served: ServedRun) -> None:
        self.run = run
        self.served = served
        self.port = served.server.port
        self.over = False
        self.finished = 0

    @property
    def counters(self) -> Counter[str]:
        """What has been counted so far."""
        return Counter(self.run.statistics().counters)

    async def counted(self, kind: str, times: int = 1) -> bool:
        """Whether so many of a kind are counted within a generous time."""
        return await comes_true(lambda: self.counters[kind] >= times)

    async def progresses(self) -> bool:
        """Whether more results come."""
        before = self.finished
        return await comes_true(lambda: self.finished > before + 100)

    async def items(self) -> AsyncIterator[int]:
        number = 0
        while not self.over:
            yield number
            number += 1
            if number % 100 == 0:
                await trio.sleep(0.002)

    async def check_results(self) -> None:
        async for result in self.run.map(self.items()):
            assert result == self.finished**2
            self.finished += 1


@asynccontextmanager
async def siege(**options: Any) -> AsyncIterator[Siege]:
    """Attack in the block; at its end the stream must end too, with all results exact."""
    serve = ServeOptions(port=0, listen=HOME, **options)
    before = memory()
    async with (
        open_serialized_run(as_received(NO_FUNCTION), "square", RunOptions(0, serve=serve)) as run,
        trio.open_nursery() as nursery,
    ):
        assert run._served is not None
        under_siege = Siege(run, run._served)
        await nursery.start(honest_volunteer, run._served)
        checked = trio.Event()

        async def check() -> None:
            await under_siege.check_results()
            checked.set()

        nursery.start_soon(check)
        assert await under_siege.progresses()
        yield under_siege
        assert await under_siege.progresses()
        under_siege.over = True
        with trio.fail_after(30):
            await checked.wait()
        assert under_siege.counters["left"] < under_siege.counters["joined"]
        nursery.cancel_scope.cancel()
    assert memory() - before < MAX_GROWTH


def memory() -> int:
    """Bytes that this process occupies; 0 where that cannot be known."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * resource.getpagesize()


async def honest_volunteer(
    served: ServedRun, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """A volunteer that squares."""
    link = JoinLink.parse(served.links[0])
    said = messages.encode(Hello("honest"))
    async with websocket.connect(f"{HOME}:{served.server.port}") as channel:
        signs = KeepaliveChannel(
            await NodeIdentity().join_root(channel, link.fingerprint, link.secret, said)
        )
        assert isinstance(await signs.receive(), messages.RunInfo)
        await signs.send(Ready())
        assert isinstance(await signs.receive(), messages.Welcome)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(signs.run)
            task_status.started()
            with suppress(ChannelClosedError):
                await square_for(signs)
            nursery.cancel_scope.cancel()


async def square_for(channel: MessageChannel) -> None:
    """Answer each lease."""
    while True:
        message = await channel.receive()
        if isinstance(message, messages.Lend):
            squares = [item**2 for item in values.decode(memoryview(message.items))]
            encoded = msgspec.Raw(values.encode(squares))
            await channel.send(Results(message.lease, 0, 0.001, encoded))


class SocketChannel:
    """A `pando.channel.Channel` of a library that is not Pando's."""

    def __init__(self, socket: trio_websocket.WebSocketConnection) -> None:
        self.socket = socket

    async def send(self, data: bytes) -> None:
        await self.socket.send_message(data)

    async def receive(self) -> bytes:
        return bytes(await self.socket.get_message())

    async def aclose(self) -> None:
        await self.socket.aclose()


class Peer:
    """A client that sends what it likes."""

    def __init__(self, socket: trio_websocket.WebSocketConnection) -> None:
        self.socket = socket
        self.channel: Channel = SocketChannel(socket)

    async def send(self, said: messages.Message | bytes | str) -> None:
        if isinstance(said, str):
            await self.socket.send_message(said)
        else:
            await self.channel.send(said if isinstance(said, bytes) else messages.encode(said))

    async def receive(self) -> messages.Message:
        return messages.decode(await self.channel.receive())

    async def receive_kind(self, kind: type) -> Any:
        """The next message of a kind."""
        with trio.fail_after(20):
            while not isinstance(message := await self.receive(), kind):
                pass
        return message

    async def join(self, **hello: Any) -> None:
        said = messages.encode(Hello(**{"name": "hostile", **hello}))
        self.channel = await NodeIdentity().join_root(self.channel, None, None, said)
        await self.receive_kind(messages.RunInfo)
        await self.send(Ready())
        await self.receive_kind(messages.Welcome)

    async def is_cut_off(self) -> bool:
        with trio.move_on_after(20), suppress(trio_websocket.ConnectionClosed):
            while True:
                await self.socket.get_message()
        return self.socket.closed is not None


@asynccontextmanager
async def peer_of(
    besieged: Siege, *, joined: bool = False, headers: dict[str, str] | None = None
) -> AsyncIterator[Peer]:
    stream = await trio.open_tcp_stream(HOME, besieged.port)
    async with trio.open_nursery() as nursery:
        socket = await trio_websocket.wrap_client_stream(
            nursery,
            stream,
            HOME,
            "/node",
            message_queue_size=1000,
            extra_headers=[(k.encode(), v.encode()) for k, v in (headers or {}).items()],
        )
        peer = Peer(socket)
        try:
            if joined:
                await peer.join()
            yield peer
        finally:
            await trio.aclose_forcefully(stream)
        nursery.cancel_scope.cancel()


# ---- while connecting ----


@pytest.mark.parametrize("secret", [None, LinkSecret(bytes(16)), LinkSecret.choose("x" * 200)])
async def test_a_joining_node_without_the_link(secret: LinkSecret | None) -> None:
    # Behind a proxy nobody counts as the user of this machine.
    async with siege(public_url="http://localhost/") as besieged:
        fingerprint = JoinLink.parse(besieged.served.links[0]).fingerprint
        async with peer_of(besieged) as peer:
            why = "this link has ended" if secret else "the link is not complete"
            with pytest.raises(TrustError, match=why):
                await NodeIdentity().join_root(peer.channel, fingerprint, secret, b"")
            assert await peer.is_cut_off()
        assert besieged.counters == {"joined": 1, "failed_handshakes": 1}
        assert why in last_refusal(besieged)


async def test_a_node_of_another_version() -> None:
    async with siege() as besieged, peer_of(besieged) as peer:
        await peer.channel.receive()
        await peer.channel.send(bytes([99, 0]) + bytes(80))
        assert "version" in str(await peer.channel.receive())
        assert await peer.is_cut_off()
        assert "version" in last_refusal(besieged)


def last_refusal(besieged: Siege) -> str:
    """The text of the last event, which must be that a device was refused."""
    event = besieged.served.monitoring.monitor.events.since(0)[-1]
    assert (event.kind, event.name) == ("refused", "a device at 127.0.0.1")
    return event.text


@pytest.mark.parametrize("host", ["192.168.1.7", "127.0.0.1", "203.0.113.5", "localhost", ""])
async def test_only_the_same_user_needs_no_link(host: str) -> None:
    async with siege() as besieged, trio.open_nursery() as nursery:
        handle = besieged.served.membership.handle_connection
        for visitor in (Visitor(host), Visitor(host, is_relayed=True)):
            theirs, channel = memory_channel_pair()
            nursery.start_soon(handle, channel, visitor)
            with pytest.raises(TrustError, match="the link is not complete"):
                await NodeIdentity().join_root(theirs, None, None, messages.encode(Hello()))
            await theirs.aclose()
        assert await besieged.counted("failed_handshakes", 2)


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({"ask_token": True}, {}),
        ({"public_url": "http://localhost/"}, {}),
        ({}, {"X-Forwarded-For": "203.0.113.5"}),
        ({}, {"Forwarded": "for=203.0.113.5"}),
    ],
)
async def test_the_same_user_needs_the_link_where_others_come_this_way(
    options: dict[str, Any], header: dict[str, str]
) -> None:
    async with siege(**options) as besieged, peer_of(besieged, headers=header) as peer:
        with pytest.raises(TrustError, match="the link is not complete"):
            await NodeIdentity().join_root(peer.channel, None, None, messages.encode(Hello()))


async def test_only_a_page_that_is_not_relayed_is_spoken_to_in_clear() -> None:
    async with siege() as besieged, trio.open_nursery() as nursery:
        for is_relayed in (False, True):
            theirs, channel = memory_channel_pair()
            visitor = Visitor(HOME, is_own_user=True, is_relayed=is_relayed)
            nursery.start_soon(besieged.served.membership.handle_connection, channel, visitor)
            said = messages.encode(Hello())
            initiator = Initiator(
                LinkedRoot(None), NodeKey.generate(), psk=None, payload=said, leave_open=True
            )
            await theirs.send(initiator.receive_hello(await theirs.receive()))
            session = initiator.receive_reply(await theirs.receive())
            assert session.transport.is_encrypted is is_relayed
            await theirs.aclose()


async def test_the_first_message() -> None:
    """Each is answered with a refusal; what is said of oneself must make sense as well."""
    cases: list[tuple[bytes | str, str]] = [
        (b"\xff\x00garbage", "failed_handshakes"),
        (b"", "failed_handshakes"),
        (bytes(200), "failed_handshakes"),
        (messages.encode(Capacity(1)), "failed_handshakes"),
        ("text", "malformed_messages"),
    ]
    expected: Counter[str] = Counter()
    async with siege() as besieged:
        for said, kind in cases:
            async with peer_of(besieged) as peer:
                await peer.send(said)
                assert await peer.is_cut_off()
            expected[kind] += 1
        for said, reason in (
            (b"\xff\x00garbage", "not a message"),
            (messages.encode(Capacity(1)), "must say who it is"),
            (messages.encode(Hello(fingerprint="x" * 201)), "not a message"),
        ):
            async with peer_of(besieged) as peer:
                with pytest.raises(TrustError, match=reason):
                    await NodeIdentity().join_root(peer.channel, None, None, said)
                assert await peer.is_cut_off()
            expected["malformed_messages"] += 1
        assert besieged.counters - Counter(joined=1) == expected


async def test_a_first_message_that_is_too_large() -> None:
    async with siege() as besieged:
        for size in (websocket.FIRST_MESSAGE_BYTES + 1, 3_000_000):
            async with peer_of(besieged) as peer:
                with suppress(trio_websocket.ConnectionClosed):
                    await peer.send(b"x" * size)
                assert await peer.is_cut_off()
        assert await besieged.counted("join_protocol_violations", 2)


async def test_a_name_with_markup_and_control_characters() -> None:
    async with siege() as besieged, peer_of(besieged) as peer:
        await peer.join(name="\x1b[2J<script>\r\n\u202e'\";" + "x" * 900)
        await peer.send(report_on(SOMEBODY, name="\x1b]0;<b>\x07", counters=[1, *[2**53 - 1] * 15]))
        names = {child.name for child in besieged.served.membership.children}
        assert all(name.isprintable() and len(name) <= messages.MAX_NAME for name in names)
        ledger = besieged.served.membership.ledger
        assert await comes_true(lambda: SOMEBODY in ledger.entries)
        besieged.served.monitoring.finish()
        stream = await trio.open_tcp_stream(HOME, besieged.port)
        async with stream:
            reply = await Client(stream).request("GET", "/monitoring.json")
        shown = msgspec.json.decode(reply.body)
        assert reply.headers["content-type"] == "application/json"
        assert shown["volunteers"][SOMEBODY.hex()]["deviceName"] == "]0;<b>"


def report_on(node: bytes, *, name: str, counters: list[int]) -> Update:
    """Return a first report on a device."""
    return Update(
        introductions=[Introduction(0, Device(node, 1, name=name), 0, [])],
        intervals=[Interval(0, 1, counters)],
    )


# ---- many at once ----


async def test_five_hundred_handshakes_that_are_never_finished(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(membership, "FIRST_MESSAGE_SECONDS", 600.0)
    patient = Limits(head_seconds=600.0)  # so that all are there at once, on any machine
    async with siege(limits=patient) as besieged, AsyncExitStack() as stack:
        for number in range(500):
            stream = await trio.open_tcp_stream(HOME, besieged.port)
            stack.push_async_callback(trio.aclose_forcefully, stream)
            await stream.send_all((b"", b"GET /no", head("GET", "/node", **UPGRADE))[number % 3])
        assert await comes_true(lambda: besieged.served.server.connection_server.connections > 400)
        assert await besieged.progresses()


async def test_a_thousand_connections_at_once() -> None:
    async with siege() as besieged:

        async def connect(number: int) -> None:
            stream = await trio.open_tcp_stream(HOME, besieged.port)
            async with stream:
                await stream.send_all(head("GET", "/nothing") if number % 2 else b"\0\r\n\r\n")
                await stream.receive_some(1)

        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                for number in range(1000):
                    nursery.start_soon(connect, number)
        assert besieged.counters["malformed_requests"] == 500
        assert await comes_true(lambda: besieged.served.server.connection_server.connections == 1)


async def test_joining_nodes_that_do_not_read_the_function(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "UNREAD_SECONDS", 0.5)
    large = FunctionOffer(bytes(24_000_000))

    async def function_for(fingerprint: str) -> FunctionOffer:
        return large

    async with siege() as besieged, AsyncExitStack() as stack:
        admission_of_root = besieged.served.membership._admission
        assert admission_of_root is not None
        monkeypatch.setattr(admission_of_root, "_function_for", function_for)
        said = messages.encode(Hello())
        for _ in range(50):
            peer = await stack.enter_async_context(peer_of(besieged))
            await NodeIdentity().join_root(peer.channel, None, None, said)
            peer.socket._reader_running = False
        assert await besieged.counted("joins_stalled", 50)
        assert admission_of_root.joining == 0


# ---- from a child ----


async def test_frames_that_break_the_rules() -> None:
    mask = b"\0\0\0\0"
    cases = {
        "compressed": b"\xc2\x81" + mask + b"x",
        "a reserved bit": b"\xa2\x81" + mask + b"x",
        "an unknown opcode": b"\x83\x81" + mask + b"x",
        "no mask": b"\x82\x01x",
        "a continuation of nothing": b"\x80\x81" + mask + b"x",
        "a long ping": b"\x89\xfe\x00\x80" + mask + b"x" * 128,
        "a close whose reason is not UTF-8": b"\x88\x83" + mask + b"\x03\xe8\xff",
    }
    async with siege() as besieged:
        for count, frame in enumerate(cases.values(), 1):
            async with peer_of(besieged, joined=True) as peer:
                await peer.socket._stream.send_all(frame)
                assert await besieged.counted("child_protocol_violations", count)
                assert await peer.is_cut_off()


async def test_text_that_is_not_utf_8() -> None:
    async with siege() as besieged, peer_of(besieged, joined=True) as peer:
        await peer.socket._stream.send_all(b"\x81\x81\0\0\0\0\xff")
        assert await comes_true(lambda: violations(besieged) == 1)
        assert await peer.is_cut_off()


async def test_a_message_over_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_MESSAGE_BYTES", 1_000_000)
    async with siege() as besieged, peer_of(besieged, joined=True) as peer:
        with suppress(trio_websocket.ConnectionClosed):
            for _ in range(20):
                await peer.send(b"x" * 10_000_000)
        assert await besieged.counted("child_protocol_violations")


WANT = msgspec.Raw(messages.encode(Capacity(1)))


async def test_a_bundle_that_is_as_large_as_may_be() -> None:
    async with siege() as besieged, peer_of(besieged, joined=True) as peer:
        await peer.send(messages.Bundle([WANT] * messages.MAX_BUNDLED))
        await peer.receive_kind(messages.Lend)
        assert violations(besieged) == 0


async def test_a_malformed_value_sends_nobody_away() -> None:
    async with siege() as besieged, peer_of(besieged, joined=True) as peer:
        lend = await peer.receive_kind(messages.Lend)
        await peer.send(Results(lend.lease, 0, 1.0, msgspec.Raw(b"\x91\xc7\x01\x63a")))
        await peer.receive_kind(messages.Lend)
        assert violations(besieged) == 0


async def test_messages_that_make_no_sense() -> None:
    text = "x" * (MAX_TEXT + 1)
    failure = messages.Failure("E", "r")
    cases: list[messages.Message | bytes | str] = [
        b"\xff\x00garbage",
        "text",
        Hello(),
        messages.Lend(1, ONE),
        messages.Load([b"x"]),
        messages.Recall(1),
        messages.Join(SOMEBODY),
        messages.Join(b"short"),
        messages.RunInfo(1, SOMEBODY, "r", "n", b"f"),
        messages.JoinRejected("no"),
        messages.RunEnded(),
        Results(1, 0, float("nan"), ONE),
        Results(1, 0, float("inf"), ONE),
        Results(1, 0, -1.0, ONE),
        Results(1, 0, 1.0, msgspec.Raw(b"\x90")),
        Results(1, 0, 1.0, msgspec.Raw(b"\x01")),
        Results(1, 0, 1.0, ONE, {1: failure}),
        Results(1, 0, 1.0, ONE, {-1: failure}),
        Results(1, 0, 1.0, ONE, {0: messages.Failure("E", text)}),
        Results(1, 0, 1.0, ONE, {0: messages.Failure("E", "r", text)}),
        ItemCrashed(1, 0, text),
        messages.Bundle([WANT] * (messages.MAX_BUNDLED + 1)),
        messages.Bundle([msgspec.Raw(messages.encode(messages.Bundle([WANT])))]),
        msgspec.msgpack.encode(["want", 10**12 + 0.5]),
        msgspec.msgpack.encode(["update", [], [[0, [b"short", 1], 0, []]]]),
        msgspec.msgpack.encode(["update", [], [[0, [SOMEBODY, 1, b"", "x" * 65], 0, []]]]),
        msgspec.msgpack.encode(["update", [], [[0, [SOMEBODY, 1], 0, [-1]]]]),
        msgspec.msgpack.encode(["update", [], [[0, [SOMEBODY, 1], 0, [float("nan")]]]]),
        msgspec.msgpack.encode(["update", [], [[0, [SOMEBODY, 1], 0, [2**53]]]]),
        Update(intervals=[Interval(0, 1, [1])]),
        Update(gone=[Gone(0, lost=True)]),
    ]
    async with siege() as besieged:
        for count, said in enumerate(cases, 1):
            async with peer_of(besieged, joined=True) as peer:
                await peer.send(said)
                assert await peer.is_cut_off(), said
            assert await comes_true(lambda: violations(besieged) == count), said


def violations(besieged: Siege) -> int:
    """Children sent away because of what they said."""
    return besieged.counters["protocol_violations"]


async def test_results_that_are_not_its_own() -> None:
    async with siege() as besieged, peer_of(besieged, joined=True) as peer:
        lend = await peer.receive_kind(messages.Lend)
        wrong = msgspec.Raw(values.encode(["wrong"] * 3))
        node = besieged.run._node
        honest = next(b for b in node.lending.borrowers if b.name == "honest")
        (job,) = node.lending.jobs
        for lease in job.lender.leases_of(honest):
            await peer.send(Results(lease.number, 0, 0.0, wrong))
        for lease in (0, 10**6, messages.MAX_COUNT):
            await peer.send(Results(lease, 0, 0.0, wrong))
            await peer.send(ReturnItems(lease, 0, 3))
            await peer.send(ItemCrashed(lease, 0, "it says"))
        for offset, count in (
            (10**9, 1),
            (0, 10**9),
            (0, 0),
            (messages.MAX_COUNT, messages.MAX_COUNT),
        ):
            await peer.send(ReturnItems(lend.lease, offset, count))
            await peer.send(Results(lend.lease, offset or 10**9, 0.0, wrong))
        squares = [item**2 for item in values.decode(memoryview(lend.items))]
        for _ in range(3):  # only the first is right
            await peer.send(Results(lend.lease, 0, 0.0, msgspec.Raw(values.encode(squares))))
        lend = await peer.receive_kind(messages.Lend)
        (statistics,) = besieged.run.statistics().streams
        assert statistics is not None
        assert statistics.ignored_results >= 3 * 3 + 4 * 3 + 2
        assert statistics.strikes == 0


async def test_absurd_credit() -> None:
    # What it holds comes back when it has been silent for long enough.
    async with siege(heartbeat_timeout=1.0) as besieged, peer_of(besieged, joined=True) as peer:
        for workers in (10**12, 0, messages.MAX_COUNT, 10**12):
            await peer.send(Capacity(workers))
        for _ in range(3):
            await peer.receive_kind(messages.Lend)
        assert await besieged.progresses()
        statistics = besieged.run.statistics()
        assert statistics.workers <= 300
        (stream,) = statistics.streams
        assert stream.read - stream.delivered < 70_000


async def test_offers_that_nobody_asked_for() -> None:
    async with siege() as besieged, peer_of(besieged, joined=True) as peer:
        for _ in range(100):
            await peer.send(messages.Offer(SOMEBODY, SOMEBODY, "ticket"))
        assert await besieged.counted("unsolicited_offers", 100)


async def test_reports_on_very_many_devices() -> None:
    async with siege() as besieged:
        ledger = besieged.served.membership.ledger
        for _ in range(3):
            async with peer_of(besieged, joined=True) as peer:
                made_up = [Device(secrets.token_bytes(8), 1, name="n" * 64) for _ in range(12_000)]
                introductions = [
                    Introduction(key, device, 0, []) for key, device in enumerate(made_up)
                ]
                intervals = [Interval(key, 1, [1]) for key in range(len(made_up))]
                await peer.send(Update(introductions=introductions, intervals=intervals))
                assert await comes_true(lambda: made_up[-1].node in ledger.entries)
        assert len(ledger.entries) <= MAX_DEVICES
        assert ledger.departed_devices >= 3 * len(made_up) - MAX_DEVICES, "they made room"


async def test_invented_devices_do_not_hide_those_of_others() -> None:
    async with siege() as besieged, peer_of(besieged, joined=True) as hostile:
        ledger = besieged.served.membership.ledger
        made_up = [Device(secrets.token_bytes(8), 1) for _ in range(MAX_DEVICES)]
        introductions = [Introduction(key, each, 0, []) for key, each in enumerate(made_up)]
        intervals = [Interval(key, 1, [1]) for key in range(len(made_up))]
        await hostile.send(Update(introductions=introductions, intervals=intervals))
        assert await comes_true(lambda: ledger.refused > 0)
        async with peer_of(besieged, joined=True) as honest:
            device = Device(secrets.token_bytes(8), 1)
            introduction = Introduction(0, device, 0, [])
            await honest.send(Update(introductions=[introduction], intervals=[Interval(0, 1, [1])]))
            assert await comes_true(lambda: device.node in ledger.entries)
        assert len(ledger.entries) <= MAX_DEVICES


async def test_a_child_that_never_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "SEND_SECONDS", 0.3)
    async with siege() as besieged:
        stream = await trio.open_tcp_stream(HOME, besieged.port)
        async with peer_of(besieged, joined=True) as peer, stream:
            peer.socket._reader_running = False
            child = next(c for c in besieged.served.membership.children if c.name == "hostile")
            with pytest.raises(ChannelClosedError, match="read nothing"):
                while True:
                    await child.link.send(messages.Load([b"x" * 1_000_000]))
            assert await besieged.counted("left")


async def test_children_that_leave_in_the_middle_of_a_lease() -> None:
    async with siege() as besieged:
        for _ in range(50):
            async with peer_of(besieged, joined=True) as peer:
                await peer.receive_kind(messages.Lend)
        assert await besieged.counted("left", 50)
        assert besieged.counters["joined"] == 51


# ---- fuzz ----


NOT_LENT = 2**40
"""A lease that nobody has, so that what is said of it must change nothing."""
POLITE = 8
"""So many of the samples are what a child may say."""
FAILURE = messages.Failure("E", "r", "t", "d")
SAMPLES = [
    messages.encode(message)
    for message in (
        Results(NOT_LENT, 0, 0.5, ONE),
        Results(NOT_LENT, 0, 0.5, ONE, {0: FAILURE}),
        ReturnItems(NOT_LENT, 0, 1),
        ItemCrashed(NOT_LENT, 0, "lost"),
        Capacity(3),
        report_on(SOMEBODY, name="name", counters=[3000, 1]),
        messages.Offer(SOMEBODY, SOMEBODY, "ticket"),
        messages.Heartbeat(),
        Ready(5, ["127.0.0.1:5"]),
        messages.Unreachable("why"),
        Hello("name"),
    )
]


def mutate(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randrange(3)):
        place = chance.randrange(len(changed))
        action = chance.randrange(4)
        if action == 0:
            changed[place] = chance.randrange(256)
        elif action == 1:
            changed[place] ^= 1 << chance.randrange(8)
        elif action == 2:
            changed.insert(place, chance.choice((0, 0x7F, 0x80, 0xC0, 0xCF, 0xDD, 0xFF)))
        elif len(changed) > 1:
            del changed[place]
    return bytes(changed)


class FuzzingChild:
    """A child's channel that gives fuzzed messages, once it has joined, unencrypted as a page."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.said = 0
        self.malformed = 0
        self.opening: list[bytes] = []
        self.initiator: Initiator | None = None

    def connect_again(self) -> None:
        said = messages.encode(Hello("fuzz"))
        self.initiator = Initiator(
            LinkedRoot(None), NodeKey.generate(), psk=None, payload=said, leave_open=True
        )

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        if self.initiator is not None:
            self.opening = [messages.encode(Ready()), self.initiator.receive_hello(data)]
            self.initiator = None

    async def receive(self) -> bytes:
        if self.said % 20 == 0:
            await trio.lowlevel.checkpoint()
        if self.opening:
            return self.opening.pop()
        while True:
            self.said += 1
            # Being sent away takes longer than all else, so that is made rarer.
            rude = self.chance.random() < 0.02
            choices = SAMPLES if rude else SAMPLES[:POLITE]
            data = mutate(self.chance.choice(choices), self.chance)
            try:
                messages.decode(data)
            except messages.MalformedMessageError:
                self.malformed += 1
                if not rude:
                    continue
            return data

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_a_hundred_thousand_fuzzed_messages_in_memory() -> None:
    async with siege() as besieged:
        child = FuzzingChild(random.Random(20))
        while child.said < 99_000:
            child.connect_again()
            await besieged.served.membership.handle_connection(child, OWN)
        assert child.malformed > 10_000
        assert violations(besieged) > 500


async def test_fuzzed_messages_over_sockets() -> None:
    chance = random.Random(21)
    said = 0
    async with siege() as besieged:
        while said < 1_000:
            async with peer_of(besieged) as peer:
                with suppress(trio_websocket.ConnectionClosed):
                    await peer.join()
                    for _ in range(50):
                        said += 1
                        await peer.send(mutate(chance.choice(SAMPLES), chance))
        assert violations(besieged) > 10
