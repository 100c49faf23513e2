"""Start the session of a run: load its function, in the form that suits this Python.

The root sends the exact form to a Python that equals its own. It cannot know which versions of
packages are installed here, so these cases are left:

- A requirement is not installed, so that workers run in an environment of their own, or a package
  has another version than at the root: the exact form is not tried. Ask for the portable one.
- The exact form is tried and fails: ask for the portable one, and say why.
- The portable form fails, or there is none: the function cannot run here. Tell the root.
"""

from __future__ import annotations

import trio

from .. import messages
from ..errors import FunctionError
from ..functions.fingerprint import versions_of
from ..functions.package import ExactPackage, language_of
from ..net.keepalive import KeepaliveChannel
from ..net.trust.identity import NodeIdentity
from ..net.webrtc.availability import choose_protocol
from ..notifier import Notifier
from ..requirements import find_missing
from ..worker.pool import MakePool
from .report_link import Connect
from .root_replies import ask_portable
from .session import Session


class SessionStarter:
    """Starts the sessions of one device.

    Args:
        name: the name of the device.
        workers: the number of workers.
        identity: what the device proves itself with.
        connect: connects to the root once more, for the report link.
        install: whether to install missing requirements.
        max_value: bytes of the largest item that is taken.
        say: takes sentences for the person at the device.
        make_pool: creates the pool of workers.
        protocol: how to connect to other nodes; None for what the run says.
    """

    def __init__(
        self,
        name: str,
        workers: int,
        identity: NodeIdentity,
        connect: Connect,
        *,
        install: bool,
        max_value: int,
        say: Notifier,
        make_pool: MakePool,
        protocol: str | None = None,
    ) -> None:
        self._protocol = protocol
        self._name = name
        self._workers = workers
        self._identity = identity
        self._connect = connect
        self._install = install
        self._max_value = max_value
        self._say = say
        self._make_pool = make_pool

    async def start(
        self, root: KeepaliveChannel, assigned: messages.RunInfo, nursery: trio.Nursery
    ) -> Session:
        """Start a session, whose workers have loaded the function, in `nursery`.

        Raises:
            ChannelClosedError: the root is lost.
            FunctionError: the function cannot run here, which the root has been told.
            UsageError: the function has no portable form.
        """
        is_exact = language_of(assigned.function) == ExactPackage.tag
        if is_exact and not await _can_load_exactly(assigned):
            assigned = await ask_portable(root, assigned, "")
            is_exact = False
        try:
            try:
                return await self._load(assigned, nursery)
            except FunctionError as problem:
                if not is_exact:
                    raise
                assigned = await ask_portable(root, assigned, str(problem))
                return await self._load(assigned, nursery)
        except FunctionError as problem:
            await root.send(messages.LoadFailed(str(problem)))
            raise

    async def _load(self, assigned: messages.RunInfo, nursery: trio.Nursery) -> Session:
        session = Session(
            assigned,
            self._name,
            self._workers,
            self._make_pool,
            self._identity,
            self._connect,
            self._max_value,
            choose_protocol(self._protocol, assigned.protocol),
        )
        await session.prepare(install=self._install, say=self._say)
        await nursery.start(session.run)
        return session


async def _can_load_exactly(assigned: messages.RunInfo) -> bool:
    """Check whether workers of this Python have everything that the exact form refers to."""
    if await trio.to_thread.run_sync(find_missing, assigned.requirements, abandon_on_cancel=True):
        return False  # workers would run in a dedicated environment
    versions = await trio.to_thread.run_sync(versions_of, assigned.versions)
    return versions == assigned.versions
