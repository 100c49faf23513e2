"""Replies of the root while a volunteer joins: the run, and the function in parts."""

from __future__ import annotations

import msgspec
import trio

from .. import messages
from ..channel import ChannelClosedError
from ..errors import UsageError, one_line, truncate
from ..net.keepalive import KeepaliveChannel

REPLY_SECONDS = 120.0
"""Maximum seconds the root may take for a reply, be it the function or a parent."""


async def receive_function(root: KeepaliveChannel, count: int) -> bytes:
    """Receive a function in `count` parts.

    Raises:
        ChannelClosedError: another message has come, an empty part, or too much.
    """
    parts: list[bytes] = []
    size = 0
    while len(parts) < count:
        part = await receive_reply(root)
        if not isinstance(part, messages.FunctionPart):
            raise ChannelClosedError("the root does not send the function")
        parts.append(part.data)
        size += len(part.data)
        if not part.data or size > messages.MAX_FUNCTION_BYTES:
            raise ChannelClosedError("the function is too large, or a part of it is empty")
    return b"".join(parts)


async def ask_portable(
    root: KeepaliveChannel, assigned: messages.RunInfo, reason: str
) -> messages.RunInfo:
    """Ask the root for the portable form of the function, which suits every Python.

    Args:
        root: the connection to the root.
        assigned: the run, with the exact form of the function.
        reason: why the exact form cannot be loaded here; empty if it was not tried.

    Returns:
        The run, with the portable form.

    Raises:
        ChannelClosedError: another message has come, or none in time.
        UsageError: the function has no portable form.
    """
    await root.send(messages.AskPortable(truncate(reason)))
    answer = await receive_reply(root)
    if isinstance(answer, messages.JoinRejected):
        raise UsageError(one_line(answer.reason))
    if not isinstance(answer, messages.Portable):
        raise ChannelClosedError("the root does not send the function")
    function = await receive_function(root, answer.parts)
    return msgspec.structs.replace(assigned, function=function)


async def receive_reply(root: KeepaliveChannel) -> messages.Message:
    """Receive a message of the root; ChannelClosedError if it does not come in time."""
    with trio.move_on_after(REPLY_SECONDS):
        return await root.receive()
    raise ChannelClosedError("the root does not answer")
