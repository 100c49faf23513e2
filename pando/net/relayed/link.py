"""The root's side of a control link: it connects, proves, and comes back when the link is lost."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import h11
import trio
import trio_websocket
from wsproto.utilities import ProtocolError

from ...channel import ChannelClosedError
from ...errors import ServerError, one_line
from ..prefixed_stream import PrefixedStream
from ..tls import client_context
from ..websocket import open_stream
from . import frames, proof
from .connection import Connection, Serve, get_bytes
from .proof import ProofError, RoomKey, RootProof
from .server_address import ServerAddress

logger = logging.getLogger(__name__)

CONTROL_PATH = "/control"
OPEN_SECONDS = 10.0
"""How long connecting and proving may take."""
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.2, 3.0
"""Pauses between tries to come back; each is twice the last one, and varies by a half."""
RECEIVE_BYTES = 256 * 1024
MAX_QUEUED_MESSAGES = 16
NOT_A_SERVER = (
    trio_websocket.HandshakeError,
    ProtocolError,
    h11.ProtocolError,
    ChannelClosedError,
)
"""What is raised where the other end opens no WebSocket."""


class RelayLink:
    """A run's link to a server.

    Args:
        server: where it is.
        key: that of the run's room.
        serve: given the channel of each node that comes, what it comes for, and the address that
            the server tells; runs until the node has left.
        secret: the server's, if there is one.
        say: told what the person who runs the root should know.
        cafile: certificates of authorities to believe besides the system's.

    Attributes:
        url: where the server is reached, as far as it knows; known once it is connected.
        stun_port: the UDP port on which the server answers STUN; 0 where it does not.
        is_connected: whether the link is there now.
    """

    def __init__(
        self,
        server: ServerAddress,
        key: RoomKey,
        serve: Serve,
        *,
        secret: str | None = None,
        say: Callable[[str], None] = lambda text: None,
        cafile: str | None = None,
    ) -> None:
        self.url = server.url
        self.is_connected = False
        self.stun_port = 0
        self._server = server
        self._key = key
        self._serve = serve
        self._secret = None if secret is None else proof.check_secret(secret)
        self._say = say
        self._tls = client_context(cafile, "") if server.tls else None
        self._salted: tuple[bytes, bytes] | None = None
        self._connection: Connection | None = None
        self._said = ""
        self._is_finished = False

    @property
    def link(self) -> str:
        """The beginning of the run's link, up to its ``#``."""
        return f"{self.url}/r/{self._key.room}"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be registered at the server until cancelled, or until `finish`.

        Raises:
            ServerError: the first try fails. Later ones are made again and again.
        """
        pause, is_first = FIRST_PAUSE_SECONDS, True
        failure: ServerError | None = None
        async with trio.open_nursery() as nodes:
            while not self._is_finished:
                wait = 0.0
                try:
                    async with self._connect() as connection:
                        if is_first:
                            task_status.started()
                        elif self._said:
                            self._tell("the server is back")
                            self._said = ""
                        pause, is_first = FIRST_PAUSE_SECONDS, False
                        logger.debug("%r is open", self)
                        wait = await connection.relay(nodes)
                    reason = connection.farewell or "the link to the server is lost"
                    if not self._is_finished:
                        logger.info("%r is lost: %s", self, one_line(reason))
                    self._tell_once(reason)
                except ServerError as error:
                    logger.debug("%r cannot be opened: %s", self, one_line(str(error)))
                    if is_first:
                        failure = error
                        break
                    self._tell_once(str(error))
                if not self._is_finished:
                    jitter = 0.5 + secrets.randbelow(1000) / 1000
                    await trio.sleep(max(wait, pause * jitter))
                    pause = min(2 * pause, LAST_PAUSE_SECONDS)
        if failure is not None:
            raise failure

    def __repr__(self) -> str:
        return f"<RelayLink to {self._server.address}>"

    async def finish(self) -> None:
        """Say that the run is over, and end the link."""
        self._is_finished = True
        if self._connection is not None:
            await self._connection.finish()

    def _tell(self, sentence: str) -> None:
        self._say(f"{self._server.address}: {sentence}")

    def _tell_once(self, sentence: str) -> None:
        """Tell why the link is not there, unless that has been told."""
        if sentence != self._said and not self._is_finished:
            self._said = sentence
            self._tell(sentence)

    # ---- opening ----

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[Connection]:
        """A link on which the room is open."""
        where = self._server.address
        try:
            with trio.move_on_after(OPEN_SECONDS) as deadline:
                stream = _WatchedStream(await open_stream(where, self._tls))
            if deadline.cancelled_caught:
                raise ServerError(f"{where} does not answer")
        except ChannelClosedError as error:
            raise ServerError(str(error)) from None
        failure: ServerError | None = None
        try:
            async with trio.open_nursery() as nursery:
                try:
                    with trio.move_on_after(OPEN_SECONDS) as deadline:
                        socket = await self._open_websocket(nursery, stream)
                        await self._prove(socket)
                    if deadline.cancelled_caught:
                        raise ServerError(f"{where} does not answer as a pando-server does")
                    self._connection = Connection(socket, stream, self._serve, self._tell)
                    self.is_connected = True
                    yield self._connection
                except (ProofError, trio_websocket.ConnectionClosed) as error:
                    text = str(error) if isinstance(error, ProofError) else "it hung up"
                    failure = ServerError(f"{where}: {one_line(text)}")
                except ServerError as error:
                    failure = error
                finally:
                    self._connection = None
                    self.is_connected = False
                nursery.cancel_scope.cancel()
        except* NOT_A_SERVER as group:
            failure = ServerError(f"{where} is not a pando-server{_describe(group)}")
        finally:
            await trio.aclose_forcefully(stream)
        if failure is not None:
            raise failure

    async def _open_websocket(
        self, nursery: trio.Nursery, stream: _WatchedStream
    ) -> trio_websocket.WebSocketConnection:
        async with trio.open_nursery() as watching:
            watching.start_soon(stream.watch)
            socket = await trio_websocket.wrap_client_stream(
                nursery,
                stream,  # type: ignore[arg-type]  # any stream will do
                self._server.address,
                CONTROL_PATH,
                message_queue_size=MAX_QUEUED_MESSAGES,
                max_message_size=frames.MAX_MESSAGE_BYTES,
                receive_buffer_size=RECEIVE_BYTES,
            )
            watching.cancel_scope.cancel()
        return socket

    async def _prove(self, socket: trio_websocket.WebSocketConnection) -> None:
        root = RootProof(
            self._key,
            await get_bytes(socket),
            may_be_open=self._server.is_this_machine,
        )
        mac_key = None
        if self._secret is not None and root.needs_secret:
            if self._salted is None or self._salted[0] != root.salt:
                derived = await trio.to_thread.run_sync(
                    proof.derive_key, self._secret, root.salt, abandon_on_cancel=True
                )
                self._salted = root.salt, derived
            mac_key = self._salted[1]
        await socket.send_message(root.request(mac_key))
        url, self.stun_port = root.check(await get_bytes(socket))
        self.url = url.rstrip("/") or self._server.url


class _WatchedStream(PrefixedStream):
    """A stream that tells when it ends, which `trio-websocket` does not while it opens."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        super().__init__(stream)
        self._ended = trio.Event()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = await super().receive_some(max_bytes)
        if not data:
            self._ended.set()
        return data

    async def aclose(self) -> None:
        self._ended.set()
        await super().aclose()

    async def watch(self) -> None:
        """Wait for the end.

        Raises:
            ChannelClosedError: that is it.
        """
        await self._ended.wait()
        raise ChannelClosedError("it hung up")


def _describe(group: BaseExceptionGroup[BaseException]) -> str:
    """What is known of why a WebSocket was not opened."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, trio_websocket.ConnectionRejected):
        body = one_line(bytes(error.body or b"").decode(errors="replace"))
        return f": it answers {error.status_code}{f', {body}' if body else ''}"
    return f": {one_line(str(error))}"
