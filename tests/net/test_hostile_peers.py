"""Hostile peers: whatever they send, others finish the stream exactly, and it is counted."""

from __future__ import annotations

import random
import resource
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
from pando.channel import Channel, ChannelClosedError, memory_channel_pair
from pando.errors import MAX_TEXT
from pando.functions.serialized import as_received
from pando.messages import Hello, NodeStatus, Ready, Results, Returned, Status, Struck, Want
from pando.net import keepalive as link
from pando.net import websocket
from pando.net.keepalive import Link
from pando.running.options import RunOptions
from pando.running.run import Run, open_packed_run
from pando.running.serve_options import ServeOptions
from pando.running.served_run import ServedRun

from .clients import NO_FUNCTION, UPGRADE, Client, comes_true, head

pytestmark = pytest.mark.socket

HOME = "127.0.0.1"
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
        open_packed_run(as_received(NO_FUNCTION), "square", RunOptions(0, serve=serve)) as run,
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
    token = served.links[0].partition("#")[2]
    async with websocket.connect(f"{HOME}:{served.server.port}") as channel:
        await channel.send(Hello(messages.VERSION, "honest", token=token))
        assert isinstance(await channel.receive(), messages.Assigned)
        await channel.send(Ready())
        assert isinstance(await channel.receive(), messages.Welcome)
        signs = Link(channel)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(signs.run)
            task_status.started()
            with suppress(ChannelClosedError):
                await square_for(signs)
            nursery.cancel_scope.cancel()


async def square_for(channel: Channel) -> None:
    """Answer each lease."""
    while True:
        message = await channel.receive()
        if isinstance(message, messages.Lend):
            squares = [item**2 for item in values.decode(memoryview(message.items))]
            encoded = msgspec.Raw(values.encode(squares))
            await channel.send(Results(message.lease, 0, 0.001, encoded))


class Peer:
    """A client that sends what it likes."""

    def __init__(self, socket: trio_websocket.WebSocketConnection) -> None:
        self.socket = socket

    async def send(self, said: messages.Message | bytes | str) -> None:
        if not isinstance(said, bytes | str):
            said = messages.encode(said)
        await self.socket.send_message(said)

    async def receive(self) -> messages.Message:
        return messages.decode(await self.socket.get_message())

    async def receive_kind(self, kind: type) -> Any:
        """The next message of a kind."""
        with trio.fail_after(20):
            while not isinstance(message := await self.receive(), kind):
                pass
        return message

    async def join(self, **hello: Any) -> None:
        await self.send(Hello(messages.VERSION, **{"name": "hostile", **hello}))
        await self.receive_kind(messages.Assigned)
        await self.send(Ready())
        await self.receive_kind(messages.Welcome)

    async def is_cut_off(self) -> bool:
        with trio.move_on_after(20), suppress(trio_websocket.ConnectionClosed):
            while True:
                await self.receive()
        return self.socket.closed is not None


@asynccontextmanager
async def peer_of(besieged: Siege, *, joined: bool = False) -> AsyncIterator[Peer]:
    stream = await trio.open_tcp_stream(HOME, besieged.port)
    async with trio.open_nursery() as nursery:
        socket = await trio_websocket.wrap_client_stream(
            nursery, stream, HOME, "/node", message_queue_size=1000
        )
        peer = Peer(socket)
        try:
            if joined:
                await peer.join()
            yield peer
        finally:
            await trio.aclose_forcefully(stream)
        nursery.cancel_scope.cancel()


# ---- at the door ----


@pytest.mark.parametrize("token", ["", "wrong", "\0", "x" * 10_000])
async def test_a_newcomer_without_the_token(token: str) -> None:
    # Behind a proxy nobody counts as coming from this machine itself.
    async with siege(public_url="http://localhost/") as besieged:
        async with peer_of(besieged) as peer:
            await peer.send(Hello(messages.VERSION, "hostile", token=token))
            denied = await peer.receive_kind(messages.Denied)
            why = "this link is not, or no more, good" if token else "the link is not complete"
            assert denied.reason.startswith(why)
            assert await peer.is_cut_off()
        assert besieged.counters == {"joined": 1, "refused newcomers": 1}


@pytest.mark.parametrize("host", ["192.168.1.7", "fe80::1%eth0", "203.0.113.5", "localhost", ""])
async def test_only_this_machine_itself_needs_no_token(host: str) -> None:
    async with siege() as besieged:
        hostile, channel = memory_channel_pair()
        await hostile.send(Hello(messages.VERSION, "hostile"))
        await besieged.served.membership.welcome(channel, host)
        assert isinstance(await hostile.receive(), messages.Denied)
        assert besieged.counters["refused newcomers"] == 1


async def test_the_first_message() -> None:
    ok = messages.VERSION
    cases: list[tuple[messages.Message | bytes | str, str, str]] = [
        (b"\xff\x00garbage", "malformed messages", "not a message"),
        (b"", "malformed messages", "not a message"),
        ("text", "malformed messages", "text, where messages are bytes"),
        (Want(1), "malformed messages", "the first message must say who you are"),
        (Hello(ok + 1), "wrong versions", "the older Pando should be updated"),
        (Hello(ok, node=b"short"), "malformed messages", "an identifier of the wrong length"),
        (Hello(ok, node=SOMEBODY, ticket="wrong"), "wrong tickets", "this ticket is not"),
        (Hello(ok, addresses=["x" * 301]), "malformed messages", "not a message"),
        (Hello(ok, addresses=["x"] * 17), "malformed messages", "not a message"),
    ]
    expected: Counter[str] = Counter()
    async with siege() as besieged:
        for said, kind, reason in cases:
            async with peer_of(besieged) as peer:
                await peer.send(said)
                assert reason in (await peer.receive_kind(messages.Denied)).reason
            expected[kind] += 1
        assert besieged.counters - Counter(joined=1) == expected


async def test_a_first_message_that_is_too_large() -> None:
    async with siege() as besieged:
        for size in (websocket.FIRST_MESSAGE_BYTES + 1, 3_000_000):
            async with peer_of(besieged) as peer:
                with suppress(trio_websocket.ConnectionClosed):
                    await peer.send(b"x" * size)
                assert await peer.is_cut_off()
        assert await besieged.counted("rules broken by newcomers", 2)


async def test_a_name_with_markup_and_control_characters() -> None:
    async with siege() as besieged, peer_of(besieged) as peer:
        await peer.join(name="\x1b[2J<script>\r\n\u202e'\";" + "x" * 10_000)
        await peer.send(
            Status([NodeStatus(SOMEBODY, b"", "\x1b]0;<b>\x07", 1, 0, 2**64 - 1, 1e18)])
        )
        names = {child.name for child in besieged.served.membership.children}
        assert all(name.isprintable() and len(name) <= messages.MAX_NAME for name in names)
        assert await comes_true(lambda: bool(besieged.served.monitoring()["volunteers"]))
        stream = await trio.open_tcp_stream(HOME, besieged.port)
        async with stream:
            reply = await Client(stream).request("GET", "/monitoring")
        shown = msgspec.json.decode(reply.body)
        assert reply.headers["content-type"] == "application/json"
        assert shown["volunteers"][SOMEBODY.hex()]["deviceName"] == "]0;<b>"


# ---- many at once ----


async def test_five_hundred_handshakes_that_are_never_finished() -> None:
    async with siege() as besieged, AsyncExitStack() as stack:
        for number in range(500):
            stream = await trio.open_tcp_stream(HOME, besieged.port)
            stack.push_async_callback(trio.aclose_forcefully, stream)
            await stream.send_all((b"", b"GET /no", head("GET", "/node", **UPGRADE))[number % 3])
        assert await comes_true(lambda: besieged.served.server.door.connections > 400)
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
        assert besieged.counters["malformed requests"] == 500
        assert await comes_true(lambda: besieged.served.server.door.connections == 1)


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
                assert await besieged.counted("rules broken by children", count)
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
        assert await besieged.counted("rules broken by children")


WANT = msgspec.Raw(messages.encode(Want(1)))


async def test_a_bundle_that_is_as_large_as_may_be() -> None:
    async with siege() as besieged, peer_of(besieged, joined=True) as peer:
        await peer.send(messages.Bundle([WANT] * messages.MAX_BUNDLED))
        await peer.receive_kind(messages.Lend)
        assert violations(besieged) == 0


async def test_messages_that_make_no_sense() -> None:
    text = "x" * (MAX_TEXT + 1)
    failure = messages.Failure("E", "r")
    nodes = [SOMEBODY, b"", "n", 1, 0, 0, 1.0]
    cases: list[messages.Message | bytes | str] = [
        b"\xff\x00garbage",
        "text",
        Hello(messages.VERSION),
        messages.Lend(1, ONE),
        messages.Load(b"x"),
        messages.Recall(1),
        messages.Join(SOMEBODY),
        messages.Join(b"short"),
        messages.Assigned(1, SOMEBODY, "r", "n", b"f"),
        messages.Denied("no"),
        messages.Ended(),
        Results(1, 0, float("nan"), ONE),
        Results(1, 0, float("inf"), ONE),
        Results(1, 0, -1.0, ONE),
        Results(1, 0, 1.0, msgspec.Raw(b"\x90")),
        Results(1, 0, 1.0, msgspec.Raw(b"\x01")),
        Results(1, 0, 1.0, msgspec.Raw(b"\x91\xc7\x01\x63a")),
        Results(1, 0, 1.0, ONE, {1: failure}),
        Results(1, 0, 1.0, ONE, {-1: failure}),
        Results(1, 0, 1.0, ONE, {0: messages.Failure("E", text)}),
        Results(1, 0, 1.0, ONE, {0: messages.Failure("E", "r", text)}),
        Struck(1, 0, text),
        messages.Bundle([WANT] * (messages.MAX_BUNDLED + 1)),
        messages.Bundle([msgspec.Raw(messages.encode(messages.Bundle([WANT])))]),
        msgspec.msgpack.encode(["want", 10**12 + 0.5]),
        msgspec.msgpack.encode(["status", [[*nodes[:2], "x" * 65, *nodes[3:]]]]),
        msgspec.msgpack.encode(["status", [[*nodes[:3], -1, *nodes[4:]]]]),
        msgspec.msgpack.encode(["status", [[*nodes[:6], float("nan")]]]),
        msgspec.msgpack.encode(["status", [[b"short", *nodes[1:]]]]),
    ]
    async with siege() as besieged:
        for count, said in enumerate(cases, 1):
            async with peer_of(besieged, joined=True) as peer:
                await peer.send(said)
                assert await peer.is_cut_off(), said
            assert await comes_true(lambda: violations(besieged) == count), said


def violations(besieged: Siege) -> int:
    """Children sent away because of what they said."""
    kinds = ("PandoError", "MalformedMessageError", "MalformedValueError")
    return sum(besieged.counters[kind] for kind in kinds)


async def test_results_that_are_not_its_own() -> None:
    async with siege() as besieged, peer_of(besieged, joined=True) as peer:
        lend = await peer.receive_kind(messages.Lend)
        wrong = msgspec.Raw(values.encode(["wrong"] * 3))
        node = besieged.run._node
        honest = next(b for b in node.borrowers if b.name == "honest")
        (job,) = node.jobs
        for lease in job.lender.leases_of(honest):
            await peer.send(Results(lease.number, 0, 0.0, wrong))
        for lease in (0, -1, 10**6, 2**63):
            await peer.send(Results(lease, 0, 0.0, wrong))
            await peer.send(Returned(lease, 0, 3))
            await peer.send(Struck(lease, 0, "it says"))
        for offset, count in (
            (-1, 1),
            (10**9, 1),
            (0, 10**9),
            (0, 0),
            (0, -1),
            (-(2**63), 2**64 - 1),
        ):
            await peer.send(Returned(lend.lease, offset, count))
            await peer.send(Results(lend.lease, offset or 10**9, 0.0, wrong))
        squares = [item**2 for item in values.decode(memoryview(lend.items))]
        for _ in range(3):  # only the first is right
            await peer.send(Results(lend.lease, 0, 0.0, msgspec.Raw(values.encode(squares))))
        lend = await peer.receive_kind(messages.Lend)
        (statistics,) = besieged.run.statistics().streams
        assert statistics is not None
        assert statistics.ignored_results >= 4 * 3 + 6 * 3 + 2
        assert statistics.strikes == 0


async def test_absurd_credit() -> None:
    # What it holds comes back when it has been silent for long enough.
    async with siege(silence=1.0) as besieged, peer_of(besieged, joined=True) as peer:
        for workers in (10**12, -(10**12), 0, 2**63, 10**12):
            await peer.send(Want(workers))
        for _ in range(3):
            await peer.receive_kind(messages.Lend)
        assert await besieged.progresses()
        statistics = besieged.run.statistics()
        assert statistics.workers <= 300
        (stream,) = statistics.streams
        assert stream.read - stream.handed_out < 70_000


async def test_offers_that_nobody_asked_for() -> None:
    async with siege() as besieged, peer_of(besieged, joined=True) as peer:
        for _ in range(100):
            await peer.send(messages.Offer(SOMEBODY, SOMEBODY, ["evil.example:1"], "ticket"))
        assert await besieged.counted("offers not asked for", 100)


async def test_a_status_of_very_many_nodes() -> None:
    async with siege() as besieged, peer_of(besieged, joined=True) as peer:
        nodes = [
            NodeStatus(i.to_bytes(8, "big"), b"", "n" * 64, 1, 0, 0, 0.0) for i in range(30_000)
        ]
        for _ in range(5):
            await peer.send(Status(nodes))
        assert await comes_true(lambda: bool(besieged.served.membership.status_below()))
        assert len(besieged.served.membership.status_below()) <= 20_000


async def test_a_child_that_never_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "SEND_SECONDS", 0.3)
    async with siege() as besieged:
        stream = await trio.open_tcp_stream(HOME, besieged.port)
        async with peer_of(besieged, joined=True) as peer, stream:
            peer.socket._reader_running = False
            child = next(c for c in besieged.served.membership.children if c.name == "hostile")
            with pytest.raises(ChannelClosedError, match="read nothing"):
                while True:
                    await child.link.send(messages.Load(b"x" * 1_000_000))
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
        Returned(NOT_LENT, 0, 1),
        Struck(NOT_LENT, 0, "lost"),
        Want(3),
        Status([NodeStatus(SOMEBODY, SOMEBODY, "name", 1, 2, 3, 4.0)]),
        messages.Offer(SOMEBODY, SOMEBODY, ["127.0.0.1:5"], "ticket"),
        messages.Heartbeat(),
        Ready(5, ["127.0.0.1:5"]),
        messages.Unreachable("why"),
        Hello(messages.VERSION, "name"),
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
    """A child's channel that gives fuzzed messages, once it has joined."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.said = 0
        self.malformed = 0
        self.opening: list[messages.Message] = []

    def connect_again(self) -> None:
        self.opening = [Ready(), Hello(messages.VERSION, "fuzz")]

    async def send(self, message: messages.Message) -> None:
        await trio.lowlevel.checkpoint()

    async def receive(self) -> messages.Message:
        if self.said % 20 == 0:
            await trio.lowlevel.checkpoint()
        if self.opening:
            return self.opening.pop()
        while True:
            self.said += 1
            # Being sent away takes longer than all else, so that is made rarer.
            rude = self.chance.random() < 0.02
            choices = SAMPLES if rude else SAMPLES[:POLITE]
            try:
                return messages.decode(mutate(self.chance.choice(choices), self.chance))
            except messages.MalformedMessageError:
                self.malformed += 1
                if rude:
                    raise

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_a_hundred_thousand_fuzzed_messages_in_memory() -> None:
    async with siege() as besieged:
        child = FuzzingChild(random.Random(20))
        while child.said < 99_000:
            child.connect_again()
            await besieged.served.membership.welcome(child, HOME)
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
