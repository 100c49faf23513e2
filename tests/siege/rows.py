"""What hostile devices and strangers do to a run, each for some seconds, from a process of its own.

`CHILDREN` are devices with the link, which join and then misbehave; `STRANGERS` have none, and
`STRANGERS_OF_TLS` attack a run that serves https.
"""

from __future__ import annotations

import os
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import msgspec
import trio

from pando import messages, values
from pando.errors import MAX_TEXT, PandoError
from pando.net import websocket
from pando.net.keepalive import KeepaliveChannel
from pando.net.trust.identity import NodeIdentity
from pando.reports.records import Device, Interval, Introduction

from ..net.clients import UPGRADE, head
from ..net.test_hostile_peers import SAMPLES, mutate
from ..test_hash_collisions import as_map, packed_keys

HOME = "127.0.0.1"
PAUSE_SECONDS = 0.02
"""Between two tries of an attacker: it is to cost the run, not this machine, its time."""
MANY = 30
"""Connections that an attacker holds at once."""
TERMINAL = "\x1b]0;owned\x07\x1b[2J\r\npando: all is well\u202e" * 300
NONE = msgspec.Raw(values.encode([None]))

Attack = Callable[[int], Awaitable[None]]
"""Attacks a port for as long as it is let."""
Answer = Callable[[KeepaliveChannel, messages.Lend], Awaitable[None]]
"""What a child does with a lease."""


@asynccontextmanager
async def newcomer(port: int) -> AsyncIterator[KeepaliveChannel]:
    """A link on which a device has proved that it may join, and has read nothing more."""
    async with websocket.connect(f"{HOME}:{port}") as channel:
        said = messages.encode(messages.Hello("hostile", 4, fingerprint="x"))
        yield KeepaliveChannel(await NodeIdentity().join_root(channel, None, None, said))


@asynccontextmanager
async def child(port: int) -> AsyncIterator[KeepaliveChannel]:
    """A link of a device that has joined, and answers heartbeats."""
    async with newcomer(port) as link:
        info = await link.receive()
        for _ in range(info.parts if isinstance(info, messages.RunInfo) else 0):
            await link.receive()
        await link.send(messages.Ready())
        while not isinstance(await link.receive(), messages.Welcome):
            pass
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.run)
            yield link
            nursery.cancel_scope.cancel()


async def again_and_again(attack: Attack, port: int) -> None:
    """Attack anew whenever the run has put an end to it."""
    while True:
        with suppress(PandoError, OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            try:
                await attack(port)
            except* (PandoError, OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                pass
        await trio.sleep(PAUSE_SECONDS)


def answering(answer: Answer) -> Attack:
    """Return the attack of a child that answers each lease so."""

    async def attack(port: int) -> None:
        async with child(port) as link:
            await link.send(messages.Capacity(64))
            while True:
                message = await link.receive()
                if isinstance(message, messages.Lend):
                    await answer(link, message)

    return attack


def count(lend: messages.Lend) -> int:
    return len(values.decode(memoryview(lend.items)))


# ---- children that answer badly ----


async def nothing(link: KeepaliveChannel, lend: messages.Lend) -> None:
    """Hold it for ever, and answer heartbeats."""


async def crash(link: KeepaliveChannel, lend: messages.Lend) -> None:
    """Lose a worker with the first item, and return the others."""
    await link.send(messages.ItemCrashed(lend.lease, 0, TERMINAL))
    if (items := count(lend)) > 1:
        await link.send(messages.ReturnItems(lend.lease, 1, items - 1))


async def give_back(link: KeepaliveChannel, lend: messages.Lend) -> None:
    """Return all of it."""
    await link.send(messages.ReturnItems(lend.lease, 0, count(lend)))


async def give_back_piecemeal(link: KeepaliveChannel, lend: messages.Lend) -> None:
    """Return it item by item, every second one first."""
    items = count(lend)
    for offset in (*range(0, items, 2), *range(1, items, 2)):
        await link.send(messages.ReturnItems(lend.lease, offset, 1))


async def malformed(link: KeepaliveChannel, lend: messages.Lend) -> None:
    """Answer with what is no value."""
    await link.send(messages.Results(lend.lease, 0, 0.1, msgspec.Raw(b"\x91\xc7\x01\x63a")))


async def equal_hashes(link: KeepaliveChannel, lend: messages.Lend) -> None:
    """Answer with a dict whose keys have all the same hash."""
    await link.send(messages.Results(lend.lease, 0, 0.1, msgspec.Raw(b"\x91" + COLLIDING)))


COLLIDING = as_map(packed_keys(20_000))


async def leases_of_others(port: int) -> None:
    """Answer leases that others have, or nobody: never its own, since liars are believed."""
    own: set[int] = set()

    async def answer(link: KeepaliveChannel, lend: messages.Lend) -> None:
        own.add(lend.lease)
        lower = [lease for lease in range(max(0, lend.lease - 20), lend.lease) if lease not in own]
        for lease in (*lower, messages.MAX_COUNT):
            await link.send(messages.Results(lease, 0, 0.1, NONE))
            await link.send(messages.ReturnItems(lease, 0, 10**6))
        await give_back(link, lend)

    await answering(answer)(port)


# ---- children that say too much ----


async def absurd_capacity(port: int) -> None:
    """Claim very many workers, and hold what comes."""
    async with child(port) as link:
        for workers in (10**12, 0, messages.MAX_COUNT):
            await link.send(messages.Capacity(workers))
        while True:
            await link.receive()


async def many_devices(port: int) -> None:
    """Report on 12,000 devices that there are not."""
    async with child(port) as link:
        made_up = [Device(os.urandom(8), 1, name="n" * 64) for _ in range(12_000)]
        introductions = [Introduction(key, each, 0, []) for key, each in enumerate(made_up)]
        intervals = [Interval(key, 1, [1]) for key in range(len(made_up))]
        await link.send(messages.Update(introductions=introductions, intervals=intervals))
        while True:
            await link.send(messages.Update(intervals=intervals))
            await trio.sleep(1.0)


async def places(port: int) -> None:
    """Offer places that nobody has asked for."""
    async with child(port) as link:
        while True:
            await link.send(messages.Offer(os.urandom(8), os.urandom(8), "ticket"))
            await trio.sleep(0.001)


async def fuzz(port: int) -> None:
    """Say what is nearly a message."""
    chance = random.Random()
    async with child(port) as link:
        while True:
            await link.send_encoded(mutate(chance.choice(SAMPLES), chance))


async def unread_function(port: int) -> None:
    """Join, and read nothing of what comes."""
    async with trio.open_nursery() as nursery:
        for _ in range(MANY):
            nursery.start_soon(_join_and_wait, port)


async def _join_and_wait(port: int) -> None:
    async with newcomer(port):
        await trio.sleep(20)


async def refusals(port: int) -> None:
    """Refuse the function, with escape codes, again and again."""
    while True:
        async with newcomer(port) as link:
            await link.receive()
            await link.send(messages.LoadFailed(TERMINAL[:MAX_TEXT]))
        await trio.sleep(PAUSE_SECONDS)


# ---- strangers ----


async def _send_and_wait(port: int, data: bytes, tls: ssl.SSLContext | None) -> None:
    stream: trio.abc.Stream = await trio.open_tcp_stream(HOME, port)
    with trio.move_on_after(5):
        try:
            if tls is not None:
                stream = trio.SSLStream(stream, tls, https_compatible=True)
            await stream.send_all(data)
            await trio.sleep_forever()
        finally:
            await trio.aclose_forcefully(stream)


def connecting(
    make: Callable[[], bytes], protocols: Callable[[], list[str]] | None = None
) -> Attack:
    """Return the attack of strangers that connect, say something, and read nothing.

    Args:
        make: what they say.
        protocols: what they offer to speak under TLS (ALPN), where they use that.
    """

    async def attack(port: int) -> None:
        limit = trio.CapacityLimiter(20 * MANY)

        async def one(data: bytes) -> None:
            async with limit:
                tls = None if protocols is None else _unchecked(protocols())
                with suppress(OSError, trio.BrokenResourceError):
                    await _send_and_wait(port, data, tls)

        async with trio.open_nursery() as nursery:
            while True:
                if limit.available_tokens > 0:
                    nursery.start_soon(one, make())
                await trio.sleep(PAUSE_SECONDS / 4)

    return attack


def _unchecked(protocols: list[str]) -> ssl.SSLContext:
    """Return the context of somebody who does not care whose certificate it is."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(protocols)
    return context


def garbage() -> bytes:
    upgrade = head("GET", "/node", **UPGRADE)
    noise = os.urandom(200)
    rebound = b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    return random.choice([noise, upgrade + b"\x82\xfe\x00\xc8" + noise, rebound, b"", upgrade])


def pages() -> bytes:
    """Ask for the page many times at once."""
    return b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n" * 50


def monitoring() -> bytes:
    return b"GET /monitoring.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50


FIRST = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
"""An honest request, in a connection in which others follow."""
NO_WINDOW = b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\0\0\0\0"
"""HTTP/2's settings of a client that lets nothing be sent to it."""
REQUESTS = b"".join(
    b"\x00\x00\x03\x01\x05" + number.to_bytes(4, "big") + b"\x82\x84\x87"
    for number in range(1, 201, 2)
)
"""A hundred requests for the page, by HTTP/2's own table of heads."""
KNOWN_BEFORE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + NO_WINDOW + REQUESTS


def second_protocol() -> bytes:
    """HTTP/2 by prior knowledge, or asked for in a connection's second request."""
    upgrade = FIRST + (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAAAA\r\n\r\n"
    )
    return random.choice([KNOWN_BEFORE, upgrade, FIRST + KNOWN_BEFORE])


def second_protocol_under_tls() -> bytes:
    """HTTP/2 at once, or as a connection's second request."""
    return random.choice([KNOWN_BEFORE, FIRST + KNOWN_BEFORE])


def offered() -> list[str]:
    """HTTP/2 alone, HTTP/2 first, or nothing, where it is spoken by prior knowledge."""
    return random.choice([["h2"], ["h2", "http/1.1"], []])


def slow_heads() -> bytes:
    return b"GET / HTTP/1.1\r\nHost: loc"


CHILDREN: dict[str, Attack] = {
    "holds what it is lent": answering(nothing),
    "only loses workers": answering(crash),
    "returns all": answering(give_back),
    "returns item by item": answering(give_back_piecemeal),
    "malformed results": answering(malformed),
    "equal hashes": answering(equal_hashes),
    "answers others' leases": leases_of_others,
    "claims many workers": absurd_capacity,
    "reports many devices": many_devices,
    "offers places": places,
    "fuzzed messages": fuzz,
    "does not read the function": unread_function,
    "refuses with escape codes": refusals,
}
STRANGERS: dict[str, Attack] = {
    "garbage": connecting(garbage),
    "pages that are not read": connecting(pages),
    "monitoring": connecting(monitoring),
    "HTTP/2": connecting(second_protocol),
    "slow heads": connecting(slow_heads),
}
STRANGERS_OF_TLS: dict[str, Attack] = {
    "HTTP/2 under TLS": connecting(second_protocol_under_tls, offered),
}
ROWS = {**CHILDREN, **STRANGERS, **STRANGERS_OF_TLS}


async def attack_for(row: str, port: int, seconds: float) -> None:
    """Attack a port for some seconds."""
    with trio.move_on_after(seconds):
        await again_and_again(ROWS[row], port)
