"""A leaf sends malformed results through an honest inner node: real sockets, in one process."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio

from pando import messages, values
from pando.channel import ChannelClosedError
from pando.net import websocket
from pando.net.keepalive import KeepaliveChannel
from pando.net.trust.identity import NodeIdentity
from pando.volunteering import Volunteer, VolunteerOptions

from ..net.clients import comes_true
from ..net.test_hostile_peers import HOME, Siege, siege, violations
from ..tree.test_faults import FakePool

pytestmark = pytest.mark.socket
MALFORMED = msgspec.Raw(b"\x91\xc7\x01\x63a")


def make_pool(function: object, count: int, serve: Any, **options: object) -> FakePool:
    return FakePool(count, serve, 0.0001)


class Leaf:
    """A node below another volunteer; it squares, and some of its results are none.

    Attributes:
        every: of so many leases one is answered with what is no value.
        malformed: how many of its results were.
        link: to its parent.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.leases = 0
        self.malformed = 0
        self.link: KeepaliveChannel
        self.is_cut_off = False

    async def compute(self) -> None:
        try:
            while True:
                message = await self.link.receive()
                if isinstance(message, messages.Lend):
                    await self.answer(message)
        except ChannelClosedError:
            self.is_cut_off = True

    async def answer(self, lend: messages.Lend) -> None:
        self.leases += 1
        items = values.decode(memoryview(lend.items))
        squares = msgspec.Raw(values.encode([item**2 for item in items]))
        if self.leases % self.every:
            await self.link.send(messages.Results(lend.lease, 0, 0.001, squares))
            return
        self.malformed += 1
        await self.link.send(messages.Results(lend.lease, 0, 0.001, MALFORMED))
        if len(items) > 1:
            await self.link.send(messages.ReturnItems(lend.lease, 1, len(items) - 1))


@asynccontextmanager
async def leaf_below(besieged: Siege, every: int) -> AsyncIterator[Leaf]:
    """Let a leaf join, which the root sends to the only node that takes children."""
    identity, leaf = NodeIdentity(), Leaf(every)
    said = messages.encode(messages.Hello("leaf"))
    async with websocket.connect(f"{HOME}:{besieged.port}") as channel:
        root = KeepaliveChannel(await identity.join_root(channel, None, None, said))
        assert isinstance(await root.receive(), messages.RunInfo)
        await root.send(messages.Ready())
        place = await root.receive()
        assert isinstance(place, messages.Redirect), "it would be the root's own child"
        async with websocket.connect(place.addresses[0]) as below:
            leaf.link = KeepaliveChannel(
                await identity.join_parent(below, place.parent, place.ticket, said)
            )
            assert isinstance(await leaf.link.receive(), messages.Welcome)
            await root.send(messages.Joined())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(leaf.link.run)
                nursery.start_soon(leaf.compute)
                yield leaf
                nursery.cancel_scope.cancel()


@asynccontextmanager
async def inner_node(besieged: Siege) -> AsyncIterator[Volunteer]:
    volunteer = Volunteer(
        besieged.served.links[0],
        VolunteerOptions(workers=1, name="inner", protocol="websocket"),
        lambda text: None,
        make_pool=make_pool,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(volunteer.run)
        assert await comes_true(lambda: volunteer.statistics().link != "")
        yield volunteer
        nursery.cancel_scope.cancel()


async def test_nobody_is_cut_off_for_what_was_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    """The results are exact, as the siege sees at its end: others have computed these items."""
    caplog.set_level(logging.INFO, "pando.tree")
    async with (
        siege(degree=2) as besieged,
        inner_node(besieged) as inner,
        leaf_below(besieged, every=1) as leaf,
    ):
        assert await comes_true(lambda: leaf.malformed >= 5)
        assert await comes_true(lambda: "has sent a malformed result" in caplog.text)
        assert await besieged.progresses()
        assert violations(besieged) == 0
        assert besieged.counters["left"] == 0
        assert inner.statistics().children == 1
        assert not leaf.is_cut_off


async def test_who_passes_on_too_many_is_lent_nothing_for_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "pando.tree")
    async with (
        siege(degree=2) as besieged,
        inner_node(besieged) as inner,
        leaf_below(besieged, every=1) as leaf,
    ):
        aside = "inner is set aside for a while"
        assert await comes_true(lambda: aside in caplog.text and "malformed" in caplog.text)
        assert await besieged.progresses()
        assert inner.statistics().link == "websocket", "it has not been sent away"
        assert not leaf.is_cut_off
