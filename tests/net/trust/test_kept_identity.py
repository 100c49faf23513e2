"""A node that keeps its identity is the same node when it is started anew."""

from __future__ import annotations

import time
from typing import Any

import pytest
import trio

from pando.channel import Channel, memory_channel_pair
from pando.net.trust.certificate import Certificate
from pando.net.trust.identity import NodeIdentity
from pando.net.trust.keys import RootKeys
from pando.net.trust.responder import Request, Responder
from pando.net.trust.shaking import IncomingHandshake

from .ends import OTHER_ROOT, ROOT

NODE = b"12345678"


async def join(identity: NodeIdentity, keys: RootKeys = ROOT) -> Request:
    """Let a node join a root; return what it has proved."""
    ours, theirs = memory_channel_pair()
    requests: list[Request] = []

    async def serve(channel: Channel) -> None:
        handshake = IncomingHandshake(channel, Responder.for_root(keys, None))
        requests.append(await handshake.receive())
        expiry = int(time.time()) + 3600
        await handshake.accept(Certificate.issue(keys, NODE, requests[0].key, expiry))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, theirs)
        await identity.join_root(ours, None, None, b"")
    return requests[0]


def restored(text: str) -> NodeIdentity:
    return NodeIdentity(lambda root: text if root == ROOT.public.signing else "")


async def test_it_is_certified_again_under_its_identifier() -> None:
    first = NodeIdentity()
    assert first.keep() == ""
    assert (await join(first)).certificate is None
    again = restored(first.keep())
    request = await join(again)
    assert request.certificate is not None
    assert request.certificate.identifier == NODE
    assert again.keep().split(":")[0] == first.keep().split(":")[0]


async def test_another_root_sees_a_new_node() -> None:
    first = NodeIdentity()
    await join(first)
    request = await join(restored(first.keep()), OTHER_ROOT)
    assert request.certificate is None


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: "::",
        lambda text: text + ":more",
        lambda text: text[:-8],
        lambda text: "\N{REPLACEMENT CHARACTER}" * 300,
        lambda text: ":".join(["AAAA", *text.split(":")[1:]]),
        lambda text: ":".join(["A" * 42 + "E", *text.split(":")[1:]]),
    ],
)
async def test_what_was_kept_and_is_none_makes_a_new_node(change: Any) -> None:
    first = NodeIdentity()
    await join(first)
    request = await join(restored(change(first.keep())))
    assert request.certificate is None


async def test_what_has_expired_makes_a_new_node(monkeypatch: pytest.MonkeyPatch) -> None:
    first = NodeIdentity()
    await join(first)
    later = time.time() + 2 * 3600
    monkeypatch.setattr("time.time", lambda: later)
    request = await join(restored(first.keep()))
    assert request.certificate is None
