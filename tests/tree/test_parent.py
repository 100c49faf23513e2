"""A node's stay below a parent, over memory channels."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
import trio

from pando import messages, values
from pando.channel import ChannelClosedError, memory_channel_pair
from pando.net.keepalive import KeepaliveChannel
from pando.tree.node import Node
from pando.tree.overlay import Overlay
from pando.tree.parent import Parent
from pando.tree.placement import Placement
from pando.tree.uplink import RawCodec

NODE = bytes(range(8))


def make_stay() -> tuple[Parent, KeepaliveChannel, trio.Event]:
    """A stay below a parent, the parent's end of the link, and what it sets to find another."""
    ours, theirs = memory_channel_pair()

    async def disconnect(node: bytes) -> None:
        raise AssertionError

    async def end_children(results: int) -> None:
        raise AssertionError

    to_be_left = trio.Event()
    stay = Parent(
        Node(RawCodec()),
        Placement(Overlay(NODE, degree=2), Counter()),
        KeepaliveChannel(ours),
        "device",
        disconnect,
        messages.Update,
        end_children,
        3.0,
        to_be_left.set,
    )
    return stay, KeepaliveChannel(theirs), to_be_left


async def test_a_parent_that_takes_no_children_any_more_is_kept_until_it_is_left_in_order(
    autojump_clock: Any,
) -> None:
    """Another place is found meanwhile; what has not been started goes back with the link."""
    stay, parent_end, to_be_left = make_stay()
    has_ended: list[bool] = []

    async def run() -> None:
        has_ended.append(await stay.run())

    said: list[messages.Message] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await parent_end.send(messages.Lend(7, msgspec.Raw(values.encode([1, 2, 3]))))
        await parent_end.send(messages.Leave())
        await to_be_left.wait()
        await trio.sleep(5)
        assert has_ended == []
        with trio.move_on_after(1):
            await stay.leave()
        await stay.hang_up()
        with trio.fail_after(10), pytest.raises(ChannelClosedError):
            while True:
                said.append(await parent_end.receive())
        nursery.cancel_scope.deadline = trio.current_time() + 5
    assert has_ended == [False]
    assert said[-1] == messages.Leave()


async def test_a_late_answer_to_an_offer_is_none_to_the_next_one_and_ends_no_link(
    autojump_clock: Any,
) -> None:
    stay, parent_end, _ = make_stay()
    has_ended = trio.Event()

    async def run() -> None:
        await stay.run()
        has_ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        for offer in ("first", "second"):
            with trio.move_on_after(1.0):
                await stay.signal(offer)
        answers: list[str] = []

        async def ask() -> None:
            answers.append((await stay.signal("third")).description)

        nursery.start_soon(ask)
        offers: list[str] = []
        while len(offers) < 3:
            message = await parent_end.receive()
            if isinstance(message, messages.Signal):
                offers.append(message.description)
                await trio.sleep(0.1)
                await parent_end.send(messages.Signal(f"answer to {message.description}"))
        await trio.sleep(0.1)
        assert offers == ["first", "second", "third"]
        assert answers == ["answer to third"]
        assert not has_ended.is_set()
        await parent_end.send(messages.Signal("unasked"))
        with trio.fail_after(10):
            await has_ended.wait()
