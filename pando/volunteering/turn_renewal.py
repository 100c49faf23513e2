"""New passwords for TURN servers, before those that a node has are good no more.

Each join brings a node passwords for a limited time. Who stays longer, as a child or as a parent,
still connects anew: on a second link, or to those that join below it. So it looks in at the root
once in a while, as a joining node does, and goes again without joining.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

import trio

from .. import messages
from ..errors import PandoError, one_line
from ..net.webrtc.ice_servers import CREDENTIAL_SECONDS
from .report_link import Connect

RENEW_SECONDS = CREDENTIAL_SECONDS / 4
"""Most seconds between two looks; at least three quarters of them, so that not all come at once."""
RETRY_SECONDS = 600.0
"""Seconds until the next look after one in vain."""
LOOK_SECONDS = 30.0
"""Maximum seconds for one look."""

logger = logging.getLogger(__name__)


async def keep_renewed(
    connect: Connect, device: str, run: str, renewed: Callable[[messages.RunInfo], None]
) -> None:
    """Ask for new passwords once in a while, until cancelled.

    Args:
        connect: connects to the root.
        device: the name of this device.
        run: the run that it is part of.
        renewed: takes what the root tells joining nodes now.
    """
    hello = messages.encode(messages.Hello(device, 0, run))
    while True:
        await trio.sleep(RENEW_SECONDS * random.uniform(0.75, 1.0))
        told = await _look(connect, hello, run)
        while told is None:
            await trio.sleep(RETRY_SECONDS)
            told = await _look(connect, hello, run)
        renewed(told)


async def _look(connect: Connect, hello: bytes, run: str) -> messages.RunInfo | None:
    """Return what the root tells joining nodes of the run; None where it cannot be asked."""
    with trio.move_on_after(LOOK_SECONDS):
        try:
            async with connect(hello) as root:
                told = await root.receive()
                if isinstance(told, messages.RunInfo) and told.run == run:
                    return told
        except PandoError as problem:
            logger.debug("no new passwords for TURN servers: %s", one_line(str(problem)))
    return None
