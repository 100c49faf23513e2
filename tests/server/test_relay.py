"""The relay with real sockets: what goes through it, who is let in, how everybody ends."""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import AsyncExitStack

import pytest
import trio
import trio.testing
from websockets.exceptions import InvalidStatus

from pando.channel import ChannelClosedError
from pando.net.relayed import link
from pando.net.relayed.frames import CLOSE_CODE, MAX_PART_BYTES, Ending, Purpose
from pando.net.relayed.link import ServerError
from pando.net.relayed.proof import VERSION, ServerProof
from pando.server import limits
from pando.server.limits import ServerLimits
from pando.server.options import ServerOptions
from pando.server.policy import parse_networks
from pando.server.room import SENTENCES
from pando.server.serving import Server

from ..net.clients import comes_true
from .serving import (
    GENEROUS_SECONDS,
    HOME,
    SECRET,
    new_key,
    node_at,
    root_at,
    serving,
)
from .test_pages import get

pytestmark = pytest.mark.socket


async def test_messages_of_all_sizes_go_both_ways():
    key = new_key()
    async with serving() as server, root_at(server.port, key=key) as run:
        assert run.link == f"http://{HOME}:{server.port}/r/{key.room}"
        async with node_at(server.port, key.room) as node:
            for size in (0, 1, 1000, MAX_PART_BYTES - 1, MAX_PART_BYTES, 1_000_000):
                message = os.urandom(size)
                await node.send(message)
                assert await node.receive() == message


async def test_two_rooms_are_apart():
    async def say(text, channel, purpose, address):
        assert await channel.receive() == text
        await channel.send(text)
        await channel.receive()

    one, two = new_key(), new_key()

    def serve(text):
        return lambda *arguments: say(text, *arguments)

    async with (
        serving() as server,
        root_at(server.port, serve(b"one"), one),
        root_at(server.port, serve(b"two"), two),
        node_at(server.port, two.room) as of_two,
        node_at(server.port, one.room) as of_one,
    ):
        await of_one.send(b"one")
        await of_two.send(b"two")
        assert await of_two.receive() == b"two"
        assert await of_one.receive() == b"one"


async def test_a_node_that_does_not_read_holds_up_nobody():
    key = new_key()
    sent = 0

    async def serve(channel, purpose, address):
        nonlocal sent
        if await channel.receive() == b"flood me":
            while True:
                await channel.send(bytes(MAX_PART_BYTES))
                sent += 1
        while True:
            await channel.send(await channel.receive())

    async with (
        serving() as server,
        root_at(server.port, serve, key),
        node_at(server.port, key.room) as deaf,
        node_at(server.port, key.room) as other,
    ):
        await deaf.send(b"flood me")
        assert await comes_true(lambda: sent > 3)
        await other.send(b"hello")
        for number in range(200):
            message = number.to_bytes(2, "big") * 20_000
            await other.send(message)
            assert await other.receive() == message
        assert server.rooms.queued_bytes < 2**20
        # All that is under way to it is in buffers of the operating system, and a window.
        before = sent
        await other.send(b"again")
        assert await other.receive() == b"again"
        assert sent == before


async def test_nodes_of_a_root_that_does_not_read_one_of_them_go_on():
    key = new_key()

    async def serve(channel, purpose, address):
        if await channel.receive() == b"ignore me":
            await trio.sleep_forever()
        while True:
            await channel.send(hashlib.sha256(await channel.receive()).digest())

    async with (
        serving() as server,
        root_at(server.port, serve, key),
        node_at(server.port, key.room) as ignored,
        node_at(server.port, key.room) as other,
        trio.open_nursery() as nursery,
    ):
        await ignored.send(b"ignore me")
        nursery.start_soon(ignored.send, bytes(50_000_000))
        await other.send(b"listen")
        for _ in range(100):
            await other.send(b"x" * 100_000)
            assert await other.receive() == hashlib.sha256(b"x" * 100_000).digest()
        assert server.rooms.queued_bytes < 2**20
        nursery.cancel_scope.cancel()


async def test_the_root_is_told_purpose_and_address():
    key = new_key()
    seen = []

    async def serve(channel, purpose, address):
        seen.append((purpose, address))
        await channel.receive()

    proxies = parse_networks([HOME])
    async with serving(proxies=proxies) as server, root_at(server.port, serve, key):
        async with node_at(server.port, key.room):
            assert await comes_true(lambda: len(seen) == 1)
        forwarded = {"X_Forwarded_For": "10.9.9.9, 198.51.100.7"}
        async with node_at(server.port, key.room, "monitoring", **forwarded):
            assert await comes_true(lambda: len(seen) == 2)
    assert seen == [(Purpose.NODE, HOME), (Purpose.MONITORING, "198.51.100.7")]


async def test_a_node_that_leaves_ends_its_channel_after_what_it_sent():
    key = new_key()
    heard = []

    async def serve(channel, purpose, address):
        try:
            while True:
                heard.append(len(await channel.receive()))
        except ChannelClosedError as error:
            heard.append(str(error))

    async with serving() as server, root_at(server.port, serve, key):
        async with node_at(server.port, key.room) as node:
            await node.send(bytes(300_000))
            await node.send(b"last")
        assert await comes_true(lambda: len(heard) == 3)
    assert heard == [300_000, 4, "the link is closed"]


async def test_a_root_that_closes_a_channel_ends_the_node_after_what_it_sent():
    key = new_key()

    async def serve(channel, purpose, address):
        await channel.send(b"goodbye" * 50_000)

    async with (
        serving() as server,
        root_at(server.port, serve, key),
        node_at(server.port, key.room) as node,
    ):
        assert await node.receive() == b"goodbye" * 50_000
        assert (await node.ending())[0] == CLOSE_CODE + Ending.CLOSED_BY_ROOT


# ---- where there is no run ----


async def test_the_words_for_a_run_that_is_not_there():
    key = new_key()
    async with serving() as server:
        async with node_at(server.port, key.room) as node:
            code, reason = await node.ending()
            assert code == CLOSE_CODE + Ending.NO_ROOM
            assert "not begun" in reason
        async with root_at(server.port, key=key):
            pass  # its process dies
        assert await comes_true(lambda: not server.rooms.rooms)
        async with node_at(server.port, key.room) as node:
            code, reason = await node.ending()
            assert code == CLOSE_CODE + Ending.AWAY
            assert "may come back" in reason
        async with root_at(server.port, key=key) as run, node_at(server.port, key.room) as node:
            await run.finish()
            assert await node.ending() == (CLOSE_CODE + Ending.FINISHED, "the run is over")
        async with node_at(server.port, key.room) as node:
            assert await node.ending() == (CLOSE_CODE + Ending.FINISHED, "the run is over")


async def test_a_server_that_restarts_tells_everybody_and_the_root_comes_back(caplog):
    caplog.set_level(logging.DEBUG, "pando.net.relayed")
    key = new_key()
    said = []
    async with serving() as server:
        port = server.port
        async with root_at(port, key=key, say=said.append):
            async with node_at(port, key.room) as node:
                await node.send(b"x")
                assert await node.receive() == b"x"
                server.close()
                assert await node.ending() == (
                    CLOSE_CODE + Ending.RESTART,
                    "the server is being restarted",
                )
            assert await comes_true(lambda: bool(said))
            assert said == [f"{HOME}:{port}: the server is being restarted"]
            await nobody_listens(port)
            async with serving(port=port) as again:
                assert await comes_true(lambda: again.rooms.rooms == [key.room])
                async with node_at(port, key.room) as node:
                    await node.send(b"y")
                    assert await node.receive() == b"y"
            assert said[-1].endswith("the server is being restarted")
            assert f"{HOME}:{port}: the server is back" in said
    log = [(record.levelname, record.getMessage()) for record in caplog.records]
    name = f"<RelayLink to {HOME}:{port}>"
    assert log.count(("DEBUG", f"{name} is open")) == 2
    assert ("INFO", f"{name} is lost: the server is being restarted") in log


async def nobody_listens(port):
    """Wait until nothing listens on a port."""
    with trio.fail_after(GENEROUS_SECONDS):
        while True:
            try:
                await trio.aclose_forcefully(await trio.open_tcp_stream(HOME, port))
            except OSError:
                return


async def test_a_root_that_connects_again_takes_its_room_over():
    key = new_key()
    async with (
        serving() as server,
        root_at(server.port, key=key),
        node_at(server.port, key.room) as node,
        root_at(server.port, key=key),
    ):
        assert (await node.ending())[0] == CLOSE_CODE + Ending.AWAY
        async with node_at(server.port, key.room) as other:
            await other.send(b"x")
            assert await other.receive() == b"x"
            assert server.rooms.rooms == [key.room]


# ---- who may register ----


def only_error(caught):
    error = caught.value
    while isinstance(error, BaseExceptionGroup):
        (error,) = error.exceptions
    return error


async def refusal(port, **options):
    with pytest.raises((ServerError, BaseExceptionGroup)) as caught:
        async with root_at(port, **options):
            pass
    error = only_error(caught)
    assert isinstance(error, ServerError)
    return str(error)


async def test_a_wrong_secret_is_said_at_once_and_too_many_are_not_tried():
    async with serving() as server:
        for _ in range(limits.MAX_TRIES):
            assert "the secret is wrong" in await refusal(server.port, secret="not this one!")
        assert "too many wrong secrets" in await refusal(server.port, secret="not this one!")
        assert "too many wrong secrets" in await refusal(server.port)
        assert not server.rooms.rooms
        assert server.rooms.counters["wrong_secrets"] == limits.MAX_TRIES


async def test_a_root_without_a_secret_is_told_what_to_do():
    async with serving() as server:
        assert "pass --secret" in await refusal(server.port, secret=None)
        assert "pass --secret" in await refusal(server.port, secret="INSECURE-SECRET")


async def test_the_same_user_on_the_same_machine_needs_no_secret():
    async with (
        serving(lambda socket: True) as server,
        root_at(server.port, secret=None),
        root_at(server.port, secret="any secret will do"),
    ):
        assert len(server.rooms.rooms) == 2
    async with serving(lambda socket: True, public_url="https://pando.example.org") as server:
        assert "pass --secret" in await refusal(server.port, secret=None)
    async with serving(lambda socket: True, proxies=parse_networks(["10.0.0.0/8"])) as server:
        assert "pass --secret" in await refusal(server.port, secret=None)


async def test_a_server_that_does_not_know_the_secret_is_noticed(monkeypatch):
    """One that lets everybody register gets no run that has a secret."""
    monkeypatch.setattr(ServerProof, "_check_secret", lambda self, head, mac: None)
    async with serving(secret=None) as server:
        assert "does not know the secret" in await refusal(server.port)


async def test_another_version_is_named(monkeypatch):
    async with serving() as server:

        class Older(link.RootProof):
            def request(self, mac_key):
                request = bytearray(super().request(mac_key))
                request[len(b"PANDO-ROOM")] = VERSION + 1
                return bytes(request)

        monkeypatch.setattr(link, "RootProof", Older)
        sentence = await refusal(server.port)
        assert f"version {VERSION}" in sentence
        assert f"version {VERSION + 1}" in sentence


async def answering(data, task_status=trio.TASK_STATUS_IGNORED):
    async def serve(stream):
        await stream.receive_some()
        if data is None:
            await trio.sleep_forever()
        await stream.send_all(data)

    listeners = await trio.open_tcp_listeners(0, host=HOME)
    task_status.started(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(serve, listeners)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "is not a pando-server: it hung up"),
        (b"220 mail.example.org ready\r\n\r\n", "is not a pando-server"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nNope", "it answers 404, Nope"),
    ],
)
async def test_a_host_that_is_no_server_is_told_at_once(answer, words):
    async with trio.open_nursery() as nursery:
        port = await nursery.start(answering, answer)
        assert words in await refusal(port)
        nursery.cancel_scope.cancel()


async def test_a_silent_host_is_given_up(monkeypatch):
    assert link.OPEN_SECONDS <= 10
    monkeypatch.setattr(link, "OPEN_SECONDS", 0.2)
    async with trio.open_nursery() as nursery:
        port = await nursery.start(answering, None)
        assert "does not answer as a pando-server does" in await refusal(port)
        nursery.cancel_scope.cancel()


async def test_a_refusing_host_is_told_at_once():
    listeners = await trio.open_tcp_listeners(0, host=HOME)
    port = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()
    assert "cannot be reached" in await refusal(port)


# ---- limits ----


async def test_limits_are_told_to_whom_they_meet():
    few = ServerLimits(rooms=1, nodes_per_room=1)
    key, said = new_key(), []
    async with serving(limits=few) as server, root_at(server.port, key=key, say=said.append):
        assert "1 runs at once (MAX_ROOMS)" in await refusal(server.port)
        async with node_at(server.port, key.room), node_at(server.port, key.room) as second:
            code, reason = await second.ending()
            assert code == CLOSE_CODE + Ending.FULL
            assert "(MAX_NODES_PER_ROOM)" in reason
            assert await comes_true(lambda: any("MAX_NODES_PER_ROOM" in text for text in said))


@pytest.mark.parametrize("what", [b"", bytes(MAX_PART_BYTES + 1), "text"])
async def test_a_node_that_breaks_the_rules_is_closed_and_the_others_go_on(what):
    key = new_key()
    async with (
        serving() as server,
        root_at(server.port, key=key),
        node_at(server.port, key.room) as bad,
        node_at(server.port, key.room) as good,
    ):
        await bad.send(b"first")
        await bad.receive()
        if isinstance(what, str):
            bad.protocol.send_text(what.encode())
        else:
            bad.protocol.send_binary(what)
        await bad.channel.flush()
        assert (await bad.ending())[0] in (CLOSE_CODE + Ending.BROKEN_RULES, 1009)
        await good.send(b"x")
        assert await good.receive() == b"x"


async def test_a_stranger_may_send_little_before_its_first_part():
    key = new_key()
    async with (
        serving() as server,
        root_at(server.port, key=key),
        node_at(server.port, key.room) as node,
    ):
        # The head of a frame that is longer than any may be, and then its bytes.
        with pytest.raises((trio.BrokenResourceError, trio.ClosedResourceError)):
            await node.stream.send_all(b"\x82\xff" + (2**40).to_bytes(8, "big") + bytes(4))
            for _ in range(1000):
                await node.stream.send_all(bytes(100_000))


async def test_pages_of_other_sites_cannot_join_a_room():
    key = new_key()
    async with serving() as server, root_at(server.port, key=key):
        with pytest.raises(InvalidStatus):
            async with node_at(server.port, key.room, Origin="https://evil.example"):
                pass
        async with node_at(server.port, key.room, Origin=f"http://{HOME}:{server.port}") as node:
            await node.send(b"x")
            assert await node.receive() == b"x"


async def test_whose_a_connection_is_nobody_looks_up_for_relayed_nodes(monkeypatch):
    """It takes as long as this machine has connections: a thousand nodes would take minutes."""
    asked = []
    monkeypatch.setattr("pando.net.listener.find_peer_user", lambda socket: asked.append(socket))
    key = new_key()
    async with serving() as server, root_at(server.port, key=key):
        async with node_at(server.port, key.room) as node:
            await node.send(b"x")
            assert await node.receive() == b"x"
        assert asked == []
        assert (await get(server, "/")).status == 200
        assert len(asked) == 1


def test_a_server_ends_within_two_seconds_whoever_does_not_listen():
    """The clock stands still but for what the test lets pass."""
    clock = trio.testing.MockClock()

    async def scene():
        key, has_ended = new_key(), trio.Event()
        server = Server(ServerOptions(port=0, listen=HOME, secret=SECRET), lambda text: None)

        async def run(task_status):
            await server.run(task_status=task_status)
            has_ended.set()

        async with trio.open_nursery() as nursery:
            await nursery.start(run)
            async with root_at(server.port, key=key), AsyncExitStack() as stack:
                deaf = await stack.enter_async_context(node_at(server.port, key.room))
                await deaf.send(b"x")
                assert await deaf.receive() == b"x"
                nodes = [
                    await stack.enter_async_context(node_at(server.port, key.room))
                    for _ in range(3)
                ]
                server.close()
                for _ in range(20):  # a tenth of a second each
                    await trio.testing.wait_all_tasks_blocked(0.01)
                    clock.jump(0.1)
                await trio.testing.wait_all_tasks_blocked(0.05)
                assert has_ended.is_set()
                for node in nodes:
                    restarted = CLOSE_CODE + Ending.RESTART, SENTENCES[Ending.RESTART]
                    assert await node.ending() == restarted

    trio.run(scene, clock=clock)
