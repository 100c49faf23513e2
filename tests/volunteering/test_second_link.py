"""When a node whose link is relayed tries to connect to the root by WebRTC, and what it says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from pando import messages
from pando.net import addresses
from pando.net.webrtc import connection
from pando.volunteering.second_link import LONGEST_BUSY_PAUSE_SECONDS, SPREAD, SecondLink


class Offering:
    """A connection that makes offers; nobody takes them."""

    async def make_offer(self) -> str:
        return "an offer"


class FirstLink:
    """A session that computes over a link to a root; `answers` are the root's, by turns."""

    ice_servers = ()
    again = busy_until = 0.0

    def __init__(self, *answers: float) -> None:
        self.offered: list[float] = []
        self._answers = list(answers)

    async def signal(self, offer: str) -> messages.Signal:
        self.offered.append(trio.current_time())
        await trio.sleep(self._answers.pop(0) if self._answers else 0.0)
        is_busy = trio.current_time() < self.busy_until
        return messages.Signal(again=self.again if is_busy else 0.0)


@asynccontextmanager
async def open_connection(servers: object) -> AsyncIterator[Offering]:
    yield Offering()


async def never(*arguments: Any) -> Any:
    raise AssertionError("no second link stands")


async def run(
    session: FirstLink, seconds: float, *changes: float, chance: float = 0.0
) -> list[str]:
    """Let it try for so long; the network changes at these times. Returns what it says."""
    said: list[str] = []
    to_come = list(changes)

    async def network_changed() -> None:
        await trio.sleep_until(to_come[0] if to_come else float("inf"))
        del to_come[0]

    second = SecondLink(
        session,  # type: ignore[arg-type]
        never,
        never,
        said.append,
        network_changed=network_changed,
        chance=lambda: chance,
    )
    with trio.move_on_after(seconds):
        await second.run()
    return said


@pytest.fixture(autouse=True)
def fake_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "open_connection", open_connection)


async def test_it_tries_again_after_ever_longer_pauses_and_says_why_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    session = FirstLink()
    said = await run(session, 1400.0)
    assert session.offered == [0.0, 30.0, 150.0, 750.0, 1350.0]
    why = "the root does not take part"
    assert said == [f"no WebRTC to the root: {why}; it stays connected as it is"]


@pytest.mark.parametrize(
    ("named", "chance", "pause"),
    [(7.0, 0.0, 7.0), (7.0, 1.0, 14.0), (1e18, 0.0, LONGEST_BUSY_PAUSE_SECONDS)],
)
async def test_where_too_many_ask_it_comes_again_after_the_pause_that_the_root_names(
    autojump_clock: trio.testing.MockClock, named: float, chance: float, pause: float
) -> None:
    """What was not tried makes no later pause longer; nobody is sent away for ever."""
    session = FirstLink()
    session.again, session.busy_until = named, 2.5 * pause
    said = await run(session, 3 * pause + 1 + 30 * (1 + SPREAD), chance=chance)
    first_try = 3 * pause
    tries = [0.0, pause, 2 * pause, first_try, first_try + 30 * (1 + SPREAD * chance)]
    assert session.offered == tries
    reasons = ["too many ask at present", "the root does not take part"]
    assert said == [f"no WebRTC to the root: {why}; it stays connected as it is" for why in reasons]


async def test_when_the_network_changes_it_tries_at_once_and_begins_anew(
    autojump_clock: trio.testing.MockClock,
) -> None:
    session = FirstLink()
    await run(session, 800.0, 7.0, 300.0)
    assert session.offered == [0.0, 7.0, 37.0, 157.0, 300.0, 330.0, 450.0]


async def test_pauses_are_spread_so_that_not_all_come_back_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    session = FirstLink()
    await run(session, 1000.0, chance=1.0)
    assert session.offered == [0.0, 45.0, 225.0]


async def test_a_change_of_the_network_during_a_try_is_not_missed(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        addresses,
        "_interface_addresses",
        lambda: ["192.0.2.1" if trio.current_time() < 4.0 else "192.0.2.2"],
    )
    session = FirstLink(8.0)
    second = SecondLink(session, never, never, print)  # type: ignore[arg-type]
    with trio.move_on_after(20.0):
        await second.run()
    assert session.offered == [0.0, 8.0]


async def test_a_root_that_does_not_answer_is_not_waited_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    session = FirstLink(1e6)
    said = await run(session, 45.0)
    assert session.offered == [0.0, 40.0]
    assert said == ["no WebRTC to the root: it does not answer; it stays connected as it is"]


async def test_where_the_first_link_ends_before_another_stands_the_node_joins_anew() -> None:
    second = SecondLink(FirstLink(), never, never, print)  # type: ignore[arg-type]
    assert not await second.after_first()


class Changing(FirstLink):
    """A session that says what becomes of its links, in order."""

    port, addresses = 0, ()

    def __init__(self, said: list[str]) -> None:
        super().__init__()
        self.said = said
        self.second: SecondLink | None = None

    async def finish(self) -> None:
        self.said.append("finish")

    async def hang_up(self) -> None:
        self.said.append("hang up")
        assert self.second is not None
        self.second._first_ended.set()


class RootLink:
    """A link on which a root lets a node in."""

    def __init__(self, said: list[str]) -> None:
        self.said = said

    async def send(self, message: messages.Message) -> None:
        self.said.append(type(message).__name__)

    async def receive(self) -> messages.Message:
        return messages.Welcome(bytes(8))


async def test_the_first_link_says_no_goodbye_so_that_the_root_keeps_the_place() -> None:
    said: list[str] = []
    session = Changing(said)

    async def compute(link: object, parent: bytes) -> bool:
        said.append("compute")
        return True

    second = session.second = SecondLink(session, never, compute, print)  # type: ignore[arg-type]
    await second._change_to(RootLink(said))  # type: ignore[arg-type]
    assert said == ["finish", "Ready", "hang up", "compute"]
    assert second._has_ended
