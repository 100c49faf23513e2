"""The listener: connections are counted, timed and sent where they belong, and end at once."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
import trio

from pando.channel import Channel, ChannelClosedError
from pando.errors import UsageError
from pando.limits import Limits
from pando.net import addresses, websocket
from pando.net.addresses import listen
from pando.net.listener import ConnectionServer
from pando.net.request_policy import MAX_HEAD_BYTES, RequestPolicy
from pando.net.visitor import Visitor
from pando.tree import membership

from .clients import GENEROUS_SECONDS, HOME, UPGRADE, Client, client_of, comes_true, head, serving

pytestmark = pytest.mark.socket


async def test_a_page_request_works() -> None:
    async with serving() as served, client_of(served) as client:
        for _ in range(3):
            reply = await client.request("GET", "/")
            assert reply.status == 200
            assert "Start helping" in reply.body
        assert served.server.connection_server.connections == 1
    assert served.server.connection_server.connections == 0
    assert not served.all_counters()


async def test_a_head_may_come_in_pieces() -> None:
    async with serving() as served, client_of(served) as client:
        request = head("GET", "/")
        for place in range(len(request)):
            await client.send(request[place : place + 1])
        assert (await client.reply()).status == 200


@pytest.mark.parametrize("length", [MAX_HEAD_BYTES + 1, 50 * MAX_HEAD_BYTES])
async def test_a_head_that_is_too_long(length: int) -> None:
    async with serving() as served:
        async with client_of(served) as client:
            with suppress(trio.BrokenResourceError):
                await client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * length)
            assert await client.is_closed()
        assert await comes_true(lambda: served.all_counters()["malformed_requests"] == 1)


async def test_what_is_not_a_request_gets_a_sentence() -> None:
    async with serving() as served, client_of(served) as client:
        await client.send(b"EHLO example.org\r\n\r\n")
        reply = await client.reply()
        assert reply.status == 400
        assert reply.body.startswith("Malformed HTTP request")
        assert await client.is_closed()
        assert served.all_counters() == {"malformed_requests": 1}


@pytest.mark.parametrize("said", [b"", b"GET / HT", head("GET", "/")[:-2]])
async def test_whoever_does_not_finish_a_head_is_cut_off(said: bytes) -> None:
    async with serving(limits=Limits(head_seconds=0.05)) as served:
        async with client_of(served) as client:
            await client.send(said)
            assert await client.is_closed()
        assert served.all_counters() == {"requests_timed_out": 1}
        assert await comes_true(lambda: served.server.connection_server.connections == 0)


async def test_a_client_that_goes_within_its_head() -> None:
    async with serving() as served:
        async with client_of(served) as client:
            await client.send(b"GET /")
        assert await comes_true(lambda: served.server.connection_server.connections == 0)
        assert not served.all_counters()


async def test_a_silent_client_of_the_pages_is_cut_off() -> None:
    async with serving(limits=Limits(page_seconds=0.05)) as served, client_of(served) as client:
        assert (await client.request("GET", "/")).status == 200
        assert await client.is_closed()


async def test_connections_are_limited_in_all_and_for_each_address() -> None:
    for limits, kind in (
        (Limits(connections=3), "connections_over_limit"),
        (Limits(connections_per_address=3), "connections_over_address_limit"),
    ):
        async with serving(limits=limits) as served, AsyncExitStack() as stack:
            for _ in range(3):
                client = await stack.enter_async_context(client_of(served))
                assert (await client.request("GET", "/")).status == 200
            for _ in range(2):
                async with client_of(served) as refused:
                    assert await refused.is_closed()
            assert served.all_counters() == {kind: 2}
            assert (await client.request("GET", "/")).status == 200
            await trio.aclose_forcefully(client.stream)
            assert await comes_true(lambda: served.server.connection_server.connections == 2)
            async with client_of(served) as later:
                assert (await later.request("GET", "/")).status == 200


@pytest.mark.parametrize("page_seconds", [0.1, 600.0])
async def test_a_client_that_never_reads_holds_up_nobody(page_seconds: float) -> None:
    limits = Limits(page_seconds=page_seconds)
    with trio.fail_after(GENEROUS_SECONDS):
        async with AsyncExitStack() as stack:  # noqa: SIM117 - the server ends first
            async with serving(name="x" * 30_000_000, limits=limits) as served:
                stuck = await stack.enter_async_context(client_of(served))
                await stuck.send(head("GET", "/"))
                assert await stuck.stream.receive_some(1)
                async with client_of(served) as other:
                    assert (await other.request("GET", "/nothing")).status == 404
                if page_seconds < 1:
                    assert await comes_true(
                        lambda: served.server.connection_server.connections == 0
                    )


async def test_closing_closes_what_is_open() -> None:
    with trio.fail_after(15):
        async with AsyncExitStack() as stack:
            async with serving() as served:
                clients = [await stack.enter_async_context(client_of(served)) for _ in range(3)]
                assert (await clients[0].request("GET", "/")).status == 200
                await clients[1].send(b"GET /")
                assert (await clients[2].request("GET", "/node", **UPGRADE)).status == 101
            assert [await client.is_closed() for client in clients] == [True] * 3


# ---- nodes ----


async def test_compression_is_not_accepted() -> None:
    async with serving() as served, client_of(served) as client:
        offer = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
        reply = await client.request("GET", "/node", **UPGRADE, **offer)
        assert reply.status == 101
        assert "sec-websocket-extensions" not in reply.headers


@pytest.mark.parametrize("path", ["/", "/monitoring", "/nodes", "/node/", "//node", "/%6eode"])
async def test_a_websocket_on_another_path(path: str) -> None:
    async with serving() as served:
        async with client_of(served) as client:
            assert (await client.request("GET", path, **UPGRADE)).status == 400
        async with client_of(served) as client:
            assert (await client.request("GET", "/")).status == 200
            assert (await client.request("GET", path, **UPGRADE)).status >= 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"Sec-WebSocket-Version": "1"},
        {"Sec-WebSocket-Key": "short"},
        {"Sec-WebSocket-Key": ""},
        {"Connection": "close"},
        {"Content-Length": "10"},
        {"Sec-WebSocket-Protocol": ","},
        {"Sec-WebSocket-Extensions": ";;;"},
    ],
)
async def test_a_handshake_that_makes_no_sense_ends_that_connection_alone(
    wrong: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(membership, "FIRST_MESSAGE_SECONDS", 0.2)
    async with serving() as served:
        async with client_of(served) as client:
            await client.send(head("GET", "/node", **(UPGRADE | wrong)) + b"\x00" * 20)
            assert await client.is_closed()
        async with client_of(served) as client:
            assert (await client.request("GET", "/")).status == 200


@asynccontextmanager
async def open_server(
    serve_node: Callable[[Channel, Visitor], Awaitable[None]],
) -> AsyncIterator[tuple[ConnectionServer, str]]:
    """A server without pages."""
    listeners, port = await listen(0, HOME)
    server = ConnectionServer(RequestPolicy(), serve_node)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run, listeners)
        yield server, f"{HOME}:{port}"
        nursery.cancel_scope.cancel()


async def test_a_node_is_given_its_channel_and_its_address() -> None:
    visitors: list[Visitor] = []

    async def echo(channel: Channel, visitor: Visitor) -> None:
        visitors.append(visitor)
        while True:
            await channel.send(await channel.receive())

    async with open_server(echo) as (server, address):
        async with websocket.connect(address) as channel:
            for number in range(3):
                data = bytes([number]) * 100
                await channel.send(data)
                assert await channel.receive() == data
        assert [visitor.host for visitor in visitors] == [HOME]
        stream = await trio.open_tcp_stream(*websocket.split_address(address))
        async with stream:
            assert (await Client(stream).request("GET", "/")).status == 404
        assert await comes_true(lambda: server.connections == 0)


async def test_an_error_inside_ends_that_connection_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(channel: Channel, visitor: Visitor) -> None:
        raise RuntimeError("a bug")

    async with open_server(fail) as (server, address):
        for count in (1, 2):
            async with websocket.connect(address) as channel:
                with pytest.raises(ChannelClosedError):
                    await channel.receive()
            assert await comes_true(lambda: server.counters["internal_errors"] == count)
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


@pytest.mark.parametrize("address", ["", "nowhere", "a..b:1", "[::1:5", "127.0.0.1:99999", "x:y"])
async def test_an_address_that_makes_no_sense_is_one_that_cannot_be_reached(address: str) -> None:
    with pytest.raises(ChannelClosedError, match="cannot be reached"):
        async with websocket.connect(address):
            pass


async def test_a_name_to_listen_on_that_nobody_knows_is_looked_up_once_and_not_for_long(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookups = []

    async def never(*arguments: Any, **options: Any) -> None:
        lookups.append(arguments)
        await trio.sleep_forever()

    monkeypatch.setattr(trio.socket, "getaddrinfo", never)
    with pytest.raises(UsageError, match="cannot listen on nonsense, port 5000: it is not an"):
        await listen(5000, "nonsense", any_port=True)
    assert len(lookups) == 1
    assert trio.current_time() <= addresses.RESOLVE_SECONDS
