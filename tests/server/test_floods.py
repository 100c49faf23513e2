"""Floods, and slow links: they meet a limit that is told, and nobody else is held up or lost."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio

from pando.limits import Limits
from pando.net.relayed.frames import CLOSE_CODE, Ending
from pando.server import limits
from pando.server.limits import ServerLimits
from pando.server.tries import MAX_ADDRESSES, Tries

from ..net.clients import comes_true
from .runs import SECRET, Said, Scene
from .serving import HOME, new_key, node_at, root_at, serving

pytestmark = pytest.mark.process
REPOSITORY = Path(__file__).parents[2]


# ---- too much, too many ----


async def swallow(channel, purpose, address):
    while True:
        await channel.receive()


async def test_a_node_that_floods_its_room_meets_the_rate_and_other_rooms_do_not():
    rate, seconds = 400_000, 3
    flooded, quiet, said = new_key(), new_key(), []
    async with (
        serving(limits=ServerLimits(bytes_per_second=rate)) as server,
        root_at(server.port, swallow, flooded, say=said.append),
        root_at(server.port, key=quiet),
        node_at(server.port, flooded.room) as flooding,
        node_at(server.port, quiet.room) as other,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(flooding.send, bytes(rate * 100))
        assert await comes_true(lambda: server.rooms.counters["bytes_to_roots"] > 0)
        began, before = trio.current_time(), server.rooms.counters["bytes_to_roots"]
        while trio.current_time() - began < seconds:
            await other.send(b"x" * 1000)
            assert await other.receive() == b"x" * 1000
            before += 1001  # as a part
        passed = server.rooms.counters["bytes_to_roots"] - before
        # What comes in one second is let pass at once, and the last part may go into debt.
        assert passed < rate * (trio.current_time() - began + 2)
        assert server.rooms.queued_bytes < 2**20
        assert await comes_true(lambda: any("ROOM_BYTES_PER_SECOND" in text for text in said))
        nursery.cancel_scope.cancel()


async def test_nodes_from_one_address_leave_places_to_others():
    few = ServerLimits(nodes_per_address=20)
    key = new_key()
    async with (
        serving(limits=few) as server,
        root_at(server.port, key=key),
        AsyncExitStack() as stack,
    ):
        nodes = [await stack.enter_async_context(node_at(server.port, key.room)) for _ in range(25)]
        for refused in nodes[20:]:
            code, reason = await refused.ending()
            assert code == CLOSE_CODE + Ending.FULL
            assert "(MAX_NODES_PER_ADDRESS)" in reason
        assert server.rooms.nodes == 20
        for node in nodes[:20]:
            await node.send(b"x")
            assert await node.receive() == b"x"
        # Another address has a place: the limit is of one address, not of the room.
        elsewhere, _ = server.rooms.join(key.room, "192.0.2.7", trio.current_time())
        server.rooms.drop_node(elsewhere)


async def test_runs_that_prove_nothing_end_soon_and_hold_up_no_run(monkeypatch):
    monkeypatch.setattr("pando.server.relay.PROOF_SECONDS", 5.0)
    async with serving() as server, AsyncExitStack() as stack:
        silent = []
        for _ in range(30):
            stream = await trio.open_tcp_stream(HOME, server.port)
            stack.push_async_callback(trio.aclose_forcefully, stream)
            await stream.send_all(
                b"GET /control HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            silent.append(stream)
        key = new_key()
        async with root_at(server.port, key=key), node_at(server.port, key.room) as node:
            await node.send(b"x")
            assert await node.receive() == b"x"
            with trio.fail_after(60):
                for stream in silent:
                    while await stream.receive_some():
                        pass


async def test_connections_beyond_the_limit_are_refused_and_those_that_are_there_go_on():
    key = new_key()
    async with (
        serving(connection_limits=Limits(connections=40, connections_per_address=40)) as server,
        root_at(server.port, key=key),
        node_at(server.port, key.room) as node,
        AsyncExitStack() as stack,
    ):
        for _ in range(60):
            stream = await trio.open_tcp_stream(HOME, server.port)
            stack.push_async_callback(trio.aclose_forcefully, stream)
        await node.send(b"x")
        assert await node.receive() == b"x"
        assert server._listener.connections <= 40


def test_wrong_secrets_from_very_many_addresses_take_bounded_memory():
    """The address that tries most is among those that are remembered, as long as it tries."""
    tries = Tries()
    for number in range(MAX_ADDRESSES * 2):
        tries.add(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0)
        if number % 1000 == 0:
            tries.add("192.0.2.1", 0.0)
    assert len(tries._tries) <= MAX_ADDRESSES
    assert tries.seconds_to_wait("192.0.2.1", 1.0) == limits.TRY_SECONDS - 1


# ---- a slow link ----

PROGRAM = """\
import pando


def turn(data):
    return data[::-1]


if __name__ == "__main__":
    items = [bytes([number]) * {size} + b"end" for number in range({count})]
    serve = pando.ServeOptions(host="localhost:{port}", heartbeat_timeout={silence})
    results = list(pando.map(turn, items, workers=0, serve=serve, batch_size=1))
    assert results == [item[::-1] for item in items]
    print("all", len(results))
"""


@asynccontextmanager
async def slow_link(port: int, bytes_per_second: float) -> AsyncIterator[int]:
    """A port that leads to another one, with so many bytes a second in each direction."""

    async def pump(source, target, scope):
        try:
            while data := await source.receive_some(int(bytes_per_second / 50)):
                await trio.sleep(len(data) / bytes_per_second)
                await target.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        scope.cancel()

    async def serve(near):
        far = await trio.open_tcp_stream("localhost", port)
        async with far, trio.open_nursery() as nursery:
            nursery.start_soon(pump, near, far, nursery.cancel_scope)
            nursery.start_soon(pump, far, near, nursery.cancel_scope)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def test_values_that_take_longer_than_the_silence_of_a_lost_volunteer_lose_nobody(tmp_path):
    """A tenth of 64 MB at 10 Mbit/s, and about a tenth of the usual time of silence."""
    with Scene(tmp_path) as scene:
        server = scene.server()
        script, output = tmp_path / "program.py", tmp_path / "output"
        script.write_text(PROGRAM.format(size=6_400_000, count=2, port=server.port, silence=1.5))
        program = Said(
            [sys.executable, str(script)],
            tmp_path / "program.log",
            tmp_path,
            output=output,
            PANDO_SECRET=SECRET,
            PYTHONPATH=str(REPOSITORY),
        )
        scene.add(program)
        assert await trio.to_thread.run_sync(program.says, r"volunteers join at \S+ ")
        link = program.said.partition("volunteers join at ")[2].split()[0]
        async with slow_link(server.port, 10e6 / 8) as port:
            volunteer = scene.volunteer(link.replace(f":{server.port}/", f":{port}/"))
            await trio.to_thread.run_sync(program.process.wait, 300)
        assert output.read_text() == "all 2\n", program.said
        assert volunteer.said.count("computing turn") == 1
        assert "trying again" not in volunteer.said
        assert "has gone" not in volunteer.said + program.said
