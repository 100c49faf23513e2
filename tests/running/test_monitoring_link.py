"""Watching a run through a public server: who may, what they see, and when it ends."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest
import trio

from pando.channel import ChannelClosedError, memory_channel_pair
from pando.net.trust import identity
from pando.net.trust.errors import JoinRefusedError, TrustError
from pando.net.trust.initiator import Initiator, LinkedRoot
from pando.net.trust.join_link import LinkSecret, parse_fragment
from pando.net.trust.key_store import LinkKeys
from pando.net.trust.keys import NodeKey, derive_link_psk
from pando.net.trust.shaking import shake_hands
from pando.net.visitor import Visitor
from pando.reporting.monitor import Monitor
from pando.reporting.run_figures import RunFigures
from pando.running import monitoring_link
from pando.running.monitoring_link import MonitoringLink

from .overheard import Overheard

KEYS = LinkKeys.generate()
TOKEN = "a-token-to-watch"
VISITOR = Visitor("192.0.2.1", is_relayed=True)


@pytest.fixture
def at_once(monkeypatch):
    """Keys are derived in no thread, during which an autojump clock would jump."""

    async def derive(secret, fingerprint):
        return derive_link_psk(secret, fingerprint)

    monkeypatch.setattr(identity, "_derive_psk", derive)


class FakeRun:
    """A run of which something new is known whenever a test says so."""

    def __init__(self, function: str) -> None:
        self.monitor = Monitor(function, bytes(8), 0.0, 1.0)
        self.is_over = False
        self.viewers = 0
        self._news = trio.Event()
        self.tick(0)

    def tick(self, done: int) -> None:
        figures = RunFigures(done=done, failed=0, total=None, is_over=self.is_over)
        self.monitor.tick(figures, trio.current_time())
        news, self._news = self._news, trio.Event()
        news.set()

    def read(self):
        return self.monitor.information

    async def wait_for_news(self):
        await self._news.wait()

    @contextmanager
    def viewing(self):
        self.viewers += 1
        try:
            yield
        finally:
            self.viewers -= 1


class FakeServer:
    """A server of runs, the newest first."""

    def __init__(self, *runs: FakeRun) -> None:
        self.runs = list(runs)

    def monitored(self):
        return self.runs

    def invitation(self):
        return "http://localhost:5000/r/room#link"


async def watch(channel, secret=None, keys=KEYS):
    """Do what a page does."""
    chosen = LinkSecret.choose(TOKEN) if secret is None else secret
    psk = derive_link_psk(chosen, keys.fingerprint) if chosen else None
    initiator = Initiator(LinkedRoot(keys.fingerprint), NodeKey.generate(), psk=psk)
    proved, _ = await shake_hands(channel, initiator, await channel.receive())
    return proved


async def read(channel):
    return json.loads(bytes(await channel.receive()))


async def test_the_newest_run_is_shown_until_it_is_over():
    run = FakeRun("square")
    link = MonitoringLink(KEYS, TOKEN, FakeServer(run, FakeRun("older")))
    page, root = memory_channel_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.serve, root, VISITOR)
        viewer = await watch(page)
        invitation = await read(viewer)
        assert invitation["link"] == "http://localhost:5000/r/room#link"
        state = await read(viewer)
        assert (state["type"], state["root"]["function"]) == ("state", "square")
        assert run.viewers == 1
        run.tick(7)
        changes = await read(viewer)
        assert (changes["type"], changes["root"]["done"]) == ("changes", 7)
        run.is_over = True
        run.tick(9)
        assert (await read(viewer))["root"]["state"] == "over"
        assert await read(viewer) == {"type": "end", "reason": "over"}
    assert run.viewers == 0


async def test_the_link_holds_the_token_and_proves_the_root():
    link = MonitoringLink(KEYS, TOKEN, FakeServer())
    fingerprint, secret, _ = parse_fragment(link.credentials)
    assert (fingerprint, secret) == (KEYS.fingerprint, LinkSecret.choose(TOKEN))
    page, root = memory_channel_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.serve, root, VISITOR)
        with pytest.raises(TrustError, match="another run"):
            await watch(page, keys=LinkKeys.generate())
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("secret", [KEYS.secret, LinkSecret.choose("another token"), False])
async def test_neither_the_join_link_nor_another_token_nor_none_opens_it(secret):
    run = FakeRun("square")
    link = MonitoringLink(KEYS, TOKEN, FakeServer(run))
    page, root = memory_channel_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.serve, root, VISITOR)
        with pytest.raises(JoinRefusedError) as caught:
            await watch(page, secret=secret)
        assert caught.value.is_proven


async def test_what_is_shown_cannot_be_read_on_the_way():
    link = MonitoringLink(KEYS, TOKEN, FakeServer(FakeRun("marmalade")))
    page, root = memory_channel_pair()
    overheard = Overheard(root)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.serve, overheard, VISITOR)
        viewer = await watch(page)
        await read(viewer)
        assert (await read(viewer))["root"]["function"] == "marmalade"
        nursery.cancel_scope.cancel()
    assert len(overheard.seen) >= 5
    hidden = (b"marmalade", TOKEN.encode())
    assert not any(word in each for each in overheard.seen for word in hidden)


@pytest.mark.parametrize(("runs", "reason"), [(0, "no run"), (1, "crowded")])
async def test_there_may_be_no_run_and_no_place(runs, reason, monkeypatch):
    monkeypatch.setattr(monitoring_link, "MAX_VIEWERS", 0)
    server = FakeServer(*[FakeRun("square") for _ in range(runs)])
    link = MonitoringLink(KEYS, TOKEN, server)
    page, root = memory_channel_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.serve, root, VISITOR)
        assert await read(await watch(page)) == {"type": "end", "reason": reason}


@pytest.mark.parametrize("beats", [False, True])
async def test_a_viewer_that_is_silent_is_gone_and_one_that_beats_is_not(
    beats, at_once, autojump_clock
):
    run = FakeRun("square")
    link = MonitoringLink(KEYS, TOKEN, FakeServer(run))
    page, root = memory_channel_pair()
    async with trio.open_nursery() as nursery:

        async def serve():
            with pytest.raises(ChannelClosedError, match="nothing was heard"):
                await link.serve(root, VISITOR)

        nursery.start_soon(serve)
        viewer = await watch(page)
        await read(viewer)
        for _ in range(10 if beats else 0):
            await trio.sleep(monitoring_link.BEAT_SECONDS)
            await viewer.send(b"\0")
            assert run.viewers == 1
        began = trio.current_time()
    assert trio.current_time() - began <= monitoring_link.SILENCE_SECONDS
    assert run.viewers == 0


async def test_who_proves_nothing_is_not_waited_for(at_once, autojump_clock):
    link = MonitoringLink(KEYS, TOKEN, FakeServer(FakeRun("square")))
    _page, root = memory_channel_pair()
    await link.serve(root, VISITOR)
    assert trio.current_time() <= monitoring_link.PROOF_SECONDS


async def test_a_viewer_that_says_more_than_that_it_is_there_is_ended():
    link = MonitoringLink(KEYS, TOKEN, FakeServer(FakeRun("square")))
    page, root = memory_channel_pair()
    async with trio.open_nursery() as nursery:

        async def serve():
            with pytest.raises(ChannelClosedError, match="more than that it is there"):
                await link.serve(root, VISITOR)

        nursery.start_soon(serve)
        viewer = await watch(page)
        await viewer.send(bytes(monitoring_link.MAX_BEAT_BYTES + 1))
