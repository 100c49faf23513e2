"""Passwords for TURN servers are good for a limited time: a node that stays always has new ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import trio
import trio.testing

from pando import messages
from pando.channel import ChannelClosedError
from pando.net.trust.identity import NodeIdentity
from pando.net.webrtc.availability import AUTO, WEBSOCKET
from pando.net.webrtc.ice_servers import CREDENTIAL_SECONDS, read_settings
from pando.volunteering.session import Session

HOUR = 3600.0
STAY_HOURS = 100
NODE = bytes(range(8))
SETTINGS = read_settings(["turn:turn.example.org"], "the north wind")
RUN = "a run"


def run_info(run: str = RUN) -> messages.RunInfo:
    """What the root tells a joining node now, on Trio's clock."""
    turn_servers = SETTINGS.for_node(NODE, trio.current_time())
    return messages.RunInfo(
        messages.VERSION, NODE, run, "square", b"", protocol="auto", turn_servers=turn_servers
    )


class Root:
    """A root that can be asked; `fails` says when it is away or answers something else."""

    def __init__(self, fails: Callable[[float], bool], answer: Any = None) -> None:
        self.asked: list[bytes] = []
        self._fails = fails
        self._answer = answer

    @asynccontextmanager
    async def connect(self, hello: bytes) -> AsyncIterator[Any]:
        self.asked.append(hello)
        is_failing = self._fails(trio.current_time())
        if is_failing and self._answer is None:
            raise ChannelClosedError("nobody is there")

        async def receive() -> messages.Message:
            return self._answer() if is_failing else run_info()

        yield SimpleNamespace(receive=receive)


class IdlePool:
    """A worker that has loaded the function, and has nothing to do."""

    def __init__(self, function: object, count: int, serve: Any, **options: object) -> None:
        self._serve = serve

    async def run(self, failed: object) -> None:
        await self._serve(self, "worker 1")

    async def send(self, message: messages.Message) -> None:
        """Take whatever the node says."""

    async def receive(self) -> messages.Message:
        await trio.sleep_forever()
        raise AssertionError

    async def aclose(self) -> None:
        """Nothing is to be closed."""


async def stay(root: Root, *, protocol: str = AUTO) -> list[bool]:
    """Stay in a run; for each hour whether the password is good that a new link would use."""
    session = Session(
        run_info(), "device", 1, IdlePool, NodeIdentity(), root.connect, protocol=protocol
    )
    await session.prepare(install=False, say=print)
    good = []
    async with trio.open_nursery() as nursery:
        await nursery.start(session.run)
        for _ in range(STAY_HOURS):
            await trio.sleep(HOUR)
            (server,) = (each for each in session.ice_servers if each.is_turn)
            good.append(int(server.username.partition(":")[0]) > trio.current_time())
        nursery.cancel_scope.cancel()
    return good


async def test_who_stays_for_days_always_has_a_good_password(
    autojump_clock: trio.testing.MockClock,
) -> None:
    root = Root(lambda now: False)
    assert all(await stay(root))
    assert STAY_HOURS * HOUR / CREDENTIAL_SECONDS < len(root.asked) < STAY_HOURS
    hello = messages.decode(root.asked[0])
    assert isinstance(hello, messages.Hello)
    assert (hello.workers, hello.run) == (0, RUN)  # so the root sends no function


async def test_a_root_that_is_away_for_hours_is_asked_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    began = trio.current_time()
    root = Root(lambda now: (now - began) % (20 * HOUR) < 15 * HOUR)
    assert all(await stay(root))


async def test_what_another_run_tells_is_not_used(autojump_clock: trio.testing.MockClock) -> None:
    root = Root(lambda now: True, lambda: run_info("another run"))
    good = await stay(root)
    assert all(good[: int(CREDENTIAL_SECONDS / HOUR) - 1])
    assert not any(good[int(CREDENTIAL_SECONDS / HOUR) :])


async def test_who_connects_by_websocket_alone_asks_for_none(
    autojump_clock: trio.testing.MockClock,
) -> None:
    root = Root(lambda now: False)
    await stay(root, protocol=WEBSOCKET)
    assert not root.asked
