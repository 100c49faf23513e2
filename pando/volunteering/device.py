"""A device that volunteers: it connects, takes its place in the tree, and comes back."""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
import trio

from .. import messages
from ..channel import Channel, ChannelClosedError
from ..errors import FunctionError, UsageError, WorkerError, cut
from ..functions.fingerprint import own_fingerprint, versions_of
from ..functions.package import ExactPackage, language_of
from ..net import websocket
from ..net.keepalive import Link
from ..requirements import find_missing
from ..tree.membership import tidy_name
from ..worker.pool import MakePool, WorkerPool, count_cores
from .invitation import Invitation
from .work import Say, Work

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 15.0
"""Pauses between two tries to connect grow to this; half of each is left to chance."""
LOST_RUN_SECONDS = 30.0
"""How long a run whose root cannot be reached is waited for, before its workers are ended."""
LEAVE_SECONDS = 1.0
"""How long leaving in order may take: what is finished is delivered first."""
ANSWER_SECONDS = 120.0
"""How long the root may take to answer, be it with the function or with a place."""
CONNECT_PARENT_SECONDS = 5.0
"""How long connecting to one address of a parent may take."""


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
        self._work: Work | None = None
        self._results_before = 0
        self._pause = FIRST_PAUSE_SECONDS
        self._last_in_tree = 0.0
        self._said = ""

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
        WorkerError: workers keep ending here.
        """
        error: Exception | None = None
        async with trio.open_nursery() as nursery:
            try:
                await self._take_part_for_ever(nursery)
            except (FunctionError, UsageError, WorkerError) as problem:
                error = problem
            nursery.cancel_scope.cancel()
        if error is not None:
            raise error

    async def leave(self) -> None:
        """Leave in order: deliver what is finished, give back the rest."""
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
            except (ChannelClosedError, messages.MalformedMessageError) as problem:
                ended = self._work is not None and self._has_been_alone_for_long()
                self._say_once(f"{problem}; trying again")
            if ended:
                await self._drop_work()
                if not self._options.stay:
                    return
                self._say_once("the run is over; waiting for the next one")
            await trio.sleep(self._pause * random.uniform(0.5, 1))
            self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)

    def _has_been_alone_for_long(self) -> bool:
        return trio.current_time() - self._last_in_tree > LOST_RUN_SECONDS

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
                fingerprint=own_fingerprint(),
            )
        )
        assigned = await _answer(channel)
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
            function = assigned.function or await _receive_parts(channel, assigned.parts)
            assigned = msgspec.structs.replace(assigned, function=function)
            work = await self._start_work(channel, assigned, nursery)
        await channel.send(messages.Ready(work.port, work.addresses))
        self._state = "joining"
        return await self._join(work, channel, assigned)

    async def _start_work(
        self, channel: Channel, assigned: messages.Assigned, nursery: trio.Nursery
    ) -> Work:
        is_exact = language_of(assigned.function) == ExactPackage.tag
        if is_exact and not await self._can_load_exactly(assigned):
            assigned = await _ask_portable(channel, assigned, "")
            is_exact = False
        try:
            try:
                work = await self._load(assigned, nursery)
            except FunctionError as problem:
                if not is_exact:
                    raise
                assigned = await _ask_portable(channel, assigned, str(problem))
                work = await self._load(assigned, nursery)
        except FunctionError as problem:
            await channel.send(messages.Refused(str(problem)))
            raise
        self._work = work
        self._last_in_tree = trio.current_time()
        self._said = ""
        self._say(f"computing {work.name} for {self._invitation.address}")
        return work

    async def _load(self, assigned: messages.Assigned, nursery: trio.Nursery) -> Work:
        work = Work(assigned, self._name, self._workers, self._make_pool)
        await work.prepare(install=self._options.install, say=self._say)
        await nursery.start(work.run)
        return work

    async def _can_load_exactly(self, assigned: messages.Assigned) -> bool:
        """Whether workers of this very Python have all that the exact form refers to."""
        if find_missing(assigned.requirements):
            return False  # they would compute in an environment of their own
        there = await trio.to_thread.run_sync(versions_of, assigned.versions)
        return there == assigned.versions

    async def _drop_work(self) -> None:
        if self._work is not None:
            self._results_before += self._work.results
            await self._work.end()
            self._work = None

    async def _join(self, work: Work, root: Channel, assigned: messages.Assigned) -> bool:
        """Take the place that the root gives, there or below."""
        while True:
            answer = await _answer(root)
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
        work: Work,
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
        self, work: Work, channel: Channel, parent: bytes, assigned: messages.Assigned
    ) -> bool:
        self._state = "computing"
        self._pause = FIRST_PAUSE_SECONDS
        link = Link(channel, silence=assigned.silence)
        try:
            ended = await work.compute_for(link, parent)
            work.check()
            return ended
        finally:
            self._state = "joining"
            self._last_in_tree = trio.current_time()


async def _receive_parts(root: Channel, count: int) -> bytes:
    """A function that comes in parts."""
    parts: list[bytes] = []
    while len(parts) < count:
        part = await _answer(root)
        if not isinstance(part, messages.FunctionPart):
            raise ChannelClosedError("the root does not send the function")
        parts.append(part.data)
        if len(parts) * messages.PART_BYTES > messages.MAX_FUNCTION_BYTES + messages.PART_BYTES:
            raise ChannelClosedError("the function is too large")
    return b"".join(parts)


async def _ask_portable(
    root: Channel, assigned: messages.Assigned, reason: str
) -> messages.Assigned:
    """What the root has assigned, with the form of the function that everybody can have."""
    await root.send(messages.AskPortable(cut(reason)))
    answer = await _answer(root)
    if isinstance(answer, messages.Denied):
        raise UsageError(answer.reason)
    if not isinstance(answer, messages.Portable):
        raise ChannelClosedError("the root does not send the function")
    function = await _receive_parts(root, answer.parts)
    return msgspec.structs.replace(assigned, function=function)


async def _answer(root: Channel) -> messages.Message:
    """The root's answer; a link that is lost without a word must not be waited on for ever."""
    with trio.move_on_after(ANSWER_SECONDS):
        return await root.receive()
    raise ChannelClosedError("the root does not answer")
