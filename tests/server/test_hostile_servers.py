"""A server that has the whole link, and still cannot make a volunteer run anything."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import asynccontextmanager
from functools import partial

import psutil
import pytest
import trio

from pando.channel import ChannelClosedError
from pando.net import websocket
from pando.net.prefixed_stream import PrefixedStream
from pando.net.relayed.room_channel import RoomChannel
from pando.net.trust.errors import JoinRefusedError
from pando.net.trust.initiator import Initiator, LinkedRoot
from pando.net.trust.join_link import JoinLink, parse_fragment
from pando.net.trust.keys import NodeKey, derive_link_psk
from pando.net.trust.shaking import shake_hands
from pando.net.websocket import WebSocketChannel

from ..processes import wait_until
from . import serving as own
from .runs import SECRET, Scene

pytestmark = pytest.mark.process
Change = Callable[[int, bytes], bytes]


@pytest.fixture
def scene(tmp_path):
    with Scene(tmp_path) as scene:
        yield scene


def pass_on(number: int, part: bytes) -> bytes:
    return part


class Between:
    """A server that relays nodes to the room of another server, as it likes.

    Args:
        port: the other server's.
        room: the room to which it leads whoever comes.
        change: given each part from the root, counted from 0.
    """

    def __init__(self, port: int, room: str, change: Change = pass_on) -> None:
        self.port = 0
        self.recorded: list[bytes] = []
        self._upstream = port
        self._room = room
        self._change = change

    async def serve(self, stream: trio.SocketStream) -> None:
        head = await stream.receive_some(65536)
        try:
            async with (
                websocket.accept(PrefixedStream(stream, head)) as node,
                self._connect() as root,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(self._pump_up, node, root, nursery.cancel_scope)
                await self._pump_down(node, root)
                nursery.cancel_scope.cancel()
        except* ChannelClosedError:
            pass

    def _connect(self):
        return websocket.connect(f"localhost:{self._upstream}", path=f"/r/{self._room}/node")

    async def _pump_up(
        self, node: WebSocketChannel, root: WebSocketChannel, scope: trio.CancelScope
    ) -> None:
        try:
            while True:
                await root.send(bytes(await node.receive()))
        except ChannelClosedError:
            scope.cancel()

    async def _pump_down(self, node: WebSocketChannel, root: WebSocketChannel) -> None:
        number = 0
        while True:
            part = bytes(await root.receive())
            self.recorded.append(part)
            await node.send(self._change(number, part))
            number += 1


class Replaying(Between):
    """A server that says again what it has heard the root say to another node."""

    def __init__(self, said: list[bytes]) -> None:
        super().__init__(0, "")
        self._said = said

    async def serve(self, stream: trio.SocketStream) -> None:
        head = await stream.receive_some(65536)
        try:
            async with websocket.accept(PrefixedStream(stream, head)) as node:
                for part in self._said:
                    await node.send(part)
                while True:
                    await node.receive()
        except ChannelClosedError:
            pass


@asynccontextmanager
async def serving(server: Between):
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, server.serve, 0)
        server.port = listeners[0].socket.getsockname()[1]
        yield server
        nursery.cancel_scope.cancel()


def through(server: Between, link: str) -> str:
    """The link, as a volunteer uses it whose traffic this server has."""
    return re.sub(r"//[^/]*/", f"//localhost:{server.port}/", link)


def room_of(link: str) -> str:
    return link.partition("/r/")[2].partition("#")[0].partition("/")[0]


def start_run(scene: Scene, name: str = "run"):
    server = scene.server()
    host = f"localhost:{server.port}"
    return server, scene.run(host, f"--secret={SECRET}", "--start-idle", name=name)


async def says(process, words: str) -> bool:
    return await trio.to_thread.run_sync(process.says, words)


async def assert_that_nothing_is_run(scene: Scene, change: Change) -> None:
    """See that a volunteer notices what a server between does to the parts that it passes on."""
    server, run = start_run(scene)
    async with serving(Between(server.port, room_of(run.link), change)) as between:
        volunteer = scene.volunteer(through(between, run.link))
        assert await says(volunteer, "; trying again")
        assert "computing" not in volunteer.said
        assert run.lines() == 0


async def test_a_server_between_that_changes_nothing_is_not_noticed(scene):
    server, run = start_run(scene)
    async with serving(Between(server.port, room_of(run.link))) as between:
        volunteer = scene.volunteer(through(between, run.link))
        assert await says(volunteer, "computing run")
        await trio.to_thread.run_sync(run.finish)


@pytest.mark.parametrize("changed", [0, 1, 2])
@pytest.mark.parametrize("place", [1, -1])
async def test_changed_bytes_are_noticed_and_nothing_is_run(scene, changed, place):
    """The parts are the root's hello, its reply, and the run with its function."""

    def change(number: int, part: bytes) -> bytes:
        if number != changed:
            return part
        data = bytearray(part)
        data[place] ^= 1
        return bytes(data)

    await assert_that_nothing_is_run(scene, change)


async def test_parts_that_are_swapped_repeated_or_left_out_are_noticed(scene):
    kept: list[bytes] = []

    def change(number: int, part: bytes) -> bytes:
        kept.append(part)
        return kept[-2] if number == 2 else part

    await assert_that_nothing_is_run(scene, change)


async def test_an_old_conversation_that_is_replayed_runs_nothing(scene):
    server, run = start_run(scene)
    async with serving(Between(server.port, room_of(run.link))) as between:
        first = scene.volunteer(through(between, run.link), name="first")
        assert await says(first, "computing run")
        assert len(between.recorded) >= 3
        first.kill()
    async with serving(Replaying(between.recorded)) as replaying:
        second = scene.volunteer(through(replaying, run.link), name="second")
        assert await says(second, "; trying again")
        assert "computing" not in second.said


async def test_another_run_in_the_place_of_the_one_of_the_link_runs_nothing(scene):
    """The other run may be the server's own: it has the secret, but not the root's keys."""
    server, run = start_run(scene)
    other = scene.run(
        f"localhost:{server.port}", f"--secret={SECRET}", "--start-idle", name="other"
    )
    secret = run.link.partition("#")[2]
    assert secret
    async with serving(Between(server.port, room_of(other.link))) as between:
        volunteer = scene.volunteer(through(between, run.link))
        assert await says(volunteer, "this is another run than the one whose link this is")
        assert "computing" not in volunteer.said
        assert (run.lines(), other.lines()) == (0, 0)


async def test_a_server_that_has_the_link_and_plays_the_root_runs_nothing(scene):
    """It knows the secret, and shows the root's public keys, whose private ones it lacks."""
    from pando.net.relayed import parts
    from pando.net.trust.keys import RootKeys
    from pando.net.trust.responder import Responder

    server, run = start_run(scene)
    link = JoinLink.parse(run.link)
    async with serving(Between(server.port, room_of(run.link))) as between:
        first = scene.volunteer(through(between, run.link), name="first")
        assert await says(first, "computing run")
        hello = between.recorded[0]

    class Impostor(Between):
        async def serve(self, stream: trio.SocketStream) -> None:
            head = await stream.receive_some(65536)
            own = RootKeys.generate()
            psk = derive_link_psk(link.secret, link.fingerprint)
            responder = Responder.for_root(own, psk)
            responder.hello = hello[1:]
            try:
                async with websocket.accept(PrefixedStream(stream, head)) as node:
                    await node.send(hello)
                    try:
                        responder.receive(bytes(await node.receive())[1:])
                    except Exception as error:
                        [answer] = parts.split(error.answer)
                        await node.send(answer)
                    await node.receive()
            except ChannelClosedError:
                pass

    async with serving(Impostor(0, "")) as impostor:
        second = scene.volunteer(through(impostor, run.link), name="second")
        assert await says(second, "; trying again")
        assert "computing" not in second.said


class Elsewhere:
    """Who listens where a server has said that a volunteer is: it passes on what that one says.

    Args:
        port: the volunteer's, on the address of the same machine that it does listen on.
        changed: which message from the volunteer it changes, counted from 0.
    """

    def __init__(self, port: int, changed: int) -> None:
        self.visits = 0
        self._port = port
        self._changed = changed

    async def serve(self, stream: trio.SocketStream) -> None:
        self.visits += 1
        head = await stream.receive_some(65536)
        try:
            async with (
                websocket.accept(PrefixedStream(stream, head)) as joining,
                websocket.connect(f"127.0.0.1:{self._port}") as volunteer,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(self._pump_up, joining, volunteer, nursery.cancel_scope)
                number = 0
                while True:
                    data = bytearray(await volunteer.receive())
                    if number == self._changed:
                        data[-1] ^= 1
                    await joining.send(bytes(data))
                    number += 1
        except* ChannelClosedError:
            pass

    async def _pump_up(
        self, joining: WebSocketChannel, volunteer: WebSocketChannel, scope: trio.CancelScope
    ) -> None:
        try:
            while True:
                await volunteer.send(bytes(await joining.receive()))
        except ChannelClosedError:
            scope.cancel()


def listening_port(process) -> int:
    """The port on which a volunteer takes others in."""
    found = psutil.Process(process.process.pid).net_connections("tcp")
    return next((each.laddr.port for each in found if each.status == psutil.CONN_LISTEN), 0)


@pytest.mark.parametrize("changed", [0, 1])
async def test_invented_addresses_of_volunteers_lead_to_nobody_who_is_believed(
    scene, monkeypatch, changed
):
    """The volunteer that is sent there says so, and computes elsewhere."""
    monkeypatch.setattr("pando.server.serving.find_client", lambda *_: "::1")
    async with own.serving(secret=SECRET) as server, trio.open_nursery() as nursery:
        run = scene.run(
            f"127.0.0.1:{server.port}",
            f"--secret={SECRET}",
            "--start-idle",
            "--degree=1",
            "--protocol=websocket",
        )
        link = await trio.to_thread.run_sync(lambda: run.link)
        first = scene.volunteer(link, name="first")
        assert await trio.to_thread.run_sync(wait_until, lambda: run.lines() > 0)
        port = listening_port(first)
        assert port
        elsewhere = Elsewhere(port, changed)
        await nursery.start(partial(trio.serve_tcp, elsewhere.serve, port, host="::1"))
        second = scene.volunteer(link, name="second")
        assert await says(second, r"\[::1\]:\d+ is not the device that this run has named")
        assert await says(second, "computing run")
        await trio.to_thread.run_sync(run.finish)
        assert elsewhere.visits
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("purpose", ["node", "page", "monitoring"])
async def test_who_was_invited_to_one_room_gets_nothing_from_another(scene, purpose):
    """Whatever root it takes: the other one does not know its secret."""
    server, run = start_run(scene)
    host = f"localhost:{server.port}"
    other = scene.run(host, f"--secret={SECRET}", "--start-idle", name="other")
    link = run.monitoring_link if purpose == "monitoring" else run.link
    fingerprint, secret, _ = parse_fragment(link.partition("#")[2])
    psk = derive_link_psk(secret, fingerprint)

    async def meet(room: str) -> None:
        path = f"/r/{room}/{purpose}"
        async with websocket.connect(host, path=path) as socket_:
            channel = RoomChannel(socket_)
            with trio.fail_after(own.GENEROUS_SECONDS):
                initiator = Initiator(LinkedRoot(None), NodeKey.generate(), psk=psk)
                await shake_hands(channel, initiator, await channel.receive())

    if purpose != "node":  # which sends what a node is told first, and not what this test can read
        await meet(room_of(run.link))
    with pytest.raises(JoinRefusedError):
        await meet(room_of(other.link))
    assert (run.lines(), other.lines()) == (0, 0)
