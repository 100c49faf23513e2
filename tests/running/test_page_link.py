"""What pages of a public server are told of a run, and who is told nothing."""

from __future__ import annotations

import hashlib
import json

import pytest
import trio

from pando.channel import ChannelClosedError, ProtocolViolationError, memory_channel_pair
from pando.net.trust.errors import JoinRefusedError, TrustError
from pando.net.trust.identity import LinkInUse, RootIdentity
from pando.net.trust.initiator import Initiator, LinkedRoot
from pando.net.trust.join_link import LinkSecret
from pando.net.trust.key_store import LinkKeys
from pando.net.trust.keys import NodeKey, derive_link_psk
from pando.net.trust.shaking import shake_hands
from pando.net.visitor import Visitor
from pando.running.page_link import MAX_QUESTION_BYTES, QUESTION_SECONDS, PageLink
from pando.web.frontend_files import File

from .overheard import Overheard

KEYS = LinkKeys.generate()
VISITOR = Visitor("192.0.2.1", is_relayed=True)
WHEEL = bytes(range(256)) * 1000
DIGEST = hashlib.sha256(WHEEL).hexdigest()


async def describe(identifier):
    return {"type": "run", "run": {"id": identifier}}


def find_wheel(digest):
    wheel = File(WHEEL, "application/zip")
    return wheel if digest == wheel.digest else None


@pytest.fixture
def page_link():
    identity = RootIdentity(lambda: LinkInUse(KEYS, KEYS.secret, True), lambda visitor: True)
    return PageLink(identity, describe, find_wheel)


async def prove(channel, keys=KEYS, secret=KEYS.secret):
    """Do what a page does."""
    psk = None if secret is None else derive_link_psk(secret, keys.fingerprint)
    initiator = Initiator(LinkedRoot(keys.fingerprint), NodeKey.generate(), psk=psk)
    proved, _ = await shake_hands(channel, initiator, await channel.receive())
    return proved


async def ask(channel, question):
    await channel.send(question if isinstance(question, bytes) else json.dumps(question).encode())
    return bytes(await channel.receive())


async def test_a_page_is_told_of_the_run_and_given_packages(page_link):
    page, root = memory_channel_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(page_link.serve, root, VISITOR)
        proved = await prove(page)
        answer = json.loads(await ask(proved, {"ask": "run", "id": "seven"}))
        assert answer == {"type": "run", "run": {"id": "seven"}}
        assert await ask(proved, {"ask": "wheel", "digest": DIGEST}) == WHEEL
        nursery.cancel_scope.cancel()


async def test_what_is_said_cannot_be_read_on_the_way(page_link):
    page, root = memory_channel_pair()
    overheard = Overheard(root)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(page_link.serve, overheard, VISITOR)
        proved = await prove(page)
        await ask(proved, {"ask": "run", "id": "marmalade"})
        nursery.cancel_scope.cancel()
    assert len(overheard.seen) == 5
    assert not any(b"marmalade" in each or b'"ask"' in each for each in overheard.seen)


@pytest.mark.parametrize("secret", [None, LinkSecret.generate()])
async def test_who_does_not_know_the_link_is_told_nothing(page_link, secret):
    page, root = memory_channel_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(page_link.serve, root, VISITOR)
        with pytest.raises(JoinRefusedError) as caught:
            await prove(page, secret=secret)
        assert caught.value.is_proven


async def test_another_root_is_noticed(page_link):
    page, root = memory_channel_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(page_link.serve, root, VISITOR)
        with pytest.raises(TrustError, match="another run"):
            await prove(page, keys=LinkKeys.generate())
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "question",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 1000,
        {"ask": "wheel", "digest": "../../etc/passwd"},
        {"ask": "wheel", "name": "numpy.whl"},
        {"ask": "everything"},
        {},
        {"ask": "run", "id": "x" * MAX_QUESTION_BYTES},
    ],
)
async def test_what_is_no_question_ends_the_link(page_link, question):
    page, root = memory_channel_pair()
    async with trio.open_nursery() as nursery:

        async def serve():
            with pytest.raises(ProtocolViolationError, match="a page asks"):
                await page_link.serve(root, VISITOR)
            await root.aclose()

        nursery.start_soon(serve)
        proved = await prove(page)
        with pytest.raises(ChannelClosedError):
            await ask(proved, question)


async def test_a_silent_page_is_not_served_for_ever(page_link, autojump_clock):
    for proves in (False, True):
        page, root = memory_channel_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(page_link.serve, root, VISITOR)
            if proves:
                await prove(page)
            began = trio.current_time()
        assert trio.current_time() - began <= QUESTION_SECONDS
