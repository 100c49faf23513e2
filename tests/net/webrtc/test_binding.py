"""Who passes on offers and answers cannot put itself in between: the handshake is bound to both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from pando.channel import Channel, ChannelClosedError
from pando.net.trust.errors import HandshakeFailedError, TrustError
from pando.net.trust.identity import LinkInUse, NodeIdentity, RootIdentity
from pando.net.trust.key_store import LinkKeys
from pando.net.visitor import Visitor
from pando.net.webrtc.channel import DataChannel
from pando.net.webrtc.connection import Connection, open_connection

pytest.importorskip("aiortc")
pytestmark = pytest.mark.socket
KEYS = LinkKeys.generate()
GENEROUS_SECONDS = 20.0


async def connect(offering: Connection, answering: Connection) -> tuple[DataChannel, DataChannel]:
    await offering.accept_answer(await answering.make_answer(await offering.make_offer()))
    return await offering.open(), await answering.open()


@asynccontextmanager
async def directly() -> AsyncIterator[tuple[Channel, Channel]]:
    async with open_connection() as node, open_connection() as root:
        yield await connect(node, root)


@asynccontextmanager
async def through_a_man_in_the_middle() -> AsyncIterator[tuple[Channel, Channel]]:
    """He answers the node's offer himself, makes the root one of his own, and passes all on."""

    async def pass_on(source: Channel, target: Channel) -> None:
        try:
            while True:
                await target.send(bytes(await source.receive()))
        except ChannelClosedError:
            return

    async with (
        open_connection() as node,
        open_connection() as to_node,
        open_connection() as to_root,
        open_connection() as root,
        trio.open_nursery() as nursery,
    ):
        of_node, left = await connect(node, to_node)
        right, of_root = await connect(to_root, root)
        nursery.start_soon(pass_on, left, right)
        nursery.start_soon(pass_on, right, left)
        yield of_node, of_root
        nursery.cancel_scope.cancel()


async def join(node: Channel, root: Channel) -> list[bytes | Exception]:
    """Shake hands as a joining node and a root do; return what each has come to."""
    identity = RootIdentity(lambda: LinkInUse(KEYS, KEYS.secret, False), lambda visitor: True)
    outcomes: dict[str, bytes | Exception] = {}

    async def let_in() -> None:
        handshake = await identity.begin(root, Visitor(""))
        try:
            request = await handshake.receive()
        except HandshakeFailedError as error:
            outcomes["root"] = error
            return
        channel = await handshake.accept(identity.certify(b"the node", request.key))
        outcomes["root"] = bytes(await channel.receive())

    with trio.fail_after(GENEROUS_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(let_in)
            try:
                joined = NodeIdentity().join_root(node, KEYS.fingerprint, KEYS.secret, b"hello")
                channel = await joined
                await channel.send(b"an item")
                outcomes["node"] = b"joined"
            except TrustError as error:
                outcomes["node"] = error
    return [outcomes["node"], outcomes["root"]]


async def test_a_node_and_its_root_join_over_a_data_channel() -> None:
    async with directly() as (node, root):
        assert await join(node, root) == [b"joined", b"an item"]


async def test_a_man_in_the_middle_of_the_signalling_is_noticed_by_both_ends() -> None:
    async with through_a_man_in_the_middle() as (node, root):
        of_node, of_root = await join(node, root)
        assert isinstance(of_node, TrustError)
        assert isinstance(of_root, HandshakeFailedError)


async def test_it_is_the_certificates_that_he_is_noticed_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with through_a_man_in_the_middle() as (node, root):
        monkeypatch.setattr(node, "binding", b"")
        monkeypatch.setattr(root, "binding", b"")
        assert await join(node, root) == [b"joined", b"an item"]
