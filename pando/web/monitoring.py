"""The routes of monitoring: the page, its live stream, JSON and Prometheus metrics."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Protocol

import msgspec
import trio
from quart import Response, request, websocket
from quart_trio import QuartTrio

from .. import __version__
from ..net.request_policy import LIVE_PATH
from ..reporting.metrics import CONTENT_TYPE, Scrapes
from . import frontend_files
from .frontend_files import TYPES
from .live import Monitored, WatchedServer, send_live

MAX_VIEWERS = 64
Node = Annotated[str, msgspec.Meta(pattern=r"\A([0-9a-f]{2}){1,8}\Z")]
"""A device's identifier."""
TOKEN_SECONDS = 10.0
"""Maximum seconds until a viewer has sent its token."""
REFUSED, TOO_MANY, NO_RUN, MALFORMED = 4401, 4429, 4404, 4400
"""The codes with which live streams are closed."""


class SendAway(msgspec.Struct, tag_field="type", tag="send away"):
    """From a viewer: this device is to take no part in the run any more."""

    id: Node


class LetBack(msgspec.Struct, tag_field="type", tag="let back"):
    """From a viewer: this device may take part again."""

    id: Node


_commands: msgspec.json.Decoder[SendAway | LetBack] = msgspec.json.Decoder(SendAway | LetBack)


class ManagedRun(Monitored, Protocol):
    """A run from which devices can be sent away."""

    async def send_away(self, node: bytes) -> None:
        """Let a device take no part in the run any more."""

    def let_back(self, node: bytes) -> None:
        """Let a device take part again."""


class MonitoringAccess(WatchedServer, Protocol):
    """What the routes need of the server."""

    def monitored(self) -> Sequence[ManagedRun]:
        """Return the runs that can be looked at, the newest first."""

    def may_look(self, token: str) -> bool:
        """Return whether the current visitor may see what is known of the runs.

        Args:
            token: what they present; empty for nothing.
        """

    def may_manage(self, token: str) -> bool:
        """Return whether the current visitor may send devices away.

        Args:
            token: what they present; empty for nothing.
        """


def add_routes(app: QuartTrio, access: MonitoringAccess) -> None:
    """Add the routes of monitoring to the pages."""
    viewers = trio.Semaphore(MAX_VIEWERS)
    scrapes = Scrapes(__version__)

    @app.get("/monitoring")
    async def page() -> Response:
        return Response(frontend_files.read_text("monitoring.html"), content_type=TYPES[".html"])

    @app.get("/monitoring.json")
    async def as_json() -> Response:
        if not access.may_look(_bearer()):
            return _refusal()
        return Response(describe(access.monitored()), content_type=TYPES[".json"])

    @app.get("/metrics")
    async def metrics() -> Response:
        if not access.may_look(_bearer()):
            return _refusal()
        runs = access.monitored()
        if not runs:
            return Response("There is no run.\n", 503, content_type=TYPES[".txt"])
        runs[0].read()
        return Response(scrapes.render(runs[0].monitor), content_type=CONTENT_TYPE)

    @app.websocket(LIVE_PATH)
    async def live() -> None:
        await websocket.accept()
        token = ""
        with trio.move_on_after(TOKEN_SECONDS):
            token = str(await websocket.receive())
        if not access.may_look(token):
            await websocket.close(REFUSED)
            return
        runs = access.monitored()
        if not runs:
            await websocket.close(NO_RUN)
            return
        try:
            viewers.acquire_nowait()
        except trio.WouldBlock:
            await websocket.close(TOO_MANY)
            return
        try:
            with runs[0].viewing():
                may_manage = access.may_manage(token)
                if may_manage:
                    await websocket.send(json.dumps({"type": "rights", "maySendAway": True}))
                await _stream(runs[0], access.invitation(), may_manage=may_manage)
        finally:
            viewers.release()


async def _stream(run: ManagedRun, link: str, *, may_manage: bool) -> None:
    """Send what is known until the run is over or the viewer has gone."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_obey if may_manage else _read_on, run)
        await send_live(run, link, websocket.send)
        await websocket.close(1000)
        nursery.cancel_scope.cancel()


async def _read_on(run: ManagedRun) -> None:
    """Read, so that the end is noticed; viewers have nothing to say."""
    while True:
        await websocket.receive()


async def _obey(run: ManagedRun) -> None:
    """Do what a viewer asks for that may send devices away."""
    while True:
        try:
            command = _commands.decode(await websocket.receive())
        except msgspec.DecodeError:
            await websocket.close(MALFORMED)
            continue
        if isinstance(command, SendAway):
            await run.send_away(bytes.fromhex(command.id))
        else:
            run.let_back(bytes.fromhex(command.id))


def describe(runs: Sequence[Monitored]) -> bytes:
    """Return what is known of the newest run as JSON, with the devices of all runs."""
    shown = [run.read() for run in runs]
    if not shown:
        return b'{"root": {}, "volunteers": {}}\n'
    if len(shown) == 1:
        return bytes(shown[0].to_json()) + b"\n"
    objects = [one.to_builtins() for one in shown]
    volunteers = {key: value for one in objects for key, value in one["volunteers"].items()}
    roots = [one["root"] for one in objects]
    return json.dumps({"root": roots[0], "volunteers": volunteers, "runs": roots}).encode() + b"\n"


def _bearer() -> str:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _refusal() -> Response:
    return Response(
        "Monitoring needs its token: see the link that the run has printed.\n",
        401,
        headers={"WWW-Authenticate": "Bearer"},
        content_type=TYPES[".txt"],
    )
