"""Joining below the root: which way is tried when, which one is used, and what is offered next."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
import trio.testing

from pando import messages
from pando.channel import Channel, ChannelClosedError, memory_channel_pair
from pando.net.keepalive import KeepaliveChannel
from pando.net.trust.join_link import JoinLink, LinkSecret
from pando.net.webrtc import connection as webrtc
from pando.net.webrtc.answerer import OPEN_SECONDS
from pando.volunteering import Volunteer, VolunteerOptions, below, joining
from pando.volunteering.below import (
    CONNECT_PARENT_SECONDS,
    WEBSOCKET_SECONDS,
    WELCOME_SECONDS,
    ParentSearch,
)

PARENT = bytes(range(8))
LINK = str(JoinLink("192.0.2.7:5000", False, bytes(16), LinkSecret.generate()))
NEVER = float("inf")


@dataclass
class Ways:
    """A parent that is reached by some ways after a while; what happened, and when.

    Attributes:
        websocket: seconds until a WebSocket stands, for each address; negative where it is refused
            after so many seconds.
        data_channel: the same of the data channel, from when both ends have reached each other.
        reached: seconds until they have.
    """

    websocket: dict[str, float] = field(default_factory=dict)
    data_channel: float = NEVER
    reached: float = 0.0
    log: list[tuple[str, float]] = field(default_factory=list)
    welcomes: bool = True

    def note(self, what: str) -> None:
        self.log.append((what, round(trio.current_time(), 3)))

    async def open(self, what: str, seconds: float) -> Channel:
        self.note(f"try {what}")
        try:
            await trio.sleep(abs(seconds))
        except trio.Cancelled:
            self.note(f"give up {what}")
            raise
        if seconds < 0:
            raise ChannelClosedError(f"{what} is refused")
        ours, theirs = memory_channel_pair()
        if self.welcomes:
            await theirs.send(messages.encode(messages.Welcome(PARENT)))
        vars(ours)["kind"] = what
        return ours

    @asynccontextmanager
    async def connect(self, address: str) -> AsyncIterator[Channel]:
        yield await self.open(address, self.websocket[address])

    # ---- an offered connection, and what the node proves itself with ----

    async def accept_answer(self, answer: str) -> None:
        assert answer == "an answer"

    async def reach(self) -> None:
        await trio.sleep(self.reached)

    async def open_data_channel(self) -> Channel:
        return await self.open("data channel", self.data_channel)

    async def join_parent(self, channel: Channel, *arguments: object) -> Channel:
        return channel


class Offered:
    """The connection whose offer the parent has answered."""

    def __init__(self, ways: Ways) -> None:
        self.accept_answer = ways.accept_answer
        self.reach = ways.reach
        self.open = ways.open_data_channel


async def search(
    monkeypatch: pytest.MonkeyPatch,
    ways: Ways,
    *,
    answer: str = "an answer",
    websockets: bool = True,
    seconds: float = 30.0,
) -> tuple[bool | None, ParentSearch]:
    async def compute(link: KeepaliveChannel) -> bool:
        ways.note(f"compute over {link.kind}")
        await trio.sleep(100)
        return True

    monkeypatch.setattr(below.websocket, "connect", ways.connect)
    redirect = messages.Redirect(PARENT, list(ways.websocket), "a ticket", answer)
    hello = messages.Hello("a node")
    made = ParentSearch(redirect, ways, hello, compute, print, seconds)  # type: ignore[arg-type]
    offered: Any = Offered(ways)
    return await made.run(offered, websockets=websockets), made


async def test_an_address_that_answers_in_time_is_used_and_nothing_else_is_tried(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = Ways({"first": WEBSOCKET_SECONDS - 0.1}, data_channel=0.0)
    assert (await search(monkeypatch, ways))[0] is True
    assert ways.log == [("try first", 0.0), ("compute over first", 0.4)]


async def test_after_half_a_second_both_are_tried_and_the_data_channel_may_be_first(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = Ways({"first": 2.0}, data_channel=0.3)
    assert (await search(monkeypatch, ways))[0] is True
    assert ways.log == [
        ("try first", 0.0),
        ("try data channel", WEBSOCKET_SECONDS),
        ("compute over data channel", 0.8),
        ("give up first", 0.8),
    ]


async def test_or_the_address_may_be_first(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = Ways({"first": 0.7}, data_channel=3.0)
    assert (await search(monkeypatch, ways))[0] is True
    assert ways.log == [
        ("try first", 0.0),
        ("try data channel", WEBSOCKET_SECONDS),
        ("compute over first", 0.7),
        ("give up data channel", 0.7),
    ]


async def test_two_ways_that_stand_at_once_make_one_child(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = Ways({"first": 1.5}, data_channel=1.0)
    assert (await search(monkeypatch, ways))[0] is True
    assert sum(what.startswith("compute") for what, _ in ways.log) == 1


async def test_where_all_addresses_refuse_the_half_second_is_not_waited_for(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = Ways({"first": -0.1, "second": -0.1}, data_channel=0.1)
    assert (await search(monkeypatch, ways))[0] is True
    assert ways.log == [
        ("try first", 0.0),
        ("try second", 0.1),
        ("try data channel", 0.2),
        ("compute over data channel", 0.3),
    ]


async def test_webrtc_alone_begins_at_once(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = Ways({"first": 0.0}, data_channel=0.1)
    assert (await search(monkeypatch, ways, websockets=False))[0] is True
    assert ways.log == [("try data channel", 0.0), ("compute over data channel", 0.1)]


async def test_without_an_answer_no_data_channel_is_tried(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = Ways({"first": -1.0}, data_channel=0.0)
    ended, made = await search(monkeypatch, ways, answer="")
    assert ended is None
    assert made.why == "first is refused"
    assert ways.log == [("try first", 0.0)]


async def test_what_never_stands_is_given_up_after_a_while(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = Ways({"first": 0.2}, data_channel=NEVER, welcomes=False)
    ended, made = await search(monkeypatch, ways)
    assert ended is None
    assert made.why == "it does not answer"
    assert trio.current_time() <= WEBSOCKET_SECONDS + max(WELCOME_SECONDS, OPEN_SECONDS)


async def test_a_parent_that_is_not_reached_is_given_up_sooner_than_one_that_is_busy(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A try that is given up is made again elsewhere, which makes whoever is busy busier."""
    ways = Ways(reached=NEVER)
    ended, made = await search(monkeypatch, ways, websockets=False)
    assert (ended, made.why) == (None, "it does not answer")
    assert trio.current_time() == CONNECT_PARENT_SECONDS
    busy = Ways(reached=CONNECT_PARENT_SECONDS - 0.1, data_channel=OPEN_SECONDS - 0.1)
    assert (await search(monkeypatch, busy, websockets=False))[0] is True


async def test_a_silent_address_does_not_hold_up_the_next_one(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = Ways({"first": NEVER, "second": 0.1})
    assert (await search(monkeypatch, ways, answer=""))[0] is True
    assert ways.log == [
        ("try first", 0.0),
        ("give up first", CONNECT_PARENT_SECONDS),
        ("try second", CONNECT_PARENT_SECONDS),
        ("compute over second", CONNECT_PARENT_SECONDS + 0.1),
    ]


async def test_many_silent_addresses_take_less_time_than_the_root_waits(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = Ways({f"address {number}": NEVER for number in range(8)})
    ended, made = await search(monkeypatch, ways, answer="", seconds=12.0)
    assert ended is None
    assert made.why == "it does not answer"
    assert trio.current_time() == 12.0


async def test_the_time_for_finding_a_parent_is_none_for_computing(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = Ways({"first": 1.0})
    assert (await search(monkeypatch, ways, seconds=3.0))[0] is True
    assert trio.current_time() == 101.0


# ---- what is offered ----


class RootLink:
    """A link to a root, which says these things one after the other."""

    def __init__(self, *replies: messages.Message) -> None:
        self.heard: list[messages.Message] = []
        self._replies = list(replies)

    async def send(self, message: messages.Message) -> None:
        self.heard.append(message)

    async def receive(self) -> messages.Message:
        return self._replies.pop(0)


class Session:
    port, addresses, ice_servers = 5, ["192.0.2.1:5"], ()

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol

    def hello(self, name: str) -> messages.Hello:
        return messages.Hello(name)


class Unreachable:
    """A search for a parent that nobody can connect to."""

    why = "it is behind a router"

    def __init__(self, *arguments: object, seconds: float) -> None:
        assert seconds == 30.0, "half of what the root waits"

    async def run(self, offered: object, *, websockets: bool) -> None:
        return None


async def join(monkeypatch: pytest.MonkeyPatch, protocol: str) -> list[messages.Message]:
    """Let a device be sent to two parents that it cannot reach; returns what it tells the root."""
    offers = iter(range(1, 10))

    @asynccontextmanager
    async def offering(servers: object) -> AsyncIterator[webrtc.Offered | None]:
        connection: Any = None
        yield None if servers is None else webrtc.Offered(connection, f"offer {next(offers)}")

    monkeypatch.setattr(joining, "_offering", offering)
    monkeypatch.setattr(joining, "ParentSearch", Unreachable)
    redirect = messages.Redirect(PARENT, ["192.0.2.9:5"], "a ticket")
    root = RootLink(redirect, redirect, messages.RunEnded())
    joiner = Volunteer("http://192.0.2.7:5000/", VolunteerOptions(), print)._joiner
    told = messages.RunInfo(2, PARENT, "run", "square", b"")
    assert await joiner.join(Session(protocol), root, told)  # type: ignore[arg-type]
    return root.heard


@pytest.mark.parametrize(
    ("protocol", "offers"),
    [
        ("auto", ["", "offer 1", "offer 2"]),
        ("webrtc", ["offer 1", "offer 2", "offer 3"]),
        ("websocket", ["", "", ""]),
    ],
)
async def test_a_parent_that_cannot_be_reached_is_followed_by_an_offer(
    monkeypatch: pytest.MonkeyPatch, protocol: str, offers: list[str]
) -> None:
    heard = await join(monkeypatch, protocol)
    why = "it is behind a router"
    assert heard == [
        messages.Ready(5, ["192.0.2.1:5"], offers[0]),
        messages.Unreachable(why, offers[1]),
        messages.Unreachable(why, offers[2]),
    ]


class UnusedConnection:
    """A connection whose offer nobody answers."""

    is_closed = False

    async def aclose(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(
    ("link", "can_prove"), [("http://192.0.2.7:5000/", False), (LINK, True)], ids=["bare", "whole"]
)
async def test_what_was_offered_serves_a_second_link_to_the_root_or_is_closed(
    monkeypatch: pytest.MonkeyPatch, link: str, can_prove: bool
) -> None:
    """Without a fingerprint in the link the root cannot prove who it is on another one."""
    connection, used = UnusedConnection(), list[object]()

    @asynccontextmanager
    async def offered(servers: object) -> AsyncIterator[webrtc.Offered]:
        yield webrtc.Offered(connection, "an offer")  # type: ignore[arg-type]

    class Second:
        def __init__(self, *arguments: object) -> None:
            used.append(arguments[-1])

        async def run(self) -> None:
            pass

        async def after_first(self) -> bool:
            return True

    async def compute(*arguments: object) -> bool:
        assert connection.is_closed == (not can_prove)
        return True

    monkeypatch.setattr(joining, "_offering", offered)
    monkeypatch.setattr(joining, "SecondLink", Second)
    joiner = Volunteer(link, VolunteerOptions(), print)._joiner
    monkeypatch.setattr(joiner, "_compute", compute)
    root = RootLink(messages.Welcome(PARENT))
    told = messages.RunInfo(2, PARENT, "run", "square", b"")
    assert await joiner.join(Session("webrtc"), root, told)  # type: ignore[arg-type]
    assert [each.offer for each in used] == ["an offer"] * can_prove  # type: ignore[attr-defined]
