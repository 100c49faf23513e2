"""Who takes a root's place: a volunteer computes nothing for them, and comes back to the root.

The volunteers and the roots are processes. Who takes the root's place is in the test's own process,
at the very port; it has the root's own messages, function and all, as everybody has who has once
been invited. What the volunteer has executed is seen in a file that the function writes.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from pando import messages
from pando.channel import Channel, ChannelClosedError
from pando.net import websocket
from pando.net.addresses import listen
from pando.net.listener import ConnectionServer
from pando.net.request_policy import RequestPolicy
from pando.net.trust.errors import LINK_ENDED, HandshakeFailedError
from pando.net.trust.handshake import OPEN_ROOT, ROOT, make_hello
from pando.net.trust.identity import NodeIdentity
from pando.net.trust.join_link import JoinLink
from pando.net.trust.keys import RootKeys, derive_link_psk
from pando.net.trust.responder import Responder
from pando.net.visitor import Visitor

from ...processes import GENEROUS_SECONDS, environment, wait_until
from ...roots import Party, Root, children_of
from ..clients import comes_true

pytestmark = [pytest.mark.process, pytest.mark.socket]

HOME = "127.0.0.1"
NOBODY = 65_534
MARKING = """\
from pathlib import Path

def pando(x):
    Path({marker!r}).open("a").write("executed\\n")
    return x * x
"""
needs_root = pytest.mark.skipif(
    os.getuid() != 0 or not sys.platform.startswith("linux"),
    reason="only root becomes another user, and only Linux tells whose a connection is",
)


@pytest.fixture
def party(tmp_path: Path) -> Iterator[Party]:
    with Party(tmp_path) as party:
        yield party


class Recorder:
    """A channel that remembers what has come."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.received: list[bytes] = []

    async def send(self, data: bytes) -> None:
        await self._channel.send(data)

    async def receive(self) -> bytes:
        self.received.append(bytes(await self._channel.receive()))
        return self.received[-1]

    async def aclose(self) -> None:
        await self._channel.aclose()


@dataclass
class Heard:
    """What somebody who was invited once has of a run that is over.

    Attributes:
        link: the whole of it.
        hello: the root's, with its public keys.
        recorded: all that the root has sent, as it was sent.
        assigned: the run and its function, decrypted.
    """

    link: JoinLink
    hello: bytes
    recorded: list[bytes]
    assigned: bytes
    false_keys: RootKeys = field(default_factory=RootKeys.generate)

    @property
    def psk(self) -> bytes:
        assert self.link.secret is not None
        assert self.link.fingerprint is not None
        return derive_link_psk(self.link.secret, self.link.fingerprint)


async def join_and_record(root: Root) -> Heard:
    link = JoinLink.parse(root.printed_link)
    async with websocket.connect(f"{HOME}:{root.port}") as channel:
        recorder = Recorder(channel)
        said = messages.encode(messages.Hello("insider"))
        secured = await NodeIdentity().join_root(recorder, link.fingerprint, link.secret, said)
        assigned = bytes(await secured.receive())
    assert isinstance(messages.decode(assigned), messages.RunInfo)
    return Heard(link, recorder.received[0], recorder.received, assigned)


async def answer_all(channel: Channel, responder: Responder, assigned: bytes) -> None:
    """A root's part with these keys, as far as it goes; then the run in any case."""
    await channel.send(responder.hello)
    try:
        responder.receive(await channel.receive())
    except HandshakeFailedError as error:
        await channel.send(error.answer)
    else:
        reply, transport = responder.accept()
        await channel.send(reply)
        await channel.send(bytes(transport.encrypt(assigned)))
    await channel.send(assigned)


def shown_keys(heard: Heard) -> bytes:
    return heard.hello[-64:]


async def foreign(channel: Channel, heard: Heard) -> None:
    await answer_all(channel, Responder.for_root(heard.false_keys, heard.psk), heard.assigned)


async def knows_the_whole_link(channel: Channel, heard: Heard) -> None:
    """It shows the root's own keys, but has only others."""
    responder = Responder.for_root(heard.false_keys, heard.psk)
    responder.hello = make_hello(ROOT, secrets.token_bytes(16), shown_keys(heard))
    await answer_all(channel, responder, heard.assigned)


async def refuses_by_the_link(channel: Channel, heard: Heard) -> None:
    """It would have the volunteer leave for good, and cannot sign that."""
    responder = Responder.for_root(heard.false_keys, heard.psk)
    responder.hello = make_hello(ROOT, secrets.token_bytes(16), shown_keys(heard))
    await channel.send(responder.hello)
    await channel.receive()
    await channel.send(responder.refuse(LINK_ENDED))


async def replaying(channel: Channel, heard: Heard) -> None:
    await channel.send(heard.recorded[0])
    await channel.receive()
    for message in heard.recorded[1:]:
        await channel.send(message)
    await channel.send(heard.assigned)


async def is_open(channel: Channel, heard: Heard) -> None:
    await answer_all(channel, Responder.for_root(heard.false_keys, None), heard.assigned)


async def is_open_with_the_same_keys(channel: Channel, heard: Heard) -> None:
    responder = Responder.for_root(heard.false_keys, None)
    responder.hello = make_hello(OPEN_ROOT, secrets.token_bytes(16), shown_keys(heard))
    await answer_all(channel, responder, heard.assigned)


async def speaks_version_1(channel: Channel, heard: Heard) -> None:
    await channel.send(heard.assigned)
    await channel.receive()


IMPOSTORS: dict[Callable[[Channel, Heard], Awaitable[None]], str] = {
    foreign: "this is another run than the one whose link this is",
    knows_the_whole_link: f"proves nothing ({LINK_ENDED}",
    refuses_by_the_link: f"proves nothing ({LINK_ENDED}",
    replaying: "changed on the way, or is out of order",
    is_open: "this is another run than the one whose link this is",
    is_open_with_the_same_keys: "this run lets everybody join, and does not prove its link",
    speaks_version_1: "the other end does not speak as a node does",
}


@asynccontextmanager
async def impostor(
    port: int, behave: Callable[[Channel, Heard], Awaitable[None]], heard: Heard
) -> AsyncIterator[list[str]]:
    """Somebody at a port; gives who has connected."""
    connected: list[str] = []

    async def serve(channel: Channel, visitor: Visitor) -> None:
        connected.append(visitor.host)
        with suppress(ChannelClosedError):
            await behave(channel, heard)
            while True:
                await channel.receive()

    listeners, _ = await listen(port, HOME)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ConnectionServer(RequestPolicy(), serve).run, listeners)
        yield connected
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("behave", IMPOSTORS, ids=lambda behave: behave.__name__)
async def test_nothing_is_computed_for_an_impostor_and_the_root_is_waited_for(
    behave: Callable[[Channel, Heard], Awaitable[None]], party: Party, tmp_path: Path
) -> None:
    marker = tmp_path / "executed"
    module = MARKING.format(marker=str(marker))
    options = ("--start-idle", "--listen=127.0.0.1")
    root = party.root(*options, items=5, module=module, hold=True, home=tmp_path)
    heard = await join_and_record(root)
    root.end()
    async with impostor(root.port, behave, heard) as connected:
        volunteer = party.volunteer(root, "tablet", link=root.printed_link)
        assert await comes_true(lambda: len(connected) >= 3), party.said("tablet")
        assert IMPOSTORS[behave] in party.said("tablet")
        assert "trying again" in party.said("tablet")
        assert children_of(volunteer.pid) == [], "there are no workers"
        assert not marker.exists()
    again = party.root(*options, items=5, module=module, port=root.port, home=tmp_path)
    assert again.printed_link == root.printed_link
    again.finish()
    assert marker.read_text() == "executed\n" * 5, "the root that proves its link is computed for"


# ---- other users of this machine ----

AS_ANOTHER = f"""
import encodings.idna, os, secrets, sys
import trio
from pando import messages
from pando.channel import ChannelClosedError
from pando.net import addresses, listener, request_policy, websocket
from pando.net.trust import identity, initiator, keys, responder, shaking, transport
from pando.net.visitor import Visitor

what, port, user = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

async def join():
    said = messages.encode(messages.Hello("stranger"))
    async with websocket.connect(f"{HOME}:{{port}}") as channel:
        try:
            secured = await identity.NodeIdentity().join_root(channel, None, None, said)
            print(type(messages.decode(await secured.receive())).__name__, flush=True)
        except Exception as error:
            print(error, flush=True)

async def serve():
    root = keys.RootKeys.generate()
    connected = 0

    async def answer(channel, visitor):
        shown = responder.Responder.for_root(root, None)
        await channel.send(shown.hello)
        try:
            shown.receive(await channel.receive())
        except ChannelClosedError:
            print("left", flush=True)
        else:
            print("joins", flush=True)

    listeners, _ = await addresses.listen(port, "{HOME}")
    print("ready", flush=True)
    await listener.ConnectionServer(request_policy.RequestPolicy(), answer).run(listeners)

# All is imported, and only then somebody else's.
trio.run(trio.sleep, 0)
keys.RootKeys.generate().public
if user:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
trio.run(join if what == "join" else serve)
"""


def start_as(user: int, what: str, port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", AS_ANOTHER, what, str(port), str(user)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )


@needs_root
@pytest.mark.parametrize(
    ("user", "answer"), [(0, "RunInfo"), (NOBODY, "the link is not complete: what follows its")]
)
def test_a_program_of_another_user_needs_the_link(user: int, answer: str, party: Party) -> None:
    root = party.root("--start-idle", "--listen=127.0.0.1", items=5, hold=True)
    with start_as(user, "join", root.port) as stranger:
        said, _ = stranger.communicate(timeout=2 * GENEROUS_SECONDS)
    assert said.startswith(answer)
    # It is told before it is counted.
    assert wait_until(lambda: root.counter("failed_handshakes") == (user == NOBODY))


@needs_root
@pytest.mark.parametrize(("user", "what_it_sees"), [(0, "joins"), (NOBODY, "left")])
def test_a_bare_address_is_believed_where_the_same_user_listens(
    user: int, what_it_sees: str, party: Party
) -> None:
    root = party.root("--start-idle", items=1, hold=True)
    root.end()
    with start_as(user, "serve", root.port) as stranger:
        assert stranger.stdout is not None
        try:
            assert stranger.stdout.readline() == "ready\n"
            volunteer = party.volunteer(root, "tablet", link=f"{HOME}:{root.port}")
            assert stranger.stdout.readline() == f"{what_it_sees}\n"
            assert children_of(volunteer.pid) == []
            if user == NOBODY:
                assert volunteer.wait(GENEROUS_SECONDS) == 2
                assert "belongs to another user of this machine" in party.said("tablet")
        finally:
            stranger.send_signal(signal.SIGKILL)
