"""Diagnosis: by which ways this device reaches the root of a link, and why not by others.

It shakes hands with the root as a joining node does, but joins nothing: it has no workers, is sent
no function and gets no place. Each way is tried by itself, so that the failure of one is not hidden
by the success of another.
"""

from __future__ import annotations

import enum
import errno
import math
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

import trio

from .. import messages
from ..channel import ChannelClosedError
from ..errors import one_line
from ..functions.fingerprint import own_fingerprint
from ..net.addresses import join_address, split_address
from ..net.keepalive import KeepaliveChannel
from ..net.trust.errors import TrustError
from ..net.trust.identity import NodeIdentity
from ..net.trust.join_link import JoinLink
from ..net.webrtc.availability import MISSING, WEBSOCKET, is_available
from .options import VolunteerOptions
from .root_connection import RootConnector, find_own_link_at
from .root_replies import receive_reply
from .session import read_servers

MAX_ADDRESSES = 8
"""Addresses of the link's host that are tried."""
WAY_SECONDS = 8.0
"""Maximum seconds for each way."""


class Outcome(enum.Enum):
    """What became of a way."""

    WORKS = "works"
    FAILED = "fails"
    UNTRIED = "was not tried"


@dataclass(frozen=True)
class Way:
    """A way to the root that was tried, or why it was not.

    Attributes:
        name: what it is called.
        outcome: what became of it.
        why: the reason, or how it went, in words.
        is_direct: whether items would go by it without a relaying server.
        reaches_root: whether what works there is a way to the root, and not only part of one.
    """

    name: str
    outcome: Outcome
    why: str
    is_direct: bool = False
    reaches_root: bool = True

    def __str__(self) -> str:
        return f"{self.name}: {self.outcome.value}{': ' if self.why else ''}{self.why}"


def _describe(error: OSError) -> str:
    """Return what the operating system says of why there is no connection."""
    cause = error.__cause__ or error
    if isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[-1]
    number = getattr(cause, "errno", None)
    words = os.strerror(number) if number else str(error)
    hint = ": no program listens there" if number == errno.ECONNREFUSED else ""
    return one_line(words) + hint


class Diagnosis:
    """Tries the ways to one root.

    Args:
        link: the link that was given.
        options: of the volunteer that would join.
        tell: takes each way when it has been tried.

    Raises:
        UsageError: there are no certificates in the options' file.
    """

    def __init__(
        self, link: JoinLink, options: VolunteerOptions, tell: Callable[[Way], None]
    ) -> None:
        self.ways: list[Way] = []
        self._link = find_own_link_at(link) or link
        self._connector = RootConnector(self._link, NodeIdentity(), options.cafile)
        self._protocol = options.protocol or link.options.get("protocol")
        self._tell = tell

    async def run(self) -> None:
        """Try all ways, one after the other."""
        await self._try_addresses()
        link = self._link
        where = f"relay by the server {link.address}" if link.room else f"WebSocket {link.address}"
        why = ""
        with trio.move_on_after(WAY_SECONDS) as patience:
            try:
                async with self._connector.connect(self._hello()) as root:
                    assigned = await receive_reply(root)
                    if isinstance(assigned, messages.RunInfo):
                        patience.deadline = math.inf
                        proved = link.fingerprint is not None
                        words = "the root has proved itself" if proved else "a root answers"
                        self._note(where, Outcome.WORKS, words, is_direct=not link.room)
                        await self._try_webrtc(root, assigned)
                        return
                    why = "it answers as no root does"
                    if isinstance(assigned, messages.JoinRejected):
                        why = one_line(assigned.reason)
            except (ChannelClosedError, TrustError, messages.MalformedMessageError) as problem:
                why = one_line(str(problem)) or "it hangs up"
        self._note(where, Outcome.FAILED, why or "the root does not answer")
        self._note("WebRTC", Outcome.UNTRIED, "offer and answer need another way to the root first")

    @property
    def reaches_root(self) -> bool:
        """Whether any way works."""
        return any(way.outcome is Outcome.WORKS and way.reaches_root for way in self.ways)

    @property
    def is_direct(self) -> bool:
        """Whether a way works that needs no relaying server."""
        return any(way.outcome is Outcome.WORKS and way.is_direct for way in self.ways)

    def _hello(self) -> bytes:
        hello = messages.Hello("a diagnosis", workers=0, fingerprint=own_fingerprint())
        return messages.encode(hello)

    def _note(self, name: str, outcome: Outcome, why: str, **more: bool) -> None:
        way = Way(name, outcome, why, **more)
        self.ways.append(way)
        self._tell(way)

    # ---- TCP ----

    async def _try_addresses(self) -> None:
        """See which addresses of the link's host take a connection at all."""
        host, port = split_address(self._link.address)
        try:
            found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            name = f"name {host}"
            self._note(name, Outcome.FAILED, one_line(error.strerror or str(error)))
            return
        for address in list(dict.fromkeys(str(entry[4][0]) for entry in found))[:MAX_ADDRESSES]:
            await self._try_address(address, port)

    async def _try_address(self, address: str, port: int) -> None:
        name = f"TCP {join_address(address, port)}"
        try:
            with trio.fail_after(WAY_SECONDS):
                stream = await trio.open_tcp_stream(address, port)
                await trio.aclose_forcefully(stream)
        except OSError as error:
            self._note(name, Outcome.FAILED, _describe(error))
        except trio.TooSlowError:
            why = "nothing answers there: it is off, in another network, or behind a firewall"
            self._note(name, Outcome.FAILED, why)
        else:
            self._note(name, Outcome.WORKS, "a connection is taken", reaches_root=False)

    # ---- WebRTC ----

    async def _try_webrtc(self, root: KeepaliveChannel, assigned: messages.RunInfo) -> None:
        why = self._why_no_webrtc(assigned)
        if why:
            self._note("WebRTC", Outcome.UNTRIED, why)
            return
        from .trial import TRIALS, try_offer

        servers = read_servers(assigned)
        for trial in TRIALS:
            outcome = await try_offer(root, servers, trial)
            self._note(
                f"WebRTC by {trial.name}",
                {True: Outcome.WORKS, False: Outcome.FAILED, None: Outcome.UNTRIED}[outcome.works],
                outcome.why,
                is_direct=True,
            )
            if outcome.is_last:
                return

    def _why_no_webrtc(self, assigned: messages.RunInfo) -> str:
        if self._link.fingerprint is None:
            return "only a whole link, with what follows its # sign, proves the root"
        if not is_available():
            return MISSING
        if self._protocol == WEBSOCKET:
            return "--protocol=websocket, or the link, excludes it"
        if not assigned.protocol:
            return "the root takes no part: --protocol=websocket, or it has no aiortc"
        return ""
