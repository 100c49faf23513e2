"""Watching a run through a public server, over a link that proves the run and is encrypted.

The secret of this link is the monitoring token, which the server does not see. After the handshake
the root sends the texts of the live stream, as on the monitoring page that it serves itself, and at
last why there is no more: ``{"type": "end", "reason": …}``. The viewer says nothing but that it is
still there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import trio

from ..channel import Channel, ChannelClosedError, ProtocolViolationError
from ..net.trust.errors import TrustError
from ..net.trust.identity import LinkInUse, RootIdentity
from ..net.trust.join_link import LinkSecret, format_credentials
from ..net.trust.key_store import LinkKeys
from ..net.visitor import Visitor

if TYPE_CHECKING:
    from ..web.live import Monitored, WatchedServer

PROOF_SECONDS = 10.0
"""Maximum seconds until a viewer has proved that it knows the token."""
SILENCE_SECONDS = 60.0
"""Seconds after which a viewer that says nothing is taken to be gone."""
BEAT_SECONDS = 10.0
"""Seconds between two messages of a viewer."""
MAX_BEAT_BYTES = 16
MAX_VIEWERS = 64
OVER, NO_RUN, CROWDED = "over", "no run", "crowded"
"""Why a stream ends."""


class MonitoringLink:
    """Lets those watch who know the monitoring token.

    Args:
        keys: the root's.
        token: the monitoring token.
        server: gives the runs that can be watched.

    Attributes:
        credentials: what follows the ``#`` of the link.
    """

    def __init__(self, keys: LinkKeys, token: str, server: WatchedServer) -> None:
        secret = LinkSecret.choose(token)
        self.credentials = format_credentials(keys.fingerprint, secret)
        self._identity = RootIdentity(
            lambda: LinkInUse(keys, secret, lasts=False), lambda visitor: True
        )
        self._server = server
        self._viewers = trio.Semaphore(MAX_VIEWERS)

    async def serve(self, channel: Channel, visitor: Visitor) -> None:
        """Let one viewer watch until the newest run is over, or the viewer has gone.

        Raises:
            ChannelClosedError: the viewer has gone, or broken the rules.
        """
        with trio.move_on_after(PROOF_SECONDS) as patience:
            handshake = await self._identity.begin(channel, visitor)
            try:
                await handshake.receive()
            except TrustError:
                return  # it has been told
            proved = await handshake.accept()
        if patience.cancelled_caught:
            return
        runs = self._server.monitored()
        if not runs:
            await _end(proved, NO_RUN)
        elif not self._viewers.value:
            await _end(proved, CROWDED)
        else:
            async with self._viewers:
                await self._show(runs[0], proved)

    async def _show(self, run: Monitored, viewer: Channel) -> None:
        """Show a run until it is over."""
        from ..web.live import send_live

        async def send(text: str) -> None:
            await viewer.send(text.encode())

        try:
            with run.viewing():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_hear, viewer)
                    await send_live(run, self._server.invitation(), send)
                    await _end(viewer, OVER)
                    nursery.cancel_scope.cancel()
        except* ChannelClosedError as group:
            raise ChannelClosedError(str(group.exceptions[0])) from None


async def _end(viewer: Channel, reason: str) -> None:
    await viewer.send(json.dumps({"type": "end", "reason": reason}).encode())


async def _hear(viewer: Channel) -> None:
    """Read, so that the end is noticed.

    Raises:
        ChannelClosedError: the viewer has gone, or is silent.
        ProtocolViolationError: it says more than that it is there.
    """
    while True:
        with trio.move_on_after(SILENCE_SECONDS) as patience:
            beat = await viewer.receive()
        if patience.cancelled_caught:
            raise ChannelClosedError("nothing was heard from the viewer")
        if len(beat) > MAX_BEAT_BYTES:
            raise ProtocolViolationError("a viewer says more than that it is there")
