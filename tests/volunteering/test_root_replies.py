"""A function that comes in parts, over memory channels: bounded, whatever the root says."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from pando import messages
from pando.channel import ChannelClosedError, memory_channel_pair
from pando.net.keepalive import KeepaliveChannel
from pando.volunteering.root_replies import receive_function


async def received(*said: messages.Message, count: int) -> bytes:
    ours, theirs = memory_channel_pair()
    function = b""

    async def receive() -> None:
        nonlocal function
        function = await receive_function(KeepaliveChannel(theirs), count)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        for message in said:
            await ours.send(messages.encode(message))
    return function


async def test_parts_are_put_together(autojump_clock: Any) -> None:
    parts = [messages.FunctionPart(b"a func"), messages.FunctionPart(b"tion")]
    assert await received(*parts, count=2) == b"a function"


@pytest.mark.parametrize(
    "said",
    [
        [messages.FunctionPart(b"")],
        [messages.FunctionPart(b"x" * 60), messages.FunctionPart(b"x" * 60)],
        [messages.FunctionPart(b"x"), messages.Welcome(bytes(8))],
    ],
    ids=["empty", "too much", "something else"],
)
async def test_what_is_no_function_is_not_waited_for(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch, said: list[messages.Message]
) -> None:
    monkeypatch.setattr(messages, "MAX_FUNCTION_BYTES", 100)
    with pytest.RaisesGroup(ChannelClosedError):
        await received(*said, count=2**40)
    assert trio.current_time() == 0
