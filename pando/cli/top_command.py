"""The `pando-top` command: watch a run in a terminal, from its arguments to its exit status."""

from __future__ import annotations

import argparse
import json
import os
import re
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..errors import PandoError, UsageError
from ..limits import PORT
from .last_options import answer
from .output import say, write_all
from .parser import Parser
from .watched_run import WatchedRun

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

    from .signals import Signals

DONE, UNREACHABLE, USAGE_ERROR = 0, 1, 2
LIVE_PATH = "/monitoring/live"
REFUSED, TOO_MANY, NO_RUN, OVER = 4401, 4429, 4404, 1000
RECONNECT_SECONDS = 2.0
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
DESCRIPTION = """\
Watch a run: its devices, their throughput, and what happens, until Ctrl-C.

If standard output is not a terminal, the current state is printed once."""
EPILOG = """\
LINK is the monitoring link that the run prints; on the same machine the address
is enough, such as localhost:5000. `-` reads it from standard input; without
LINK it comes from the environment variable PANDO_LINK.

Exit status: 0 done, 1 the run cannot be reached, 2 usage error."""


def make_parser() -> Parser:
    """Return the parser."""
    parser = Parser(
        prog="pando-top",
        usage="pando-top LINK [OPTIONS]\n       pando-top - [OPTIONS] < FILE",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("links", metavar="LINK", nargs="*", help="monitoring link")
    group = parser.add_argument_group("Options")
    group.add_argument(
        "--cafile", metavar="FILE", help="trust the certificate authorities in FILE as well"
    )
    parser.add_last_options(group)
    return parser


def run_command(arguments: list[str], signals: Signals) -> int:
    """Run the command and return its exit status."""
    try:
        parser = make_parser()
        options, unknown = parser.parse_known_intermixed_args(arguments)
        if unknown:
            parser.refuse(unknown[0])
        if (text := answer(parser, options)) is not None:
            write_all(1, text.encode())
            return DONE
        url, token = parse_link(_read_link(options))
        with signals.raising_interrupt():
            watch(url, token, getattr(options, "cafile", None))
        return DONE
    except UsageError as error:
        say(str(error))
        return USAGE_ERROR
    except PandoError as error:
        say(str(error))
        return UNREACHABLE


def _read_link(options: argparse.Namespace) -> str:
    links: list[str] = getattr(options, "links", [])
    if len(links) > 1:
        raise UsageError("one link, please")
    link = links[0] if links else os.environ.get("PANDO_LINK", "")
    if link == "-":
        link = sys.stdin.readline() if sys.stdin else ""
    if not link.strip():
        raise UsageError("no link: pass the monitoring link that the run has printed")
    return link.strip()


def parse_link(link: str) -> tuple[str, str]:
    """Return the URL of the live stream, and the token.

    Raises:
        UsageError: it is no link.
    """
    if "://" not in link:
        link = f"http://{link}"
    try:
        parts = urlsplit(link)
        port = parts.port
    except ValueError:
        raise UsageError(f"{link} is not a link") from None
    schemes = {"http": "ws", "https": "wss"}
    if parts.scheme not in schemes or not parts.hostname:
        raise UsageError(f"{link} is not a link such as http://localhost:{PORT}/monitoring#TOKEN")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if port is None and parts.scheme == "http" and not parts.path.strip("/"):
        port = PORT
    path = parts.path.rstrip("/").removesuffix("/monitoring")
    if re.fullmatch("/r/[A-Za-z0-9_-]{22}", path):
        raise UsageError(
            "pando-top does not watch through a public server: open this link in a browser, or let "
            "the run serve on its own machine as well, by --port"
        )
    address = host if port is None else f"{host}:{port}"
    return f"{schemes[parts.scheme]}://{address}{path}{LIVE_PATH}", parts.fragment


def watch(url: str, token: str, cafile: str | None) -> None:
    """Show a run until it is over, or the user ends the command.

    Raises:
        UsageError: the token is not good.
        PandoError: the run cannot be reached.
    """
    from rich.console import Console
    from rich.live import Live

    console = Console()
    run = WatchedRun()
    if not console.is_terminal:
        with _connect(url, token, cafile) as connection:
            while not run.is_known:
                run.take(json.loads(connection.recv()))
        console.print(run.render(console.width, console.height, whole=True))
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while not run.is_over:
            try:
                with _connect(url, token, cafile) as connection:
                    for text in connection:
                        run.take(json.loads(text))
                        if run.is_known:
                            live.update(run.render(console.width, console.height), refresh=True)
            except UsageError:
                raise
            except PandoError as error:
                if not run.is_known:
                    raise
                run.problem = str(error)
            if not run.is_over:
                run.problem = run.problem or "the root has gone"
                live.update(run.render(console.width, console.height), refresh=True)
                time.sleep(RECONNECT_SECONDS)
    console.print(run.render(console.width, console.height, whole=True))


@contextmanager
def _connect(url: str, token: str, cafile: str | None) -> Iterator[ClientConnection]:
    from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
    from websockets.sync.client import connect

    context: Any = None
    if url.startswith("wss:"):
        try:
            context = ssl.create_default_context(cafile=cafile)
        except OSError as error:
            raise UsageError(f"{cafile}: {error}") from None
    try:
        with connect(
            url, ssl=context, proxy=None, compression=None, max_size=MAX_MESSAGE_BYTES
        ) as connection:
            connection.send(token)
            yield connection
    except ConnectionClosed as closed:
        code = closed.rcvd.code if closed.rcvd else 0
        if code == REFUSED:
            raise UsageError(
                "this link does not open the monitoring: use the one that the run has printed, "
                "with its part after #"
            ) from None
        reasons = {
            TOO_MANY: "too many watch this run; try again later",
            NO_RUN: "there is no run there",
        }
        if code != OVER:
            raise PandoError(reasons.get(code, "the root has gone")) from None
    except (OSError, InvalidHandshake, InvalidURI) as error:
        raise PandoError(f"{urlsplit(url).netloc} cannot be watched: {error}") from None
