"""`pando-volunteer --diagnose`: which ways are tried, what is said of each, and the exit status."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from pando import messages
from pando.channel import ChannelClosedError
from pando.net.trust.join_link import JoinLink
from pando.net.webrtc.description import Candidate
from pando.volunteering import VolunteerOptions, diagnosis, trial
from pando.volunteering.diagnosis import Diagnosis, Outcome

from ..processes import environment, wait_until
from ..roots import VOLUNTEER, Party, free_port
from ..server.runs import SECRET, Scene

HOST = Candidate("1", 1, "192.168.1.2", 5, "host")
MAPPED = Candidate("2", 1, "203.0.113.11", 6, "srflx")
RELAY = Candidate("3", 1, "203.0.113.1", 7, "relay")
SIX = Candidate("4", 1, "2001:db8::1", 5, "host")
STUN = trial.IceServer("stun:192.0.2.1")
TURN = trial.IceServer("turn:192.0.2.1", "user", "password")


@pytest.fixture
def party(tmp_path: Path) -> Iterator[Party]:
    with Party(tmp_path) as party:
        yield party


def diagnose(link: str, *options: str) -> tuple[int, list[str]]:
    """Run the command; returns its exit status and its lines."""
    done = subprocess.run(
        [*VOLUNTEER, "--diagnose", "-", *options],
        input=link.encode(),
        capture_output=True,
        env=environment(),
        timeout=90,
        check=False,
    )
    assert done.stderr == b""
    return done.returncode, done.stdout.decode().splitlines()


@pytest.mark.process
@pytest.mark.socket
def test_a_root_in_the_same_network_is_reached_and_not_joined(party: Party) -> None:
    pytest.importorskip("aiortc")
    root = party.root("--start-idle", items=5, hold=True)
    status, lines = diagnose(root.printed_link)
    assert status == 0
    assert [line.split(":")[0] for line in lines if "WebRTC" in line] == [
        "WebRTC by own addresses",
        "WebRTC by public addresses (STUN)",
        "WebRTC by a TURN server",
    ]
    said = "\n".join(lines)
    assert "works: the root has proved itself" in said
    assert "WebRTC by own addresses: works: connected to" in said
    assert "was not tried: the run names no STUN server" in said
    assert "was not tried: neither this device nor the root has a TURN server" in said
    assert root.monitoring()["volunteers"] == {}
    assert root.counter("joined") == 0


@pytest.mark.process
@pytest.mark.socket
def test_a_run_without_webrtc_says_so(party: Party) -> None:
    root = party.root("--start-idle", "--protocol=websocket", items=5, hold=True)
    status, lines = diagnose(root.printed_link)
    assert status == 0
    assert lines[-1].startswith("WebRTC: was not tried: the root takes no part")


@pytest.mark.process
@pytest.mark.socket
def test_where_only_the_relay_is_left_the_status_is_1(tmp_path: Path) -> None:
    with Scene(tmp_path) as scene:
        server = scene.server()
        run = scene.run(f"localhost:{server.port}", f"--secret={SECRET}", "--start-idle")
        status, lines = diagnose(run.link, "--protocol=websocket")
        assert status == 1
        assert any("relay by the server" in line and ": works: " in line for line in lines)
        assert lines[-1].endswith("--protocol=websocket, or the link, excludes it")
        run.kill()
        assert wait_until(lambda: diagnose(run.link)[0] == os.EX_TEMPFAIL)


@pytest.mark.process
@pytest.mark.socket
def test_where_nobody_answers_the_status_is_75() -> None:
    status, lines = diagnose(f"http://127.0.0.1:{free_port()}/")
    assert status == os.EX_TEMPFAIL
    assert lines[0].endswith("fails: Connection refused: no program listens there")
    assert lines[-1].startswith("WebRTC: was not tried")


@pytest.mark.process
def test_no_link_is_a_usage_error() -> None:
    done = subprocess.run(
        [*VOLUNTEER, "--diagnose", "http://a b/"], capture_output=True, env=environment()
    )
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1


# ---- what is said of each trial ----


class Root:
    """A root's end of a link, which answers offers."""

    def __init__(self, answer: str | None = "an answer") -> None:
        self.offers: list[str] = []
        self._answer = answer

    async def send(self, message: messages.Message) -> None:
        assert isinstance(message, messages.Signal)
        self.offers.append(message.description)

    async def receive(self) -> messages.Message:
        if self._answer is None:
            await trio.sleep_forever()
        return messages.Signal(self._answer or "")


class Connection:
    """A connection that reaches nobody, or a root that speaks first."""

    def __init__(
        self,
        offered: tuple[Candidate, ...],
        found: tuple[Candidate, ...],
        problems: dict[str, str],
        opens: bool | None,
    ) -> None:
        self.offered = offered
        self.problems = problems
        self.host = "203.0.113.12"
        self._found = found
        self._opens = opens

    async def make_offer(self) -> str:
        return "an offer"

    async def accept_answer(self, answer: str, kinds: frozenset[str]) -> tuple[Candidate, ...]:
        return tuple(each for each in self._found if each.kind in kinds)

    async def open(self) -> Connection:
        if self._opens is None:
            await trio.sleep_forever()
        if not self._opens:
            raise ChannelClosedError("no")
        return self

    async def receive(self) -> bytes:
        return b"hello"


Try = tuple[Root, list[trial.TrialOutcome], list[tuple[list[str], set[str]]]]


async def attempt(
    monkeypatch: pytest.MonkeyPatch,
    offered: dict[str, Candidate],
    found: tuple[Candidate, ...],
    servers: tuple[trial.IceServer, ...] = (STUN,),
    problems: dict[str, str] | None = None,
    opens: bool | None = False,
    root: Root | None = None,
) -> list[trial.TrialOutcome]:
    @asynccontextmanager
    async def open_connection(
        asked: tuple[trial.IceServer, ...], kinds: frozenset[str]
    ) -> AsyncIterator[Connection]:
        own = tuple(each for kind, each in offered.items() if kind in kinds)
        named = {server.url for server in asked}
        met = {url: why for url, why in (problems or {}).items() if url in named}
        yield Connection(own, found, met, opens)

    monkeypatch.setattr(trial, "open_connection", open_connection)
    link = root or Root()
    return [await trial.try_offer(link, servers, each) for each in trial.TRIALS]  # type: ignore[arg-type]


async def test_homes_behind_symmetric_routers(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"host": HOST, "srflx": MAPPED}
    host, mapped, relay = await attempt(monkeypatch, own, (HOST, MAPPED), opens=None)
    assert not host.works
    assert "different networks, or a firewall drops UDP" in host.why
    assert not mapped.works
    assert "203.0.113.11:6 here" in mapped.why
    assert "gives each connection another port" in mapped.why
    assert relay.works is None
    assert "neither this device nor the root has a TURN server" in relay.why


async def test_udp_is_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = {STUN.url: "it does not answer", TURN.url: "it does not answer"}
    outcomes = await attempt(monkeypatch, {"host": HOST}, (HOST,), (STUN, TURN), problems)
    assert [outcome.works for outcome in outcomes] == [False, False, False]
    assert outcomes[1].why == "stun:192.0.2.1: it does not answer (UDP may be blocked here)"
    assert outcomes[2].why == "turn:192.0.2.1: it does not answer"


async def test_ipv4_alone_meets_ipv6_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = await attempt(monkeypatch, {"host": HOST}, (SIX,), ())
    assert "one has IPv4 only, the other one IPv6 only" in outcomes[0].why
    assert outcomes[1].works is None


async def test_no_network_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = await attempt(monkeypatch, {}, (HOST,), ())
    assert "no network address besides its own loopback" in outcomes[0].why


async def test_only_the_root_has_a_turn_server(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = await attempt(monkeypatch, {"host": HOST}, (HOST, RELAY), opens=True)
    assert outcomes[2].works
    assert outcomes[2].why == "connected to 203.0.113.12"


async def test_what_works_in_spite_of_a_problem_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = {TURN.url: "it does not take the user and the password"}
    own = {"relay": RELAY}
    outcomes = await attempt(monkeypatch, own, (HOST,), (TURN,), problems, opens=True)
    assert outcomes[2].why == (
        "connected to 203.0.113.12; but turn:192.0.2.1: it does not take the user and the password"
    )


@pytest.mark.parametrize("answer", ["", None])
async def test_a_root_that_answers_no_offer_is_asked_once(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch, answer: str | None
) -> None:
    outcomes = await attempt(monkeypatch, {"host": HOST}, (HOST,), root=Root(answer))
    assert outcomes[0].is_last
    assert outcomes[0].why == "the root does not answer the offer"


async def test_a_refusal_is_shown_as_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def __init__(self, *arguments: object) -> None:
            pass

        @asynccontextmanager
        async def connect(self, hello: bytes) -> AsyncIterator[Refusing]:
            assert messages.decode(hello).workers == 0  # type: ignore[union-attr]
            yield self

        async def receive(self) -> messages.Message:
            return messages.JoinRejected("no\x1b[2J\nway")

    monkeypatch.setattr(diagnosis, "RootConnector", Refusing)
    said: list[diagnosis.Way] = []
    link = JoinLink.parse(f"http://127.0.0.1:{free_port()}/")
    monkeypatch.setattr(diagnosis, "find_own_link_at", lambda link: None)
    run = Diagnosis(link, VolunteerOptions(), said.append)
    await run.run()
    refused = next(way for way in said if way.name.startswith("WebSocket"))
    assert (refused.outcome, refused.why) == (Outcome.FAILED, "no [2J way")
    assert not run.reaches_root
