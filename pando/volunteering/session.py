"""The session of a volunteer in one run, which outlives the loss of a parent."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

import msgspec
import trio

from .. import __version__, messages
from ..channel import MessageChannel
from ..errors import UsageError, one_line
from ..functions.fingerprint import own_fingerprint
from ..functions.serialized import as_received
from ..limits import MAX_VALUE_BYTES
from ..net.addresses import join_address, listen, own_addresses
from ..net.keepalive import KeepaliveChannel
from ..net.listener import ConnectionServer
from ..net.request_policy import RequestPolicy
from ..net.trust.identity import NodeIdentity
from ..net.webrtc.availability import WEBSOCKET, answers_offers
from ..net.webrtc.ice_servers import MAX_SERVERS, IceServer, parse_servers, parse_url
from ..notifier import Notifier
from ..reporting.ledger import OWN
from ..reporting.passing import Outgoing
from ..scheduler import Borrower
from ..tree.child import Child, sanitize_name
from ..tree.membership import Membership
from ..tree.node import Node
from ..tree.overlay import Overlay
from ..tree.parent import Parent
from ..tree.reports import Description, OwnReports
from ..tree.uplink import RawCodec
from ..worker.pool import MakePool, Pool, WorkerPool
from ..worker.virtual_environment import prepare_environment
from .report_link import Connect, ReportLink
from .turn_renewal import keep_renewed

logger = logging.getLogger(__name__)

END_SECONDS = 5.0
"""Maximum seconds for notifying the children of the end of the run."""
LEAVE_PARENT_SECONDS = 1.0
"""Maximum seconds for delivering what is running to a parent that is left for another one."""
GOODBYE_SECONDS = 0.5
"""Maximum seconds for saying goodbye to a parent after that."""
LAST_REPORTS_SECONDS = 0.2
"""Maximum seconds to wait for the children's last reports; the root waits a little longer."""


class Session:
    """A volunteer's part in one run: its workers, its children, and its current parent, if any.

    Args:
        assigned: the run, as the root describes it.
        device: the name of this device.
        workers: the number of worker processes.
        make_pool: creates the pool of workers.
        identity: what the root has certified of this node.
        connect: connects to the root once more, for the report link.
        max_value: bytes of the largest item that is taken, and lent to those below.
        protocol: how nodes connect: by WebSocket alone, by WebRTC, or as it comes.

    Attributes:
        find_other: called when the parent takes no children any more.
    """

    def __init__(
        self,
        assigned: messages.RunInfo,
        device: str,
        workers: int,
        make_pool: MakePool,
        identity: NodeIdentity,
        connect: Connect,
        max_value: int = MAX_VALUE_BYTES,
        protocol: str = WEBSOCKET,
    ) -> None:
        self.find_other: Callable[[], None] = lambda: None
        self.protocol = protocol
        self.ice_servers = read_servers(assigned)
        self.run_id = assigned.run
        self.name = sanitize_name(assigned.name)
        self.identifier = assigned.node
        self.port = 0
        self.addresses: list[str] = []
        self._delivered = 0
        self._run_results = 0
        self.node = Node(
            RawCodec(),
            batch_limit=assigned.batch_limit,
            item_timeout=assigned.timeout,
            speculates=assigned.speculate,
            silence=assigned.silence,
            max_value=max_value,
        )
        self._assigned = assigned
        self._device = device
        self._workers = workers
        self._make_pool = make_pool
        self._parent: Parent | None = None
        self._parent_gone = trio.Event()
        self._scope = trio.CancelScope()
        self._gone = trio.Event()
        self._failure: Exception | None = None
        self._loaded = trio.Event()
        self._failed = trio.Event()
        self._child_left = trio.Event()
        overlay = Overlay(assigned.node, degree=assigned.degree, timeout=assigned.bootstrap_timeout)
        self.membership = Membership(self.node, overlay, self, identity, silence=assigned.silence)
        self._pool: Pool | None = None
        self._parent_id = b""
        self._has_joined = trio.Event()
        self._own_reports = self._new_reports()
        self._connect = connect

    def __repr__(self) -> str:
        return f"<Session in run {self.run_id} of {self.name}: {self.node.workers} workers>"

    async def prepare(self, *, install: bool, say: Notifier) -> None:
        """Prepare the environment of the workers.

        Args:
            install: whether to install missing requirements.
            say: takes sentences for the person at the device.

        Raises:
            FunctionError: a requirement is missing; the message names it.
        """
        environment = await prepare_environment(
            self._assigned.requirements, install=install, say=say
        )
        # The command line of this process has the link, which the function must not see.
        environment = msgspec.structs.replace(environment, arguments=("",), flags=())
        self._pool = self._make_pool(
            as_received(self._assigned.function),
            self._workers,
            self._serve_worker,
            timeout=self._assigned.timeout,
            environment=environment,
            say=say,
        )

    def _new_reports(self) -> OwnReports:
        return OwnReports(
            Description(self.identifier, self._device, __version__, self._workers),
            self.node,
            self._assigned.reporting_interval,
            self._processor_seconds,
        )

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the workers, and accept children, until `end`.

        The task has started when a worker has loaded the function.

        Raises:
            FunctionError: no worker can load the function.
        """
        assert self._pool is not None
        failure: Exception | None = None
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pool.run, self._fail)
                nursery.start_soon(self.node.balance_forever)
                nursery.start_soon(self.membership.expire_candidates)
                if self._assigned.global_monitoring:
                    nursery.start_soon(self._keep_report_link)
                if self._assigned.turn_servers and self.protocol != WEBSOCKET:
                    nursery.start_soon(self._keep_renewed)
                if self._assigned.delegates:
                    await self._accept_children(nursery)
                    if answers_offers(self.protocol):
                        nursery.start_soon(self.membership.answer_offers, lambda: self.ice_servers)
                await self._loaded.wait()
                failure = self._failure
                if failure is None:
                    task_status.started()
                    await self._failed.wait()
                    if self._parent is not None:
                        await self._parent.hang_up()
                    await trio.sleep_forever()
                nursery.cancel_scope.cancel()
        self._gone.set()
        if failure is not None:
            raise failure

    async def _accept_children(self, nursery: trio.Nursery) -> None:
        try:
            listeners, self.port = await listen(0)
        except UsageError:
            return  # the parent sees no port, and redirects no node here
        self.addresses = [join_address(host, self.port) for host in own_addresses()]
        policy = RequestPolicy(allow_foreign_origin=True)
        nursery.start_soon(
            ConnectionServer(policy, self.membership.handle_connection).run, listeners
        )

    async def _serve_worker(self, channel: MessageChannel, name: str) -> None:
        self._loaded.set()
        await self.node.serve(channel, name)

    def _fail(self, error: Exception) -> None:
        logger.info("%r failed: %s", self, one_line(str(error)))
        self._failure = error
        self._loaded.set()
        self._failed.set()

    def check(self) -> None:
        """Raise the error that has ended the workers, if any."""
        if self._failure is not None:
            raise self._failure

    def hello(self, name: str) -> messages.Hello:
        """Return what to say of this node to a parent below the root."""
        return messages.Hello(name, max(1, self.node.workers), self.run_id, self.port)

    async def end(self) -> None:
        """End the session with the run: notify the children, and end the workers."""
        with trio.move_on_after(END_SECONDS):
            await self.membership.end(self._run_results)
        self._scope.cancel()
        await self._gone.wait()

    @property
    def results(self) -> int:
        """The number of results delivered, to this parent and to earlier ones."""
        return self._delivered + (self._parent.delivered if self._parent else 0)

    @property
    def link_kind(self) -> str:
        """What carries the link to the parent, in a word; empty without one."""
        return self._parent.link_kind if self._parent is not None else ""

    async def finish(self) -> None:
        """Return items that have not been started, deliver finished results, and keep the place."""
        if self._parent is not None:
            await self._parent.finish()

    async def leave(self, seconds: float) -> None:
        """Return items that have not been started, deliver finished results, and say goodbye.

        Args:
            seconds: for how long an item that runs is waited for.
        """
        if self._parent is not None:
            with trio.move_on_after(seconds + GOODBYE_SECONDS):
                await self._parent.leave(seconds)

    async def signal(self, offer: str) -> messages.Signal:
        """Return the parent's answer to an offer to connect by WebRTC; empty where it has none."""
        return await self._parent.signal(offer) if self._parent is not None else messages.Signal()

    async def hang_up(self) -> None:
        """End the link to the parent at once."""
        if self._parent is not None:
            await self._parent.hang_up()

    async def leave_parent(self) -> None:
        """Leave the parent, if there is one, in order, and wait until it is gone."""
        if self._parent is None:
            return
        await self.leave(LEAVE_PARENT_SECONDS)
        await self.hang_up()
        await self._parent_gone.wait()

    async def compute_for(self, link: KeepaliveChannel, parent: bytes) -> bool:
        """Compute for a parent until the connection is lost or the run ends.

        Returns:
            Whether the run has ended.
        """
        outgoing = Outgoing(self.identifier)
        self._parent_id = parent
        self._has_joined.set()
        self._parent = Parent(
            self.node,
            self.membership.placement,
            link,
            self._device,
            self.membership.disconnect,
            lambda: self._report(outgoing, parent, link),
            self._end_children,
            self._assigned.reporting_interval,
            self.find_other,
        )
        self._parent_gone = trio.Event()
        try:
            return await self._parent.run()
        finally:
            self._delivered += self._parent.delivered
            self._run_results = self._parent.run_results
            self._parent, self._parent_id = None, b""
            self._parent_gone.set()

    async def _end_children(self, results: int) -> None:
        """Tell the children that the run is over, and wait a moment for their last reports."""
        with trio.move_on_after(LAST_REPORTS_SECONDS):
            await self.membership.end(results)
            while self.membership.children:
                self._child_left = trio.Event()
                await self._child_left.wait()

    def _report(self, outgoing: Outgoing, parent: bytes, link: KeepaliveChannel) -> messages.Update:
        """Return what has changed at this node and below since the last report on a link."""
        ledger, now = self.membership.ledger, trio.current_time()
        own = self._own_reports.make(
            parent,
            link.kind,
            children=len(self.membership.children),
            round_trip=link.round_trip.seconds,
        )
        ledger.hear(own, OWN, now)
        ledger.expire(now)
        return outgoing.encode(ledger)

    async def _keep_report_link(self) -> None:
        """Report straight to the root as well, once it knows this node."""
        own_reports, assigned = self._new_reports(), self._assigned
        await self._has_joined.wait()
        link = ReportLink(
            self._connect,
            self.identifier,
            messages.Hello(
                self._device,
                self._workers,
                self.run_id,
                fingerprint=own_fingerprint(),
                reports=True,
            ),
            lambda: own_reports.make(self._parent_id, children=len(self.membership.children)),
            interval=assigned.reporting_interval,
            silence=assigned.silence,
        )
        await link.run()

    async def _keep_renewed(self) -> None:
        def renewed(told: messages.RunInfo) -> None:
            self.ice_servers = read_servers(told)

        await keep_renewed(self._connect, self._device, self.run_id, renewed)

    def _processor_seconds(self) -> float | None:
        return self._pool.processor_seconds() if isinstance(self._pool, WorkerPool) else None

    # ---- called by the membership ----

    def on_joined(self, child: Child) -> None:
        """Announce the workers of a child that has joined."""
        logger.debug("%s has joined below %r", child.name, self)
        self.workers_changed()

    def on_left(self, child: Child, borrower: Borrower) -> None:
        """Announce that the workers of a child are gone."""
        logger.info("%s has left %r, or was lost", child.name, self)
        self._child_left.set()
        self.workers_changed()

    def workers_changed(self) -> None:
        """Tell the parent how many workers this node and those below it have."""
        if self._parent is not None:
            self._parent.post_want()


def read_servers(assigned: messages.RunInfo) -> tuple[IceServer, ...]:
    """Return the ICE servers that a root names; none where one of them is no URL of a server."""
    try:
        turn = [
            dataclasses.replace(
                parse_url(each.url), username=each.username, credential=each.credential
            )
            for each in assigned.turn_servers
        ]
        return (*parse_servers(assigned.ice_servers), *turn)[: 2 * MAX_SERVERS]
    except UsageError:
        return ()
