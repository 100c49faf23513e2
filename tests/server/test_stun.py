"""STUN of a server: what is answered, what is not, and how much."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import trio

from pando.net.webrtc.ice_servers import IceServer
from pando.running.registration import Registration
from pando.server.limits import STUN_ANSWERS, STUN_ANSWERS_PER_ADDRESS
from pando.server.stun import StunLimiter, StunResponder, find_transaction

from .runs import SECRET, Scene

stun = pytest.importorskip("aioice.stun")
TRANSACTION = b"twelve bytes"
SENDER = ("203.0.113.11", 40123)


def request(**attributes: object) -> bytes:
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, TRANSACTION)
    message.attributes.update({name.replace("_", "-"): each for name, each in attributes.items()})
    return bytes(message)


def responder() -> StunResponder:
    made = StunResponder(Counter())
    made._stun = stun
    return made


@pytest.mark.parametrize("sender", [SENDER, ("2001:db8::7", 5, 0, 0), ("fe80::1%eth0", 5, 0, 2)])
def test_who_asks_is_told_from_where(sender: tuple[object, ...]) -> None:
    answer = responder().answer(request(), sender, 0.0)
    assert answer is not None
    message = stun.parse_message(answer)
    assert message.message_class == stun.Class.RESPONSE
    assert message.transaction_id == TRANSACTION
    told = message.attributes["XOR-MAPPED-ADDRESS"]
    assert told == (str(sender[0]).partition("%")[0], sender[1])
    assert len(answer) <= len(request()) + 24


def test_other_attributes_are_not_even_read() -> None:
    assert find_transaction(request(SOFTWARE="another")) == TRANSACTION
    broken = bytearray(request(SOFTWARE="another"))
    broken[22:24] = b"\xff\xff"
    assert find_transaction(bytes(broken)) == TRANSACTION


@pytest.mark.parametrize(
    "data",
    [
        b"",
        request()[:-1],
        request() + b"x",
        b"\x00\x03" + request()[2:],
        b"\x01\x01" + request()[2:],
        request()[:4] + b"\0\0\0\0" + request()[8:],
        request(SOFTWARE="x" * 700),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_request_is_not_answered(data: bytes) -> None:
    assert responder().answer(data, SENDER, 0.0) is None


def test_answers_to_one_address_are_bounded_each_second() -> None:
    limiter = StunLimiter()
    for second in (5.0, 6.0):
        taken = [limiter.takes("203.0.113.11", second) for _ in range(STUN_ANSWERS_PER_ADDRESS * 2)]
        assert taken.count(True) == STUN_ANSWERS_PER_ADDRESS
        assert limiter.takes("203.0.113.12", second)


def test_a_household_with_ipv6_counts_as_one() -> None:
    limiter = StunLimiter()
    taken = [limiter.takes(f"2001:db8::{n:x}", 1.0) for n in range(STUN_ANSWERS_PER_ADDRESS * 2)]
    assert taken.count(True) == STUN_ANSWERS_PER_ADDRESS


def test_all_answers_are_bounded_each_second_and_so_is_what_is_remembered() -> None:
    limiter = StunLimiter()
    taken = [limiter.takes(f"10.{n >> 8}.{n & 255}.1", 1.0) for n in range(STUN_ANSWERS + 500)]
    assert taken.count(True) == STUN_ANSWERS
    assert len(limiter._answers) <= STUN_ANSWERS + 1


@pytest.mark.parametrize(
    ("url", "port", "server"),
    [
        ("https://pando.example.org", 5000, IceServer("stun:pando.example.org:5000")),
        ("http://192.0.2.7:5000", 5001, IceServer("stun:192.0.2.7:5001")),
        ("https://pando.example.org", 0, None),
        ("http://localhost:5000", 5000, None),
        ("http://127.0.0.1:5000", 5000, None),
        ("http://[2001:db8::1]:5000", 5000, None),
        ("https://not a host", 5000, None),
    ],
)
def test_a_run_asks_its_server_and_nobody_else(
    url: str, port: int, server: IceServer | None
) -> None:
    class Relay:
        pass

    registration = Registration.__new__(Registration)
    registration._relay = Relay()  # type: ignore[assignment]
    registration._relay.url, registration._relay.stun_port = url, port
    assert registration.stun_server == server


@pytest.mark.process
@pytest.mark.socket
async def test_a_server_answers_by_default_and_not_where_it_is_told_so(tmp_path: Path) -> None:
    async def ask(port: int) -> bytes | None:
        with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as udp:
            await udp.bind(("127.0.0.1", 0))
            with trio.move_on_after(2.0):
                while True:
                    await udp.sendto(request(), ("127.0.0.1", port))
                    with trio.move_on_after(0.5):
                        return (await udp.recvfrom(1000))[0]
            return None

    def begin(scene: Scene, *options: str) -> int:
        return scene.server(*options, secret=SECRET).port

    with Scene(tmp_path) as scene:
        answers = await ask(await trio.to_thread.run_sync(begin, scene))
        assert answers is not None
        assert stun.parse_message(answers).attributes["XOR-MAPPED-ADDRESS"][0] == "127.0.0.1"
        silent = await trio.to_thread.run_sync(begin, scene, "--stun-port=0")
        assert await ask(silent) is None
