"""Gathering: servers are asked at once, each for a limited time, and why one fails is kept."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio

from pando.net.webrtc.connection import open_connection
from pando.net.webrtc.description import HOST, KINDS, MAPPED, RELAY
from pando.net.webrtc.gathering import STUN_SECONDS, TURN_SECONDS, describe
from pando.net.webrtc.ice_servers import IceServer, parse_servers

from .stun import MAPPED as MAPPED_ADDRESS
from .stun import StunServer

stun = pytest.importorskip("aioice.stun")
pytestmark = pytest.mark.socket


@contextmanager
def silent_port() -> Iterator[int]:
    """A UDP port that takes all and answers nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        yield udp.getsockname()[1]


def failed(code: int) -> Exception:
    message = stun.Message(stun.Method.ALLOCATE, stun.Class.ERROR)
    message.attributes["ERROR-CODE"] = (code, "Reason\x1b[2J")
    return stun.TransactionFailed(message)  # type: ignore[no-any-return]


async def test_a_silent_server_does_not_keep_another_one_from_answering() -> None:
    with StunServer() as server, silent_port() as port:
        silent = f"stun:127.0.0.1:{port}"
        async with open_connection(parse_servers([silent, server.url])) as connection:
            await connection.make_offer()
            found = [(each.host, each.port) for each in connection.offered if each.kind == MAPPED]
            assert MAPPED_ADDRESS in found
            assert connection.problems == {silent: "it does not answer"}


async def test_what_two_servers_say_is_offered_once() -> None:
    with StunServer() as one, StunServer() as other:
        async with open_connection(parse_servers([one.url, other.url])) as connection:
            await connection.make_offer()
            found = [each for each in connection.offered if each.kind == MAPPED]
            assert len(found) == 1
            assert connection.problems == {}


async def test_a_turn_server_that_does_not_answer_is_given_up_and_named() -> None:
    with silent_port() as port:
        turn = IceServer(f"turn:127.0.0.1:{port}", "user", "password")
        tcp = IceServer(f"turn:127.0.0.1:{port}?transport=tcp", "user", "password")
        async with open_connection([turn, tcp]) as connection:
            with trio.fail_after(10 * (TURN_SECONDS + STUN_SECONDS)):
                await connection.make_offer()
            assert {each.kind for each in connection.offered} <= {HOST}
            assert connection.problems == {
                turn.url: "it does not answer",
                f"stun:127.0.0.1:{port}": "it does not answer",
                tcp.url: connection.problems[tcp.url],
            }
            assert "refused" in connection.problems[tcp.url].lower()


async def test_an_offer_names_only_the_kinds_that_are_wanted() -> None:
    with StunServer() as server:
        servers = parse_servers([server.url])
        for kinds in (KINDS, frozenset({MAPPED}), frozenset({RELAY})):
            async with open_connection(servers, kinds) as connection:
                await connection.make_offer()
                assert {each.kind for each in connection.offered} == kinds - {RELAY}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "it does not answer"),
        (stun.TransactionTimeout(), "it does not answer"),
        (failed(401), "it does not take the user and the password"),
        (failed(403), "it refuses: STUN transaction failed (403 - Reason [2J)"),
        (OSError(111, "Connection refused"), "Connection refused"),
        (ValueError("odd\nbytes"), "it does not answer as such a server does: odd bytes"),
    ],
)
def test_why_a_server_gave_no_address_is_said_in_words(error: Exception, words: str) -> None:
    assert describe(error) == words
