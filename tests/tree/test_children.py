"""Children that come again before their end was noticed, over memory channels."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio
import trio.testing

from pando import messages
from pando.channel import ChannelClosedError, memory_channel_pair
from pando.net.keepalive import KeepaliveChannel
from pando.net.trust.identity import NodeIdentity
from pando.net.visitor import Visitor
from pando.running.value_codec import ValueCodec
from pando.tree.membership import Membership
from pando.tree.node import Node
from pando.tree.overlay import Overlay

from .test_admission import ASSIGNMENT, HOST, ROOT, Ignored, open_identity


@pytest.mark.parametrize("times", [1, 3])
async def test_an_earlier_link_of_a_node_is_closed_when_it_comes_again(
    autojump_clock: Any, times: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Its place is kept, even where there is no other one, and nothing counts against its items."""
    caplog.set_level(logging.DEBUG, "pando.tree.node")
    node = Node(ValueCodec())
    membership = Membership.of_root(
        node, Overlay(ROOT, degree=1), Ignored(), open_identity(), ASSIGNMENT
    )
    identity = NodeIdentity()
    async with trio.open_nursery() as nursery:

        async def join() -> KeepaliveChannel:
            ours, theirs = memory_channel_pair()
            nursery.start_soon(membership.handle_connection, theirs, Visitor(HOST))
            said = messages.encode(messages.Hello("phone"))
            link = KeepaliveChannel(await identity.join_root(ours, None, None, said))
            assert isinstance(await link.receive(), messages.RunInfo)
            await link.send(messages.Ready())
            assert isinstance(await link.receive(), messages.Welcome)
            return link

        earlier = await join()
        for _ in range(times):
            latest = await join()
            with pytest.raises(ChannelClosedError):
                await earlier.receive()
            earlier = latest
        await trio.testing.wait_all_tasks_blocked()
        assert trio.current_time() == 0, "it is not its silence that has ended it"
        assert [child.node for child in membership.children] == [identity.identifier]
        assert caplog.text.count("has ended: it has another link") == times
        assert [borrower.name for borrower in node.lending.borrowers] == ["phone"]
        nursery.cancel_scope.cancel()
