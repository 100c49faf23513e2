"""Joins, refusals and losses are logged; secrets are not."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio

import pando
from pando.channel import memory_channel_pair
from pando.errors import UsageError
from pando.running.served_run import ServedRun
from pando.volunteering import JoinLink, Volunteer, VolunteerOptions

from ..net.clients import comes_true, serving
from ..processes import open_run_here
from ..tree.workers import FakeWorker

pytestmark = pytest.mark.socket


class Pool:
    """A worker of this process."""

    def __init__(self, function: object, count: int, serve: Any, **options: object) -> None:
        self._serve = serve

    async def run(self, failed: object) -> None:
        ours, theirs = memory_channel_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._serve, ours, "worker")
            nursery.start_soon(FakeWorker(theirs, lambda item: 0.0).run)


def make_volunteer(link: str) -> Volunteer:
    options = VolunteerOptions(workers=1, name="tablet")
    return Volunteer(link, options, lambda text: None, make_pool=Pool)


class Log:
    """What has been logged."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, logger="pando")
        self._caplog = caplog

    async def gets(self, logger: str, level: int, words: str) -> bool:
        return await comes_true(
            lambda: any(
                (record.name, record.levelno) == (logger, level) and words in record.getMessage()
                for record in self._caplog.records
            )
        )


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    return Log(caplog)


def lose_volunteers(served: ServedRun) -> None:
    for connection in list(served.connections):
        connection.cancel()


async def test_joins_and_losses(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as served, trio.open_nursery() as nursery:
        volunteer = make_volunteer(served.links[0])
        nursery.start_soon(volunteer.run)
        root, device = "pando.running.served_run", "pando.volunteering.device"
        assert await log.gets(root, logging.DEBUG, f"tablet has joined {served!r}")
        assert await log.gets(device, logging.DEBUG, "has joined parent")
        assert await log.gets("pando.tree.children", logging.DEBUG, "joined, with 1 workers")
        lose_volunteers(served)
        assert await log.gets(root, logging.INFO, f"tablet has left {served!r}, or was lost")
        assert await log.gets(device, logging.INFO, "has lost its parent")
        assert await log.gets("pando.tree.parent", logging.INFO, "lost the parent at <Keepalive")
        assert await log.gets("pando.tree.children", logging.DEBUG, "is no longer connected")
        assert "tablet" in repr(volunteer)
        nursery.cancel_scope.cancel()
    token = served.links[0].partition("#")[2]
    assert token
    assert token[22:] not in caplog.text


async def test_refusals(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(public_url="http://localhost/") as served:
        volunteer = make_volunteer(f"http://127.0.0.1:{served.server.port}/")
        with pytest.raises(UsageError, match="the link is not complete"):
            await volunteer.run()
        assert await log.gets("pando.tree.membership", logging.DEBUG, "the link is not complete")
        assert await log.gets("pando.volunteering.device", logging.DEBUG, "the link is not comp")


async def test_a_function_that_cannot_be_loaded(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    sentences: list[str] = []
    async with serving() as served:
        monkeypatch.setattr(served, "_say", sentences.append)
        served.on_load_failed("tablet", "192.168.1.7", "no numpy\n\x1b[31m" + "!" * 1000)
        assert served.all_counters()["load_failures"] == 1
        message = f"tablet cannot load the function of {served!r}: no numpy [31m!!!"
        assert await log.gets("pando.running.served_run", logging.DEBUG, message)
    (said,) = sentences
    assert said.startswith("tablet cannot join: no numpy [31m!!!")
    assert said.isprintable()
    assert len(said) < 300


# ---- what objects are called in logs ----


async def test_a_server_and_its_run() -> None:
    async with serving() as served:
        assert repr(served.server) == f"<Server: port {served.server.port}, 1 runs>"
        assert repr(served) == f"<ServedRun {served.identifier} of square>"
    assert "closed" in repr(served.server)


def test_a_link_keeps_its_secret() -> None:
    link = JoinLink.parse(f"http://192.168.1.7:5000/#{22 * 'A'}.a-long-secret")
    assert link.secret is not None
    assert link.secret.value == b"a-long-secret"
    assert "192.168.1.7:5000" in repr(link)
    assert "a-long-secret" not in repr(link)


@pytest.mark.process
async def test_a_run_and_its_streams() -> None:
    async with open_run_here(abs, workers=1) as run:
        stream = run.map([-1, -2])
        assert [result async for result in stream] == [1, 2]
        assert repr(run) == "<Run of abs: 1 workers, 1 streams>"
        assert repr(stream) == "<ResultStream: closed>"
        stream = run.map([-3])
        assert await anext(stream) == 3
        assert repr(stream) == "<ResultStream: 1 items read, 1 results delivered>"
    assert "closed" in repr(run)


@pytest.mark.process
def test_a_synchronous_run() -> None:
    run = pando.run(abs, workers=1, serve=False)
    assert repr(run) == "<SyncRun of abs: not open yet>"
    with run:
        assert repr(run) == "<SyncRun of abs: open>"
    assert repr(run) == "<SyncRun of abs: closed>"
