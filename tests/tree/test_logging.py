"""The log of a tree: delegation and recalls at DEBUG, losses at INFO."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import pytest
import trio

from pando import messages
from pando.channel import ChannelClosedError, memory_channel_pair
from pando.net.keepalive import KeepaliveChannel
from pando.tree.overlay import Overlay
from pando.tree.placement import Here, Placement

from .test_node import all_results, join, open_job, open_node

FIRST, SECOND = b"first in", b"second i"


@pytest.fixture(autouse=True)
def everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "pando")


def said(caplog: pytest.LogCaptureFixture, logger: str, level: int) -> list[str]:
    """What a logger has said at a level."""
    return [
        record.getMessage()
        for record in caplog.records
        if (record.name, record.levelno) == (logger, level)
    ]


async def test_acceptance_and_delegation(caplog: pytest.LogCaptureFixture) -> None:
    placement = Placement(Overlay(bytes(8), degree=1), Counter())
    assert await placement.find_parent(FIRST, set()) == Here()
    placement.overlay.connected(FIRST)
    failed: set[bytes] = set()
    assert await placement.find_parent(SECOND, failed) == Here()
    assert failed == {FIRST}, "it was asked, and is not there"
    assert said(caplog, "pando.tree.placement", logging.DEBUG) == [
        f"node {FIRST.hex()} is accepted here",
        f"node {SECOND.hex()} is delegated to {FIRST.hex()}",
        f"node {SECOND.hex()} is accepted here",
    ]


async def test_a_recall(autojump_clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    def seconds(item: int) -> float:
        return 100.0 if item == 1000 else 0.001

    async with open_node(seconds, seconds) as (node, _, nursery):
        await all_results(node, open_job(node, nursery, list(range(1050))))
    recalls = [
        text
        for text in said(caplog, "pando.tree.lending", logging.DEBUG)
        if "is recalled from" in text
    ]
    assert recalls
    assert all(text.startswith("<Lease ") and "<Borrower " in text for text in recalls)


async def test_a_borrower_that_breaks_the_protocol(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_node() as (node, _, nursery):
        job = open_job(node, nursery, [3])
        ours, theirs = memory_channel_pair()
        await theirs.send(messages.Recall(1))
        await node.serve(ours, "strange")
        join(node, nursery, "honest")
        assert await all_results(node, job) == [9]
    (text,) = said(caplog, "pando.tree.node", logging.INFO)
    assert text.startswith("disconnected <Borrower 'strange'")


async def test_a_silent_channel(autojump_clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    ours, _ = memory_channel_pair()
    channel = KeepaliveChannel(ours, silence=3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(channel.run)
        with pytest.raises(ChannelClosedError, match="nothing was heard"):
            await channel.receive()
    (text,) = said(caplog, "pando.net.keepalive", logging.INFO)
    assert text == f"closed {channel!r}: nothing was heard for 3 s"
    assert "<KeepaliveChannel over" in text
