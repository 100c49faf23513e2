"""What those who watch a run are sent, whatever carries it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from ..reporting.live import Viewer, encode
from ..reporting.monitor import Monitor


class Monitored(Protocol):
    """A run that is monitored."""

    @property
    def monitor(self) -> Monitor:
        """What is known of it."""

    @property
    def is_over(self) -> bool:
        """Whether what is known does not change any more."""

    def read(self) -> Any:
        """Return what was put together last."""

    def viewing(self) -> AbstractContextManager[None]:
        """Count a viewer during a block: at the end of the run it is waited for a moment."""

    async def wait_for_news(self) -> None:
        """Wait until something new is put together."""


class WatchedServer(Protocol):
    """What those who watch need of the server of the runs."""

    def monitored(self) -> Sequence[Monitored]:
        """Return the runs that can be looked at, the newest first."""

    def invitation(self) -> str:
        """Return the link by which other devices join; empty if none can."""


async def send_live(run: Monitored, link: str, send: Callable[[str], Awaitable[None]]) -> None:
    """Send what is known, then what changes, until the run is over.

    Nothing is queued: while a viewer reads, further changes are put together for it.

    Args:
        run: what is watched.
        link: the link by which other devices join; empty if none can.
        send: sends a text of JSON, and waits where the viewer reads slowly.
    """
    if link:
        await send(describe_invitation(link))
    run.read()
    viewer = Viewer(run.monitor)
    while True:
        message = viewer.next()
        if message is not None:
            await send(encode(message).decode())
        if viewer.stamp == run.monitor.stamp:
            if run.is_over:
                return
            await run.wait_for_news()


def describe_invitation(link: str) -> str:
    """Return the link by which other devices join, with its code for phones, as JSON."""
    import segno

    code = segno.make(link, error="l", micro=False).svg_data_uri(border=2)
    return json.dumps({"type": "invitation", "link": link, "code": code})
