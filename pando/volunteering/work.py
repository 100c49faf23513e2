"""Work: what a volunteer has for one run, which outlives the loss of a parent."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import trio

from .. import messages
from ..channel import Channel
from ..errors import UsageError
from ..functions.serialized import as_received
from ..net.addresses import join_address, listen, own_addresses
from ..net.keepalive import Link
from ..net.listener import Door
from ..net.request_policy import Guard
from ..tree.lending import Borrower
from ..tree.membership import Child, Membership, tidy_name
from ..tree.node import Node
from ..tree.overlay import Overlay
from ..tree.parent import Parent
from ..tree.uplink import RawCodec
from ..worker.pool import MakePool, Pool
from ..worker.virtual_environment import prepare_environment

END_SECONDS = 5.0
"""How long telling the children that the run is over may take."""

Say = Callable[[str], None]


class Work:
    """What a volunteer has for one run: workers, children, and a parent now and then."""

    def __init__(
        self, assigned: messages.Assigned, device: str, workers: int, make_pool: MakePool
    ) -> None:
        self.run_id = assigned.run
        self.name = tidy_name(assigned.name)
        self.identifier = assigned.node
        self.port = 0
        self.addresses: list[str] = []
        self._delivered = 0
        self.node = Node(RawCodec(), batch_limit=assigned.batch_limit)
        self._assigned = assigned
        self._device = device
        self._workers = workers
        self._make_pool = make_pool
        self._parent: Parent | None = None
        self._scope = trio.CancelScope()
        self._gone = trio.Event()
        self._failure: Exception | None = None
        self._loaded = trio.Event()
        self._failed = trio.Event()
        overlay = Overlay(assigned.node, degree=assigned.degree, timeout=assigned.bootstrap_timeout)
        self.membership = Membership(
            self.node,
            overlay,
            assignment=None,
            admit=lambda hello, host: "newcomers join at the root",
            events=self,
            silence=assigned.silence,
            bootstrap_timeout=assigned.bootstrap_timeout,
        )
        self._pool: Pool | None = None

    async def prepare(self, *, install: bool, say: Say) -> None:
        """See to it that what the function needs is there.

        Raises:
            FunctionError: something is missing; the message names it.
        """
        environment = await prepare_environment(
            self._assigned.requirements, install=install, say=say
        )
        # The command line here holds the link, which is none of the function's business.
        environment = dataclasses.replace(environment, arguments=("",), flags=())
        self._pool = self._make_pool(
            as_received(self._assigned.function),
            self._workers,
            self._serve_worker,
            timeout=self._assigned.timeout,
            environment=environment,
            say=say,
        )

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep workers and the door for children, until `end`.

        It counts as started when the function is loaded in a worker.

        Raises:
            FunctionError: it cannot be loaded.
        """
        assert self._pool is not None
        failure: Exception | None = None
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pool.run, self._fail)
                nursery.start_soon(self.node.balance_forever)
                nursery.start_soon(self.membership.expire_forever)
                if self._assigned.delegates:
                    await self._open_door(nursery)
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

    async def _open_door(self, nursery: trio.Nursery) -> None:
        try:
            listeners, self.port = await listen(0)
        except UsageError:
            return  # then nobody can be sent here, which the parent sees by the missing port
        self.addresses = [join_address(host, self.port) for host in own_addresses()]
        self.membership.set_addresses([*self.addresses, join_address("127.0.0.1", self.port)])
        guard = Guard(nodes_of_pages=True)
        nursery.start_soon(Door(guard, self.membership.welcome).run, listeners)

    async def _serve_worker(self, channel: Channel, name: str) -> None:
        self._loaded.set()
        await self.node.serve(channel, name)

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._loaded.set()
        self._failed.set()

    def check(self) -> None:
        """Raise what has ended the workers for good, if anything has."""
        if self._failure is not None:
            raise self._failure

    def hello(self, ticket: str, name: str) -> messages.Hello:
        """What to say to a parent below the root."""
        return messages.Hello(
            messages.VERSION,
            name,
            max(1, self.node.workers),
            node=self.identifier,
            run=self.run_id,
            ticket=ticket,
            port=self.port,
            addresses=self.addresses,
        )

    async def end(self) -> None:
        """The run is over: tell the children, and end the workers."""
        with trio.move_on_after(END_SECONDS):
            await self.membership.end()
        self._scope.cancel()
        await self._gone.wait()

    @property
    def results(self) -> int:
        """How many results have been delivered, to this parent and those before."""
        return self._delivered + (self._parent.delivered if self._parent else 0)

    async def leave(self) -> None:
        """Give back what has not been started, and deliver what is finished."""
        if self._parent is not None:
            await self._parent.leave()

    async def compute_for(self, link: Link, parent: bytes) -> bool:
        """Be the child of whoever is at the other end, until it is lost.

        Returns whether the run is over.
        """
        self._parent = Parent(
            self.node,
            self.membership,
            link,
            self._device,
            lambda: self._status(parent),
            self._assigned.reporting_interval,
        )
        try:
            return await self._parent.run()
        finally:
            self._delivered += self._parent.delivered
            self._parent = None

    def _status(self, parent: bytes) -> messages.Status:
        """This node's figures, and those of all below it."""
        own = messages.NodeStatus(
            self.identifier,
            parent,
            self._device,
            self._workers,
            len(self.membership.children),
            self.node.results,
            self.node.seconds,
            self.node.figures_reported(),
        )
        return messages.Status([own, *self.membership.status_below()])

    # ---- events of the membership ----

    def joined(self, child: Child) -> None:
        """A child has joined: the parent may lend more."""
        self.workers_changed()

    def left(self, child: Child, borrower: Borrower) -> None:
        """A child has left, or was lost."""
        self.workers_changed()

    def cannot_compute(self, name: str, reason: str) -> None:
        """Newcomers are asked at the root."""

    def cannot_have_function(self, reason: str) -> None:
        """Newcomers are told at the root."""

    def workers_changed(self) -> None:
        """Tell the parent how many workers compute here and below."""
        if self._parent is not None:
            self._parent.post_want()
