"""One use of the `pando-server` command: from its arguments to its exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import PandoError, UsageError
from ..limits import PORT
from .last_options import answer
from .output import say, write_all
from .parser import Parser

if TYPE_CHECKING:
    from ..server.options import ServerOptions
    from ..server.secret_store import ServerSecret
    from ..server.serving import Server
    from .signals import Signals

DONE, FAILED, WRONG_USE = 0, 1, 2
DESCRIPTION = """\
Connect runs with volunteers anywhere, by links of this server.

A run registers by `pando MODULE --host=HOST --secret=S`. Its volunteers open the link that
it prints. What they say to each other is passed on encrypted."""
EPILOG = """\
PORT and PANDO_SECRET in the environment stand for --port and --secret. Without a secret
one is made, printed once, and kept.

At the first Ctrl-C or SIGTERM it tells everybody to come back, and ends.
Exit status: 0 it has ended in order, 1 it cannot serve, 2 usage error."""


def make_parser() -> Parser:
    """The command's parser; what is not given is not in the namespace."""
    parser = Parser(
        prog="pando-server",
        usage="pando-server [OPTIONS]",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    group = parser.add_argument_group("Options")
    group.add_argument(
        "--port", metavar="PORT", help=f"port to listen on (default: PORT, else {PORT})"
    )
    group.add_argument("--listen", metavar="ADDRESS", help="listen on this address only")
    group.add_argument(
        "--secret",
        metavar="S",
        help="secret that runs must know, of at least 12 characters; better in PANDO_SECRET, "
        "since ps shows this one to every user",
    )
    group.add_argument(
        "--public-url", metavar="U", help="address of this server as others reach it"
    )
    group.add_argument("--certfile", metavar="F", help="serve https with this certificate")
    group.add_argument("--keyfile", metavar="F", help="private key of the certificate")
    group.add_argument(
        "--data", metavar="DIR", help="folder that keeps the secret (default: ~/.pando)"
    )
    group.add_argument(
        "--behind-proxy",
        metavar="NETWORK",
        action="append",
        help="believe X-Forwarded-For from this address or network, such as 10.0.0.0/8",
    )
    group.add_argument(
        "--stun-port",
        metavar="PORT",
        help="UDP port on which devices learn their public addresses (default: the number of "
        "--port; 0: none)",
    )
    group.add_argument(
        "--log-addresses", action="store_true", help="name the addresses of runs in the log"
    )
    parser.add_last_options(group)
    return parser


def run_command(arguments: list[str], signals: Signals) -> int:
    """Run the command and return its exit status."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - it stays open
    try:
        parsed = _parse(arguments)
        if isinstance(parsed, str):
            write_all(1, parsed.encode())
        else:
            _serve(parsed, signals)
        return DONE
    except UsageError as error:
        _say(str(error))
        return WRONG_USE
    except PandoError as error:
        _say(str(error))
        return FAILED


def _parse(arguments: list[str]) -> argparse.Namespace | str:
    """The options, or a text to show instead."""
    parser = make_parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        if not unknown[0].startswith("-"):
            parser.error(f"it takes no arguments but options, and here is {unknown[0]!r}")
        parser.refuse(unknown[0])
    return answer(parser, options) or options


def read_options(
    parsed: argparse.Namespace, environment: Mapping[str, str]
) -> tuple[ServerOptions, ServerSecret]:
    """What the options and the environment say.

    Raises:
        UsageError: something is wrong in them.
    """
    from ..server.options import ServerOptions
    from ..server.policy import parse_networks
    from ..server.secret_store import find_secret

    given = vars(parsed)
    name = "--port" if "port" in given else "PORT"
    port = _read_port(name, given.get("port", environment.get("PORT") or str(PORT)))
    data = Path(given["data"]) if "data" in given else Path("~/.pando")
    with suppress(RuntimeError):  # no home: nothing is kept then
        data = data.expanduser()
    secret = find_secret(given.get("secret", environment.get("PANDO_SECRET") or None), data)
    options = ServerOptions(
        port=port,
        listen=given.get("listen"),
        secret=secret.text,
        public_url=given.get("public_url", "").rstrip("/"),
        certfile=given.get("certfile"),
        keyfile=given.get("keyfile"),
        proxies=parse_networks(given.get("behind_proxy", [])),
        log_addresses="log_addresses" in given,
        stun_port=_read_port("--stun-port", given["stun_port"]) if "stun_port" in given else None,
    )
    return options, secret


def _read_port(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise UsageError(f"{name} must be a port number, 0 to 65535, not {text!r}")
    return int(text)


def _serve(parsed: argparse.Namespace, signals: Signals) -> None:
    import trio

    from ..server.serving import Server
    from .error_stream import background_stderr

    options, secret = read_options(parsed, os.environ)
    server = Server(options, _say)
    with background_stderr(signals):
        trio.run(_run, server, options, secret, signals, strict_exception_groups=True)


async def _run(
    server: Server, options: ServerOptions, secret: ServerSecret, signals: Signals
) -> None:
    import trio

    error: PandoError | None = None
    token = trio.lowlevel.current_trio_token()

    def end() -> None:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(server.close)

    with signals.ending_with(end):
        async with trio.open_nursery() as nursery:
            try:
                await nursery.start(server.run)
            except PandoError as problem:
                error = problem
            else:
                for line in describe(server.port, options, secret):
                    _say(line)
                if options.stun_port and not server.stun_port:
                    _say(
                        f"no STUN is answered: UDP port {options.stun_port} cannot be used, or "
                        "aioice is not installed"
                    )
    if error is not None:
        raise error


def describe(port: int, options: ServerOptions, secret: ServerSecret) -> list[str]:
    """What is said when the server listens."""
    scheme = "http" if options.certfile is None else "https"
    where = options.public_url or f"{scheme}://{options.listen or 'localhost'}:{port}"
    lines = [f"serving at {where}"]
    if secret.is_new:
        kept = f"kept in {secret.kept_in}" if secret.kept_in else "not kept: it cannot be written"
        lines.append(f"the secret for runs is {secret.text} ({kept})")
        lines.append(f"register a run by: pando MODULE --host={where} --secret={secret.text}")
    elif secret.text is None:
        lines.append(
            "INSECURE-SECRET protects nothing: only runs of this user on this machine are taken"
        )
    elif secret.kept_in is not None:
        lines.append(f"the secret for runs is in {secret.kept_in}")
    return lines


def _say(text: str) -> None:
    say(text, "pando-server")
