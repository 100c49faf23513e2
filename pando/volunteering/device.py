"""A volunteering device: connect to the root, join the tree, and reconnect after losses.

The hard part is what to do when a connection ends, since the device cannot know why. Cases:

- No session yet, connecting fails: the root has not started, or the network is down. Try again.
- The root refuses the device, or its protocol version differs: trying again cannot help. Raise.
- The root proves that the link has ended: return, as after the last run.
- Somebody answers who does not prove to be the root of the link: compute nothing, and try again,
  since the root may come back. Without a fingerprint in the link nobody can prove it. Raise.
- The function cannot be loaded here: tell the root, and raise.
- A public server relays, and tells why it does not: the run has not begun, is over, or its root
  is away. It is believed for what it could do in any case: try again, or return after the end.
- The parent is lost during a run: the run goes on elsewhere, or its root restarts. Keep the
  session, with its workers and the subtree below, and ask the root for another parent.
- The same, but the root has been unreachable for `LOST_RUN_SECONDS`: the run counts as ended, so
  that its workers do not occupy the device.
- The parent takes no children any more: ask the root for another one meanwhile, and change over.
- The root answers with another run than that of the session: the old run has ended. Drop the
  session and join the new run.
- The root says that the run has ended: drop the session; wait for the next run, or return.
"""

from __future__ import annotations

import enum
import logging
import math
import socket
from dataclasses import dataclass

import msgspec
import trio

from .. import messages
from ..channel import ChannelClosedError
from ..errors import FunctionError, RootUnreachableError, UsageError, WorkerError, one_line
from ..functions.fingerprint import own_fingerprint
from ..net import websocket
from ..net.keepalive import KeepaliveChannel
from ..net.trust.errors import LINK_ENDED, TrustError
from ..net.trust.identity import NodeIdentity
from ..net.trust.join_link import JoinLink
from ..net.webrtc.availability import check_protocol
from ..notifier import Notifier
from ..tree.admission import SENT_AWAY
from ..tree.child import sanitize_name
from ..worker.pool import MakePool, make_worker_pool
from ..worker.processors import count_cores
from .backoff import Backoff
from .joining import Joiner
from .move import Moves, first_of
from .options import VolunteerOptions
from .root_connection import RootConnector, find_own_link_at, is_over
from .root_replies import receive_function, receive_reply
from .sent_away import SentAwayFiles
from .session import Session, read_servers
from .session_start import SessionStarter

logger = logging.getLogger(__name__)

LOST_RUN_SECONDS = 30.0
"""Seconds without the root after which its run counts as ended."""
LEAVE_SECONDS = 1.0
"""Maximum seconds for which an item that runs is waited for before leaving."""
TRYING_AGAIN = "; trying again"


class VolunteerState(enum.StrEnum):
    """The state of a volunteer.

    States follow each other in this order. The loss of the parent leads from the last two back to
    ``JOINING``, the end of the run to ``CONNECTING``.
    """

    CONNECTING = "connecting"
    """It has no run, and tries to reach the root."""
    JOINING = "joining"
    """It has a run and workers, but no parent yet, or no longer."""
    COMPUTING = "computing"
    """It has a parent."""


@dataclass(frozen=True)
class VolunteerStatistics:
    """The state and metrics of a volunteer.

    Attributes:
        state: see `VolunteerState`.
        function: the name of the function; empty if there is no run.
        results: results delivered so far.
        children: nodes connected to this one.
        link: what carries the link to the parent: ``websocket``, ``webrtc`` or ``relay``; empty
            without a parent.
    """

    state: VolunteerState
    function: str
    results: int
    children: int
    link: str = ""


class Volunteer:
    """A device that computes for the runs of one root.

    Args:
        link: the join link.
        options: see `VolunteerOptions`.
        say: takes sentences for the person at the device.
        make_pool: creates the pool of workers; tests and benchmarks use others than processes.
    """

    def __init__(
        self,
        link: str,
        options: VolunteerOptions,
        say: Notifier,
        *,
        make_pool: MakePool = make_worker_pool,
    ) -> None:
        self._link = self._given = JoinLink.parse(link)
        protocol = options.protocol or self._link.options.get("protocol")
        if protocol is not None:
            check_protocol(protocol)
        self._options = options
        self._say = say
        self._name = sanitize_name(options.name or socket.gethostname())
        self._workers = options.workers or count_cores()
        self._state = VolunteerState.CONNECTING
        self._session: Session | None = None
        self._results_before = 0
        self._make_pool = make_pool
        self._backoff = Backoff(0.0)
        self._last_in_tree = 0.0
        self._moves = Moves(self._join_again)
        self._patience = trio.CancelScope()
        self._said = ""
        self._use(self._given)

    def __repr__(self) -> str:
        return f"<Volunteer {self._name} at {self._link.address}: {self._state}>"

    def statistics(self) -> VolunteerStatistics:
        """Return a snapshot of the state and the metrics."""
        session = self._session
        return VolunteerStatistics(
            self._state,
            session.name if session else "",
            self._results_before + (session.results if session else 0),
            len(session.membership.children) if session else 0,
            session.link_kind if session else "",
        )

    async def run(self) -> None:
        """Join runs and compute for them, until cancelled.

        It returns when the link has ended, or when a run ends without `stay`.

        Raises:
            FunctionError: the function cannot run here; the message names what is missing.
            RootUnreachableError: no run could be joined within `give_up_after`.
            UsageError: the root refuses this device.
            WorkerError: workers keep crashing here.
        """
        error: Exception | None = None
        self._backoff = Backoff(trio.current_time())
        async with trio.open_nursery() as nursery:
            self._start_patience()
            with self._patience:
                try:
                    await self._join_runs(nursery)
                except* (FunctionError, UsageError, WorkerError) as group:
                    error = first_of(group)
            nursery.cancel_scope.cancel()
        if error is not None:
            raise error
        if self._patience.cancelled_caught:
            seconds = self._options.give_up_after
            last = self._said.removesuffix(TRYING_AGAIN)
            reason = f" (last: {last})" if last else ""
            raise RootUnreachableError(f"gave up after {seconds:g} s without a run to join{reason}")

    def _use(self, link: JoinLink) -> None:
        """Join by this link from now on, as a device that is new to its root."""
        options = self._options
        self._link = link
        self._sent_away = SentAwayFiles()
        self._identity = NodeIdentity(self._sent_away.read)
        self._root = RootConnector(link, self._identity, options.cafile)
        self._starter = SessionStarter(
            self._name,
            self._workers,
            self._identity,
            self._root.connect,
            install=options.install,
            max_value=options.max_value,
            say=self._say,
            make_pool=self._make_pool,
            protocol=options.protocol or link.options.get("protocol"),
        )
        self._joiner = Joiner(
            self._name,
            link,
            self._identity,
            self._root,
            self._compute,
            hello=self._hello,
            say=self._say,
            say_once=self._say_once,
        )

    def _start_patience(self) -> None:
        """Start the time limit of `give_up_after`, unless it is running."""
        if self._options.give_up_after is not None and self._patience.deadline == math.inf:
            self._patience.deadline = trio.current_time() + self._options.give_up_after

    async def leave(self) -> None:
        """Leave in order: deliver finished results, return the other items."""
        if self._session is not None:
            await self._session.leave(LEAVE_SECONDS)

    async def _join_runs(self, nursery: trio.Nursery) -> None:
        found = False
        while True:
            if self._session is None and not found and self._link is not self._given:
                self._use(self._given)
            found = False
            has_session = self._session is not None
            self._state = VolunteerState.JOINING if has_session else VolunteerState.CONNECTING
            try:
                ended = await self._stay(nursery)
                self._backoff.reset()
            except websocket.PublicServerError as problem:
                own = find_own_link_at(self._given)
                if own is not None:
                    found = True
                    self._use(own)
                    continue
                ended = False
                self._say_once(f"{problem}{TRYING_AGAIN}")
            except (ChannelClosedError, TrustError, messages.MalformedMessageError) as problem:
                logger.debug("%r has lost its connection: %s", self, one_line(str(problem)))
                if isinstance(problem, TrustError):
                    if self._root.has_ended(problem):
                        self._say(LINK_ENDED)
                        await self._end_session()
                        return
                    problem = TrustError(f"{self._link.address} proves nothing ({problem})")
                ended = is_over(problem) or (self._session is not None and self._has_lost_run())
                if not (ended and self._options.stay):
                    self._say_once(str(problem) if ended else f"{problem}{TRYING_AGAIN}")
            self._start_patience()
            if ended:
                logger.debug("%r: the run has ended", self)
                await self._end_session()
                if not self._options.stay:
                    return
                self._say_once(f"the run has ended; {self._outlook()}")
            await trio.sleep(self._backoff.next_pause(trio.current_time()))

    async def _stay(self, nursery: trio.Nursery) -> bool:
        """Join a run, and compute, at one place after the other, until there is none.

        Returns:
            Whether the run has ended.
        """
        try:
            async with self._root.connect(self._hello()) as root:
                ended = await self._join_run(root, nursery)
            while (move := self._moves.take()) is not None:
                ended = await move.finish()
            return ended
        finally:
            self._moves.cancel()

    def _outlook(self) -> str:
        """What this device does after the end of a run."""
        is_unknown = self._link.fingerprint is None or not self._identity.identifier
        if self._identity.link_lasts or is_unknown:
            return "waiting for the next one"
        return "its link is good until its program ends"

    def _has_lost_run(self) -> bool:
        return trio.current_time() - self._last_in_tree > LOST_RUN_SECONDS

    def _say_once(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._say(text)

    def _hello(self) -> bytes:
        session = self._session
        return messages.encode(
            messages.Hello(
                self._name,
                self._workers if session is None else session.node.workers,
                session.run_id if session else "",
                fingerprint=own_fingerprint(),
            )
        )

    async def _join_run(self, root: KeepaliveChannel, nursery: trio.Nursery) -> bool:
        """Join a run through a channel to the root, and compute until the parent is lost.

        Returns:
            Whether the run has ended.
        """
        session = self._session
        assigned = await receive_reply(root)
        if isinstance(assigned, messages.JoinRejected):
            reason = one_line(assigned.reason)
            logger.debug("the root refuses %r: %s", self, one_line(reason))
            if assigned.reason == SENT_AWAY:
                self._sent_away.keep(self._identity.root_signing_key, self._identity.keep())
            raise UsageError(reason)
        if not isinstance(assigned, messages.RunInfo):
            raise ChannelClosedError("unexpected reply from the root")
        self._patience.deadline = math.inf
        self._sent_away.forget(self._identity.root_signing_key)
        if assigned.node != self._identity.identifier:
            raise ChannelClosedError("the root takes this device for another one")
        if session is not None and session.run_id != assigned.run:
            await self._end_session()
            raise ChannelClosedError("another run has begun")
        if session is None:
            function = assigned.function or await receive_function(root, assigned.parts)
            assigned = msgspec.structs.replace(assigned, function=function)
            session = await self._start_session(root, assigned, nursery)
        session.ice_servers = read_servers(assigned)
        self._state = VolunteerState.JOINING
        return await self._joiner.join(session, root, assigned)

    async def _start_session(
        self, root: KeepaliveChannel, assigned: messages.RunInfo, nursery: trio.Nursery
    ) -> Session:
        session = await self._starter.start(root, assigned, nursery)
        self._session = session
        session.find_other = lambda: self._moves.begin(session, nursery)
        self._last_in_tree = trio.current_time()
        self._said = ""
        self._say(f"computing {session.name} for {self._link.address}")
        return session

    async def _end_session(self) -> None:
        if self._session is not None:
            self._results_before += self._session.results
            await self._session.end()
            self._session = None

    async def _join_again(self, session: Session) -> bool:
        """Join the run of a session once more, which still has a place; return whether it ends."""
        async with self._root.connect(self._hello()) as root:
            assigned = await receive_reply(root)
            if not isinstance(assigned, messages.RunInfo) or assigned.run != session.run_id:
                raise ChannelClosedError("unexpected reply from the root")
            session.ice_servers = read_servers(assigned)
            return await self._joiner.join(session, root, assigned)

    async def _compute(
        self, session: Session, link: KeepaliveChannel, parent: bytes, assigned: messages.RunInfo
    ) -> bool:
        await self._moves.change_over(session)
        self._state = VolunteerState.COMPUTING
        self._backoff.reset()
        logger.debug("%r has joined parent %s", self, parent.hex())
        link.silence = assigned.silence
        try:
            ended = await session.compute_for(link, parent)
            session.check()
            if not ended:
                logger.info("%r has lost its parent %s", self, parent.hex())
            return ended
        finally:
            self._state = VolunteerState.JOINING
            self._last_in_tree = trio.current_time()
            self._backoff.note_contact(self._last_in_tree)
