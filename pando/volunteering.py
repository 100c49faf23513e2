"""Volunteering: compute for somebody else's run, as a node of its tree.

A volunteer connects to the root, is told what the run is, starts its workers, and is given a
parent: the root itself, or a node below it. When the link is lost it keeps its workers and its
own children and asks the root again; when the run is over it waits for the next one.
"""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import trio

from . import messages
from .channel import Channel, ChannelClosedError
from .errors import FunctionError, PandoError, UsageError
from .requirements import prepare_environment
from .scheduler import Window
from .sources import EndOfInput
from .tree import websocket
from .tree.lending import Borrower, Stream
from .tree.link import Link
from .tree.membership import Child, Membership, join_address, tidy_name
from .tree.node import Node
from .tree.overlay import Overlay
from .tree.uplink import RawCodec, Uplink
from .web.door import Door
from .web.guard import Guard
from .web.network import listen, own_addresses
from .worker.pool import WorkerPool, count_cores

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 15.0
"""Pauses between two tries to connect grow to this; half of each is left to chance."""
LEAVE_SECONDS = 1.0
"""How long leaving in order may take: what is finished is delivered first."""
CONNECT_PARENT_SECONDS = 5.0
"""How long connecting to one address of a parent may take."""
END_SECONDS = 1.0

Say = Callable[[str], None]


class Pool(Protocol):
    """What a volunteer computes with: `WorkerPool`, or what stands in for it."""

    async def run(self, failed: Callable[[Exception], None]) -> None:
        """Keep workers until cancelled; `failed` is told that they cannot work at all."""


MakePool = Callable[..., Pool]
"""Takes what `WorkerPool` takes."""


@dataclass(frozen=True)
class Invitation:
    """A link, taken apart.

    Attributes:
        address: ``HOST:PORT`` of the root.
        tls: whether the connection is encrypted.
        token: what stands behind the ``#``.
    """

    address: str
    tls: bool
    token: str

    @staticmethod
    def parse(link: str) -> Invitation:
        """The invitation of a link such as ``http://192.168.1.7:5000/#token``.

        Raises:
            UsageError: it is no such link.
        """
        parts = urlsplit(link if "//" in link else f"http://{link}")
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if parts.scheme not in ("http", "https") or not host:
            raise UsageError(f"{link!r} is not a link such as http://192.168.1.7:5000/#token")
        tls = parts.scheme == "https"
        return Invitation(join_address(host, port or (443 if tls else 80)), tls, parts.fragment)


@dataclass(frozen=True)
class VolunteerOptions:
    """How a device takes part.

    Attributes:
        workers: processes that compute; None is one for each core.
        name: what the device is called.
        install: whether what the function needs may be installed, into a place of its own.
        stay: whether to wait for the next run when one is over.
    """

    workers: int | None = None
    name: str | None = None
    install: bool = False
    stay: bool = True

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"workers must be at least 1, not {self.workers}")


@dataclass(frozen=True)
class VolunteerStatistics:
    """What a volunteer does now.

    Attributes:
        state: ``connecting``, ``waiting``, ``joining`` or ``computing``.
        function: the function's name.
        results: results delivered so far.
        children: nodes connected to this one.
    """

    state: str
    function: str
    results: int
    children: int


class Volunteer:
    """A device that takes part in the runs of one root.

    Args:
        link: what the root has printed.
        options: see `VolunteerOptions`.
        say: told, in sentences, what the person at the device should know.
        make_pool: makes the workers; others than processes, for tests and measurements.
    """

    def __init__(
        self,
        link: str,
        options: VolunteerOptions,
        say: Say,
        *,
        make_pool: MakePool = WorkerPool,
    ) -> None:
        self._make_pool = make_pool
        self._invitation = Invitation.parse(link)
        self._options = options
        self._say = say
        self._name = tidy_name(options.name or socket.gethostname())
        self._workers = options.workers or count_cores()
        self._state = "connecting"
        self._work: _Work | None = None
        self._results_before = 0
        self._pause = FIRST_PAUSE_SECONDS
        self._said = ""
        self._leaving = False

    def statistics(self) -> VolunteerStatistics:
        """A snapshot of the figures."""
        work = self._work
        return VolunteerStatistics(
            self._state,
            work.name if work else "",
            self._results_before + (work.results if work else 0),
            len(work.membership.children) if work else 0,
        )

    async def run(self) -> None:
        """Take part until cancelled, or until a run is over and `stay` was not chosen.

        Raises:
            FunctionError: the function cannot run here; the message says what is missing.
            UsageError: the root does not let this device in.
        """
        error: Exception | None = None
        async with trio.open_nursery() as nursery:
            try:
                await self._take_part_for_ever(nursery)
            except (FunctionError, UsageError) as problem:
                error = problem
            nursery.cancel_scope.cancel()
        if error is not None:
            raise error

    async def leave(self) -> None:
        """Leave in order: deliver what is finished, give back the rest."""
        self._leaving = True
        if self._work is not None:
            with trio.move_on_after(LEAVE_SECONDS):
                await self._work.leave()

    async def _take_part_for_ever(self, nursery: trio.Nursery) -> None:
        while True:
            self._state = "connecting" if self._work is None else "joining"
            try:
                async with self._connect() as channel:
                    ended = await self._take_part(channel, nursery)
                    self._pause = FIRST_PAUSE_SECONDS
            except ChannelClosedError as problem:
                ended = False
                self._say_once(f"{problem}; trying again")
            if ended:
                await self._drop_work()
                if not self._options.stay:
                    return
                self._say_once("the run is over; waiting for the next one")
            await trio.sleep(self._pause * random.uniform(0.5, 1))
            self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)

    def _say_once(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._say(text)

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[Channel]:
        async with websocket.connect(self._invitation.address, tls=self._invitation.tls) as channel:
            yield channel

    async def _take_part(self, channel: Channel, nursery: trio.Nursery) -> bool:
        """One stay in the tree, from the root's answer to the loss of the parent.

        Returns whether the run is over.
        """
        work = self._work
        await channel.send(
            messages.Hello(
                messages.VERSION,
                self._name,
                self._workers if work is None else work.node.workers,
                node=work.identifier if work else b"",
                run=work.run_id if work else "",
                token=self._invitation.token,
            )
        )
        assigned = await channel.receive()
        if isinstance(assigned, messages.Denied):
            raise UsageError(assigned.reason)
        if not isinstance(assigned, messages.Assigned):
            raise ChannelClosedError("the root does not answer as one")
        if assigned.version != messages.VERSION:
            raise UsageError("the root speaks another version of the protocol; update Pando")
        if work is not None and work.run_id != assigned.run:
            await self._drop_work()
            raise ChannelClosedError("another run has begun")
        if work is None:
            work = await self._start_work(channel, assigned, nursery)
        await channel.send(messages.Ready(work.port, work.addresses))
        self._state = "joining"
        return await self._join(work, channel, assigned)

    async def _start_work(
        self, channel: Channel, assigned: messages.Assigned, nursery: trio.Nursery
    ) -> _Work:
        try:
            work = _Work(assigned, self._name, self._workers, self._make_pool)
            await work.prepare(install=self._options.install, say=self._say)
            await nursery.start(work.run)
        except FunctionError as problem:
            await channel.send(messages.Refused(str(problem)))
            raise
        self._work = work
        self._said = ""
        self._say(f"computing {work.name} for {self._invitation.address}")
        return work

    async def _drop_work(self) -> None:
        if self._work is not None:
            self._results_before += self._work.results
            await self._work.end()
            self._work = None

    async def _join(self, work: _Work, root: Channel, assigned: messages.Assigned) -> bool:
        """Take the place that the root gives, there or below."""
        while True:
            answer = await root.receive()
            if isinstance(answer, messages.Welcome):
                return await self._compute(work, root, answer.parent, assigned)
            if isinstance(answer, messages.Ended):
                return True
            if isinstance(answer, messages.Delegated):
                ended = await self._join_below(work, root, answer, assigned)
                if ended is not None:
                    return ended

    async def _join_below(
        self,
        work: _Work,
        root: Channel,
        place: messages.Delegated,
        assigned: messages.Assigned,
    ) -> bool | None:
        """Connect to a parent below the root, and compute; None where it cannot be reached."""
        why = "it has no address"
        for address in place.addresses[:8]:
            joined = False
            try:
                async with websocket.connect(address) as channel:
                    with trio.fail_after(CONNECT_PARENT_SECONDS):
                        await channel.send(work.hello(place.ticket, self._name))
                        answer = await channel.receive()
                    if not isinstance(answer, messages.Welcome):
                        why = answer.reason if isinstance(answer, messages.Denied) else "no welcome"
                        continue
                    await root.send(messages.Joined())
                    joined = True
                    await root.aclose()
                    return await self._compute(work, channel, answer.parent, assigned)
            except (ChannelClosedError, trio.TooSlowError) as problem:
                if joined:
                    return False
                why = str(problem) or "it does not answer"
        await root.send(messages.Unreachable(why))
        return None

    async def _compute(
        self, work: _Work, channel: Channel, parent: bytes, assigned: messages.Assigned
    ) -> bool:
        self._state = "computing"
        self._pause = FIRST_PAUSE_SECONDS
        link = Link(channel, silence=assigned.silence)
        try:
            return await work.compute_for(link, parent)
        finally:
            self._state = "joining"


class _Work:
    """What a volunteer has for one run: workers, children, and a parent now and then."""

    def __init__(
        self, assigned: messages.Assigned, device: str, workers: int, make_pool: MakePool
    ) -> None:
        self.run_id = assigned.run
        self.name = tidy_name(assigned.name)
        self.identifier = assigned.node
        self.port = 0
        self.addresses: list[str] = []
        self.results = 0
        self.node = Node(RawCodec(), batch_limit=assigned.batch_limit)
        self._assigned = assigned
        self._device = device
        self._workers = workers
        self._make_pool = make_pool
        self._parent: _ParentLink | None = None
        self._scope = trio.CancelScope()
        self._gone = trio.Event()
        self._failure: Exception | None = None
        self._loaded = trio.Event()
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
        self._pool = self._make_pool(
            self._assigned.function,
            self._workers,
            self._serve_worker,
            timeout=self._assigned.timeout,
            environment=environment,
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
        nursery.start_soon(Door(Guard(), self.membership.welcome).run, listeners)

    async def _serve_worker(self, channel: Channel, name: str) -> None:
        self._loaded.set()
        await self.node.serve(channel, name)

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._loaded.set()

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

    async def leave(self) -> None:
        """Give back what has not been started, and deliver what is finished."""
        if self._parent is not None:
            await self._parent.leave()

    async def compute_for(self, link: Link, parent: bytes) -> bool:
        """Be the child of whoever is at the other end, until it is lost.

        Returns whether the run is over.
        """
        self._parent = _ParentLink(
            self, link, parent, self._device, self._assigned.reporting_interval
        )
        try:
            return await self._parent.run()
        finally:
            self.results += self._parent.delivered
            self._parent = None

    def status(self, parent: bytes) -> messages.Status:
        """This node's figures, and those of all below it."""
        own = messages.NodeStatus(
            self.identifier,
            parent,
            self._device,
            self._workers,
            len(self.membership.children),
            self.node.results,
            self.node.seconds,
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

    def workers_changed(self) -> None:
        """Tell the parent how many workers compute here and below."""
        if self._parent is not None:
            self._parent.post_want()


class _ParentLink:
    """A stay below one parent: its items come in, results go out."""

    def __init__(
        self, work: _Work, link: Link, parent: bytes, device: str, reporting_interval: float
    ) -> None:
        self.delivered = 0
        self._parent = parent
        self._work = work
        self._node = work.node
        self._link = link
        self._reporting_interval = reporting_interval
        self._uplink = Uplink(device)
        lender = self._node.new_lender(ordered=False, max_strikes=1)
        self._stream = Stream(self._uplink, lender, Window(limit=2**62))
        self._stream.withdrawn = self._given_back
        self._outbox: list[messages.Message] = []
        self._posted = trio.Event()
        self._progressed = trio.Event()
        self._wanted = 0
        self._left = False
        self._run_is_over = False

    async def run(self) -> bool:
        self._node.open_stream(self._stream)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._link.run)
                nursery.start_soon(self._write)
                nursery.start_soon(self._pass_results_up)
                nursery.start_soon(self._report)
                self.post_want()
                await self._read(nursery)
                nursery.cancel_scope.cancel()
        finally:
            self._node.close_stream(self._stream)
        return self._run_is_over

    def post(self, message: messages.Message) -> None:
        """Have a message sent to the parent."""
        self._outbox.append(message)
        self._posted.set()

    def post_want(self) -> None:
        """Tell the parent how many workers compute here and below, where that has changed."""
        if self._node.workers != self._wanted:
            self._wanted = self._node.workers
            self.post(messages.Want(self._wanted))

    async def leave(self) -> None:
        """Give back what has not been started, wait a moment for what is running, say goodbye."""
        self._left = True
        self._node.withdraw(0, 2**62)
        while self._stream.lender.lent:
            self._progressed = trio.Event()
            await self._progressed.wait()
        self.post(messages.Leaving())
        while self._outbox:
            self._progressed = trio.Event()
            await self._progressed.wait()

    async def _read(self, nursery: trio.Nursery) -> None:
        try:
            while True:
                self._handle(await self._link.receive(), nursery)
                if self._run_is_over:
                    return
        except ChannelClosedError:
            return
        except PandoError:
            self._node.violations["parent"] += 1
            return

    def _handle(self, message: messages.Message, nursery: trio.Nursery) -> None:
        match message:
            case messages.Lend():
                self._uplink.add(message)
                self._node.input_has_news(self._stream)
                if self._left:
                    self._recall(messages.Recall(message.lease))
            case messages.Recall():
                self._recall(message)
            case messages.Join(origin):
                nursery.start_soon(self._offer_place, origin)
            case messages.Ended():
                self._run_is_over = True
            case _:
                raise PandoError(f"unexpected message {type(message).__name__}")

    def _recall(self, message: messages.Recall) -> None:
        for answer in self._uplink.recall(message, self._node.withdraw):
            self.post(answer)

    def _given_back(self, start: int, count: int) -> None:
        answer = self._uplink.give_back(start, count)
        if answer is not None:
            self.post(answer)
        self._progressed.set()

    async def _offer_place(self, origin: bytes) -> None:
        self.post(await self._work.membership.offer_place(origin))

    async def _pass_results_up(self) -> None:
        try:
            while True:
                run = await self._node.next_results(self._stream)
                self.delivered += len(run.values)
                for answer in self._uplink.answer(run, self._node.item_seconds):
                    self.post(answer)
                self._progressed.set()
        except (EndOfInput, trio.ClosedResourceError):
            return

    async def _report(self) -> None:
        while True:
            await trio.sleep(self._reporting_interval)
            self.post_want()
            self.post(self._work.status(self._parent))

    async def _write(self) -> None:
        try:
            while True:
                await self._posted.wait()
                self._posted = trio.Event()
                while self._outbox:
                    message = self._outbox[0]
                    await self._link.send(message)
                    del self._outbox[0]
                self._progressed.set()
        except ChannelClosedError:
            return  # the reading task notices, too


def volunteer(
    link: str,
    *,
    workers: int | None = None,
    name: str | None = None,
    install: bool = False,
    say: Say = lambda text: None,
) -> None:
    """Compute for the run behind a link, and for those that follow it there, until interrupted.

    In a Trio program run `Volunteer` instead.

    Args:
        link: what the root has printed, such as ``http://192.168.1.7:5000/#token``.
        workers: processes that compute; one for each core by default.
        name: what the device is called on the root's pages.
        install: whether what the function needs may be installed, into a place of its own.
        say: told, in sentences, what the person at the device should know.

    Raises:
        FunctionError: the function cannot run here; the message says what is missing.
        UsageError: the link is wrong, or the root does not let this device in.
    """
    trio.run(Volunteer(link, VolunteerOptions(workers, name, install), say).run)
