"""Connections by WebRTC: their limits, their ends, and the loop that they live in."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import trio

from pando.channel import ChannelClosedError, ProtocolViolationError
from pando.net.webrtc import channel as channels
from pando.net.webrtc import connection as connections
from pando.net.webrtc.channel import CREDIT, FRAME_BYTES, LAST, MORE, WINDOW_BYTES, DataChannel
from pando.net.webrtc.connection import open_connection, resolve
from pando.net.webrtc.description import Candidate, Description
from pando.net.webrtc.event_loop import use_event_loop
from pando.net.webrtc.gathering import STUN_SECONDS
from pando.net.webrtc.ice_servers import IceServer, parse_servers

from .stun import MAPPED, StunServer

pytest.importorskip("aiortc")
from aiortc import RTCSctpTransport
from OpenSSL import SSL

pytestmark = pytest.mark.socket
GENEROUS_SECONDS = 120.0
NAMED = Candidate("1", 2130706431, "a-tab.local", 9, "host")


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[DataChannel, DataChannel]]:
    with trio.fail_after(GENEROUS_SECONDS):
        async with open_connection() as offering, open_connection() as answering:
            answer = await answering.make_answer(await offering.make_offer())
            await offering.accept_answer(answer)
            yield await offering.open(), await answering.open()


@pytest.mark.parametrize("size", [0, 1, FRAME_BYTES - 1, FRAME_BYTES, 300_000, 3 * WINDOW_BYTES])
async def test_a_message_of_any_size_comes_whole(size: int) -> None:
    message = bytes(range(256)) * (size // 256) + bytes(size % 256)
    async with pair() as (here, there), trio.open_nursery() as nursery:
        nursery.start_soon(here.send, message)
        assert await there.receive() == message


async def test_both_ways_at_once() -> None:
    message = bytes(2 * WINDOW_BYTES)
    async with pair() as (here, there), trio.open_nursery() as nursery:
        for end in (here, there):
            nursery.start_soon(end.send, message)
        for end in (here, there):
            assert await end.receive() == message


async def test_a_reader_that_stops_holds_back_the_sender() -> None:
    async with pair() as (here, there):
        with trio.move_on_after(1.5) as scope:
            await here.send(bytes(2 * WINDOW_BYTES))
        assert scope.cancelled_caught
        assert 0 < there.wire.arrived <= WINDOW_BYTES
        with pytest.raises(ChannelClosedError):  # half a message has gone
            await here.send(b"more")


async def test_activity_is_when_something_came_and_not_when_somebody_looks() -> None:
    """Else an end that has died would count as dead later, by the time between two looks."""
    async with pair() as (here, there):
        await here.send(b"a sign of life")
        await there.receive()
        came = trio.current_time()
        await trio.sleep(0.2)
        assert there.last_activity <= came
        await here.send(b"another one, which nobody takes")
        await there._wait(lambda: bool(there.wire.frames))
        assert there.last_activity >= came + 0.2


async def test_what_was_sent_before_the_end_comes() -> None:
    async with pair() as (here, there):
        for number in range(20):
            await here.send(bytes([number]) * 5000)
        await here.aclose()
        for number in range(20):
            assert await there.receive() == bytes([number]) * 5000
        with pytest.raises(ChannelClosedError):
            await there.receive()


async def test_both_ends_bind_the_handshake_to_the_same_certificates() -> None:
    async with pair() as (here, there), pair() as (other, _):
        assert here.binding == there.binding
        assert here.binding != other.binding


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        bytes([3]) + b"unknown",
        bytes([MORE]) + b"short",
        bytes([LAST]) + bytes(FRAME_BYTES),
        bytes([CREDIT]) + b"\xff\xff\xff\xff",
        bytes([CREDIT]) + b"\1",
    ],
)
async def test_a_frame_that_breaks_the_rules_ends_the_channel(frame: bytes) -> None:
    async with pair() as (here, there):
        here._event_loop.post(here.wire.write, [frame or b"\3"])
        with pytest.raises(ProtocolViolationError):
            await there.receive()


async def test_a_peer_that_ignores_credit_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    async with pair() as (here, there):
        here.wire.granted = 100 * WINDOW_BYTES
        with trio.move_on_after(GENEROUS_SECONDS / 2), pytest.raises(ChannelClosedError):
            for _ in range(200):
                await here.send(bytes(FRAME_BYTES * 8))
        assert isinstance(there.wire.end, ProtocolViolationError)
        assert there.wire.arrived <= WINDOW_BYTES


async def test_a_message_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "MAX_SEALED_BYTES", 100_000)
    async with pair() as (here, there), trio.open_nursery() as nursery:
        nursery.start_soon(here.send, bytes(120_000))
        with pytest.raises(ProtocolViolationError):
            await there.receive()


async def test_a_silent_stun_server_costs_a_second() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        server = IceServer(f"stun:127.0.0.1:{silent.getsockname()[1]}")
        async with open_connection() as first:  # imports aiortc
            await first.make_offer()
            async with open_connection([server]) as connection:
                begin = trio.current_time()
                offer = Description.parse(await connection.make_offer(), is_offer=True)
        assert trio.current_time() - begin < 3 * STUN_SECONDS
        assert {candidate.kind for candidate in offer.candidates} == {"host"}


async def test_a_stun_server_tells_how_the_device_is_seen() -> None:
    with StunServer() as server:
        async with open_connection(parse_servers([server.url])) as connection:
            offer = Description.parse(await connection.make_offer(), is_offer=True)
    seen = {(each.host, each.port) for each in offer.candidates if each.kind == "srflx"}
    assert seen == {MAPPED}


async def test_names_that_nobody_knows_are_left_out_and_the_checks_of_the_other_end_suffice() -> (
    None
):
    with trio.fail_after(GENEROUS_SECONDS):
        async with open_connection() as offering, open_connection() as answering:
            offer = Description.parse(await offering.make_offer(), is_offer=True)
            named = Candidate("1", 2130706431, "no-such-tab.local", 9, "host")
            answer = await answering.make_answer(offer.with_candidates((named,)).sdp())
            await offering.accept_answer(answer)
            here, there = await offering.open(), await answering.open()
            await here.send(b"found")
            assert await there.receive() == b"found"


async def test_where_names_cannot_be_looked_up_they_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail() -> object:
        raise OSError("no multicast here")

    monkeypatch.setattr("aioice.mdns.create_mdns_protocol", fail)
    async with use_event_loop() as event_loop:
        assert await event_loop.call(resolve([NAMED])) == []


class Responder:
    """Answers for names of mDNS; `asked` are those that were looked up."""

    def __init__(self, **hosts: str) -> None:
        self.hosts = hosts
        self.asked: list[str] = []

    async def __call__(self) -> Responder:
        return self

    async def resolve(self, name: str, timeout: float) -> str | None:
        self.asked.append(name)
        return self.hosts.get(name.removesuffix(".local"))

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "224.0.0.1", "0.0.0.0"])
async def test_a_name_leads_to_no_target_that_a_description_may_not_name(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Whoever is in the local network answers."""
    answers = Responder(tab=host, phone="192.0.2.7")
    monkeypatch.setattr("aioice.mdns.create_mdns_protocol", answers)
    names = [replace(NAMED, host="tab.local"), replace(NAMED, host="phone.local")]
    async with use_event_loop() as event_loop:
        found = await event_loop.call(resolve(names))
    assert [each.host for each in found] == ["192.0.2.7"]


async def own_address() -> str:
    async with open_connection() as connection:
        offer = Description.parse(await connection.make_offer(), is_offer=True)
    return next(each.host for each in offer.candidates if ":" not in each.host)


async def test_where_no_checks_come_through_names_are_looked_up_and_their_addresses_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The end that offers hears of no address of the other one, and so cannot begin."""
    answers = Responder(tab=await own_address())
    monkeypatch.setattr("aioice.mdns.create_mdns_protocol", answers)
    with trio.fail_after(GENEROUS_SECONDS):
        async with open_connection() as offering, open_connection() as answering:
            offer = Description.parse(await offering.make_offer(), is_offer=True)
            named = (replace(each, host="tab.local") for each in offer.candidates)
            answer = await answering.make_answer(offer.with_candidates(tuple(named)).sdp())
            mute = Description.parse(answer, is_offer=False).with_candidates(())
            await offering.accept_answer(mute.sdp())
            here, there = await offering.open(), await answering.open()
            await here.send(b"found")
            assert await there.receive() == b"found"
    assert set(answers.asked) == {"tab.local"}


async def test_names_are_not_looked_up_where_the_other_end_comes_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who answers does not wait for them, either."""
    answers = Responder()
    monkeypatch.setattr("aioice.mdns.create_mdns_protocol", answers)
    monkeypatch.setattr(connections, "MDNS_PAUSE_SECONDS", GENEROUS_SECONDS)
    with trio.fail_after(GENEROUS_SECONDS / 2):
        async with open_connection() as offering, open_connection() as answering:
            offer = Description.parse(await offering.make_offer(), is_offer=True)
            answer = await answering.make_answer(offer.with_candidates((NAMED,)).sdp())
            await offering.accept_answer(answer)
            await answering.open()
    assert answers.asked == []


async def test_ends_that_cannot_reach_each_other_say_so() -> None:
    with trio.fail_after(GENEROUS_SECONDS):
        async with open_connection() as offering, open_connection() as answering:
            await answering.make_answer(await offering.make_offer())
            await offering.aclose()
            with pytest.raises(ChannelClosedError) as caught:
                await offering.open()
            assert str(caught.value)


async def test_the_loop_ends_with_its_last_user() -> None:
    async with use_event_loop() as first:
        async with use_event_loop() as second:
            assert first is second
        thread = await first.call(current_thread())
        assert thread is not threading.current_thread()
    await trio.to_thread.run_sync(thread.join, GENEROUS_SECONDS)
    assert not thread.is_alive()
    async with use_event_loop() as third:
        assert third is not first


async def current_thread() -> threading.Thread:
    return threading.current_thread()


async def test_a_connection_that_ends_while_it_connects_leaves_no_errors_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """aiortc goes on connecting in a task of its own, which fails; nobody needs to be told."""
    start, failed = RTCSctpTransport.start, threading.Event()

    async def start_too_late(self: RTCSctpTransport, *arguments: Any) -> None:
        await self.transport.transport.stop()
        try:
            await start(self, *arguments)
        except ConnectionError:
            failed.set()
            raise

    monkeypatch.setattr(RTCSctpTransport, "start", start_too_late)
    with trio.move_on_after(GENEROUS_SECONDS):
        async with open_connection() as offering, open_connection() as answering:
            answer = await answering.make_answer(await offering.make_offer())
            await offering.accept_answer(answer)
            while not failed.is_set():  # noqa: ASYNC110 - another thread sets it
                await trio.sleep(0.01)
    gc.collect()
    assert failed.is_set()
    assert not [record for record in caplog.records if record.name == "asyncio"]


@pytest.mark.parametrize(
    ("error", "logger"),
    [
        (ConnectionError, "pando.net.webrtc.event_loop"),
        (SSL.Error, "pando.net.webrtc.event_loop"),
        (ValueError, "asyncio"),
    ],
)
async def test_only_errors_of_connections_that_have_ended_are_not_told(
    error: type[Exception], logger: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise error("for a test")

    caplog.set_level(logging.DEBUG)
    async with use_event_loop() as event_loop:
        event_loop.post(lambda: asyncio.ensure_future(fail()))
        with trio.move_on_after(GENEROUS_SECONDS):
            while "for a test" not in caplog.text:
                await trio.sleep(0.01)
                gc.collect()
    assert logger in {each.name for each in caplog.records}
    told = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert bool(told) == (error is ValueError)


@pytest.mark.parametrize(("seconds", "imported"), [(0.0, False), (1.0, True)])
def test_aiortc_is_imported_before_the_first_connection_but_not_at_once(
    seconds: float, imported: bool
) -> None:
    program = f"""
import sys, trio
from pando.net.webrtc import connection

async def main():
    with trio.move_on_after({seconds} * {GENEROUS_SECONDS}):
        await connection.prepare()
    print("aiortc" in sys.modules)

trio.run(main)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{imported}\n", done.stderr
