"""A volunteer's report link: it tells the root of itself, whatever becomes of the tree.

Nothing depends on it. Where it cannot be opened, or ends, it is opened again after a pause, and
nobody at the device is told.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import trio

from .. import messages
from ..channel import ChannelClosedError
from ..errors import PandoError, one_line
from ..net.keepalive import KeepaliveChannel
from ..reporting.report_link import OwnUpdates
from ..reports.records import Report
from .backoff import Backoff

logger = logging.getLogger(__name__)

OPEN_SECONDS = 30.0
"""Maximum seconds until the root has let a report link in."""

Connect = Callable[[bytes], AbstractAsyncContextManager[KeepaliveChannel]]
"""Connects to the root, which is told these bytes once it has proved itself."""


class ReportLink:
    """Keeps a report link to the root.

    Args:
        connect: connects to the root.
        node: this device's identifier.
        hello: what the device says of itself.
        make_report: makes the next report.
        interval: seconds between two reports.
        silence: seconds after which a silent root is lost.
    """

    def __init__(
        self,
        connect: Connect,
        node: bytes,
        hello: messages.Hello,
        make_report: Callable[[], Report],
        *,
        interval: float,
        silence: float,
    ) -> None:
        self._connect = connect
        self._hello = messages.encode(hello)
        self._updates = OwnUpdates(node)
        self._make_report = make_report
        self._interval = interval
        self._silence = silence
        self._backoff = Backoff(0.0)

    async def run(self) -> None:
        """Report, and connect again after each loss, until cancelled."""
        self._backoff = Backoff(trio.current_time())
        while True:
            try:
                with trio.move_on_after(OPEN_SECONDS) as patience:
                    async with self._connect(self._hello) as link:
                        await self._open(link)
                        patience.deadline = math.inf
                        await self._report(link)
            except PandoError as problem:
                logger.debug("no report link to the root: %s", one_line(str(problem)))
            except Exception:  # the computation must not end with it
                logger.exception("a report link has ended because of an error in Pando")
            await trio.sleep(self._backoff.next_pause(trio.current_time()))

    async def _open(self, link: KeepaliveChannel) -> None:
        """Wait until updates may come."""
        if not isinstance(await link.receive(), messages.Welcome):
            raise ChannelClosedError("the root takes no reports")
        link.silence = self._silence

    async def _report(self, link: KeepaliveChannel) -> None:
        """Send reports until the link ends."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.run)
            nursery.start_soon(self._send_reports, link)
            await _wait_for_end(link)
            nursery.cancel_scope.cancel()

    async def _send_reports(self, link: KeepaliveChannel) -> None:
        self._updates.begin_link()
        try:
            while True:
                update = self._updates.encode(self._make_report(), trio.current_time())
                await link.send(update)
                await trio.sleep(self._interval)
                # Only now it has proved to be of use.
                self._backoff.reset()
                self._backoff.note_contact(trio.current_time())
        except ChannelClosedError:
            return  # who waits for the end notices, too


async def _wait_for_end(link: KeepaliveChannel) -> None:
    """Wait until a link ends. The root has nothing to say on it."""
    try:
        message = await link.receive()
        logger.debug("the root says %s on a report link", type(message).__name__)
    except PandoError as problem:
        logger.debug("the report link has ended: %s", one_line(str(problem)))
