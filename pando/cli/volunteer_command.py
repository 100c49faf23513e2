"""The `pando-volunteer` command, from its arguments to its exit status."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from ..errors import FunctionError, PandoError, RootUnreachableError, UsageError
from ..limits import MAX_VALUE_BYTES
from .last_options import answer
from .output import say, write_all
from .parser import Parser
from .sizes import parse_bytes

if TYPE_CHECKING:
    from ..volunteering import Volunteer, VolunteerOptions
    from .signals import Signals

DONE, CANNOT_COMPUTE, USAGE_ERROR, TRY_LATER = 0, 1, 2, os.EX_TEMPFAIL
DRAW_SECONDS = 0.5
DESCRIPTION = """\
Join someone's run as a volunteer, with all cores of this machine, until Ctrl-C.

This runs code of another person with your rights: do it for people you trust."""
EPILOG = """\
The link is a secret, and `ps` shows arguments to every user of this machine.
`-` reads the link from standard input, --link-file from a file; without any of
them it comes from the environment variable PANDO_LINK.

The first Ctrl-C or SIGTERM leaves in order: finished results are delivered, the
other items returned. The second one ends the command at once.
Exit status: 0 left in order, 1 cannot compute, 2 usage error, 75 no run to join
(--give-up-after). With --diagnose: 0 the root is reached directly, 1 only through
the server that relays, 2 usage error, 75 not at all."""


def make_parser() -> Parser:
    """Return the parser; options that are not given are missing in its namespace."""
    parser = Parser(
        prog="pando-volunteer",
        usage="pando-volunteer LINK [OPTIONS]\n       pando-volunteer - [OPTIONS] < FILE",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument(
        "links", metavar="LINK", nargs="*", help="join link, including the part after #"
    )
    group = parser.add_argument_group("Options")
    group.add_argument(
        "--workers", type=int, metavar="N", help="worker processes (default: one per core)"
    )
    group.add_argument("--name", metavar="NAME", help="device name (default: the host name)")
    group.add_argument(
        "--install",
        action="store_true",
        help="install what the function needs into a dedicated virtual environment",
    )
    group.add_argument("--once", action="store_true", help="exit when the run ends")
    group.add_argument(
        "--give-up-after",
        type=float,
        metavar="SECONDS",
        help="exit with status 75 after SECONDS without a run to join",
    )
    group.add_argument("--link-file", metavar="FILE", help="read the link from a file")
    group.add_argument(
        "--leave-with-stdin",
        action="store_true",
        help="leave in order when standard input ends",
    )
    group.add_argument(
        "--cafile", metavar="FILE", help="trust the certificate authorities in FILE as well"
    )
    group.add_argument(
        "--max-value",
        type=parse_bytes,
        metavar="BYTES",
        help="take no items larger than BYTES, such as 200M (default: 1G)",
    )
    group.add_argument(
        "--protocol",
        metavar="auto|websocket|webrtc",
        help="how to connect (default: as the link or the run says)",
    )
    group.add_argument(
        "--diagnose",
        action="store_true",
        help="say by which ways the root can be reached, and why not by others; join nothing",
    )
    group.add_argument("--quiet", action="store_true", help="no progress display")
    parser.add_last_options(group)
    return parser


def run_command(arguments: list[str], signals: Signals) -> int:
    """Run the command and return its exit status."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - stays open
    try:
        parsed = _parse(arguments)
        if isinstance(parsed, str):
            write_all(1, parsed.encode())
        elif "diagnose" in parsed:
            return _diagnose(parsed, signals)
        else:
            _volunteer(parsed, signals)
        return DONE
    except UsageError as error:
        _say(str(error))
        return USAGE_ERROR
    except RootUnreachableError as error:
        _say(str(error))
        return TRY_LATER
    except FunctionError as error:
        _say(f"this device cannot join: {error}")
        return CANNOT_COMPUTE
    except PandoError as error:
        _say(str(error))
        return CANNOT_COMPUTE


def _parse(arguments: list[str]) -> argparse.Namespace | str:
    """Parse the arguments; return a text instead if they ask for one, such as the help page."""
    parser = make_parser()
    options, unknown = parser.parse_known_intermixed_args(arguments)
    if unknown:
        parser.refuse(unknown[0])
    if (text := answer(parser, options)) is not None:
        return text
    options.link = _find_link(options, parser)
    return options


def _find_link(options: argparse.Namespace, parser: Parser) -> str:
    """Return the link from the argument, a file, standard input or the environment."""
    links = getattr(options, "links", [])
    file = getattr(options, "link_file", None)
    if len(links) + (file is not None) > 1:
        parser.error("more than one link: pass it as an argument or by --link-file")
    if file is not None:
        return _read_link(file)
    if links == ["-"]:
        return _read_link(0)
    link: str = links[0] if links else os.environ.get("PANDO_LINK", "")
    if not link:
        parser.error("pass the link of a run, as in: pando-volunteer 'http://192.168.1.7:5000/#…'")
    return link


def _read_link(file: str | int) -> str:
    """Read the first line of a file or of standard input, and not more."""
    from ..volunteering import MAX_LINK

    source = "standard input" if file == 0 else str(file)
    try:
        with open(file, "rb", buffering=0, closefd=file != 0) as opened:
            line = b""
            while not line.endswith(b"\n") and len(line) <= MAX_LINK and (byte := opened.read(1)):
                line += byte
    except OSError as error:
        raise UsageError(f"{source} cannot be read: {error.strerror}") from None
    link = line.decode("utf-8-sig", "replace").strip()
    if not link:
        raise UsageError(f"{source} has no link in its first line")
    return link


def _volunteer_options(options: argparse.Namespace) -> VolunteerOptions:
    from ..volunteering import VolunteerOptions

    return VolunteerOptions(
        workers=getattr(options, "workers", None),
        name=getattr(options, "name", None),
        install="install" in options,
        stay="once" not in options,
        give_up_after=getattr(options, "give_up_after", None),
        cafile=getattr(options, "cafile", None),
        max_value=getattr(options, "max_value", MAX_VALUE_BYTES),
        protocol=getattr(options, "protocol", None),
    )


def _diagnose(options: argparse.Namespace, signals: Signals) -> int:
    """Print by which ways the root can be reached; return the exit status."""
    import trio

    from ..volunteering import Diagnosis, JoinLink

    def tell(way: object) -> None:
        write_all(1, f"{way}\n".encode())

    diagnosis = Diagnosis(JoinLink.parse(options.link), _volunteer_options(options), tell)

    async def run() -> None:
        token = trio.lowlevel.current_trio_token()
        with trio.CancelScope() as scope:

            def end() -> None:
                with suppress(trio.RunFinishedError):
                    token.run_sync_soon(scope.cancel)

            with signals.ending_with(end):
                await diagnosis.run()

    trio.run(run, strict_exception_groups=True)
    if diagnosis.is_direct:
        return DONE
    return CANNOT_COMPUTE if diagnosis.reaches_root else TRY_LATER


def _volunteer(options: argparse.Namespace, signals: Signals) -> None:
    import trio

    from ..volunteering import Volunteer
    from .error_stream import background_stderr

    volunteer = Volunteer(options.link, _volunteer_options(options), _say)
    try:
        with background_stderr(signals):
            trio.run(_run, volunteer, signals, options, strict_exception_groups=True)
    finally:
        results = volunteer.statistics().results
        if results:
            _say(f"left; this device has delivered {results:,} result{'s'[: results != 1]}")


async def _run(volunteer: Volunteer, signals: Signals, options: argparse.Namespace) -> None:
    import trio

    from ..worker.launcher import kill_all

    error: PandoError | None = None
    token = trio.lowlevel.current_trio_token()
    async with trio.open_nursery() as nursery:

        async def leave() -> None:
            await volunteer.leave()
            nursery.cancel_scope.cancel()

        def end() -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(nursery.start_soon, leave)

        with signals.ending_with(end, kill_all):
            if "quiet" not in options:
                nursery.start_soon(_show_progress, volunteer, signals)
            if "leave_with_stdin" in options:
                threading.Thread(target=_wait_for_end_of_input, args=[end], daemon=True).start()
            try:
                await volunteer.run()
            except PandoError as problem:
                error = problem
            nursery.cancel_scope.cancel()
    if error is not None:
        raise error


def _wait_for_end_of_input(then: Callable[[], None]) -> None:
    """Read and discard standard input to its end, then call `then`."""
    with suppress(OSError):
        while os.read(0, 65536):
            pass
    then()


async def _show_progress(volunteer: Volunteer, signals: Signals) -> None:
    """Draw the status line if standard error is a terminal."""
    import trio

    from .live_line import LiveLine

    line = LiveLine()
    if not line.is_possible:
        return
    signals.on_suspend = line.erase
    try:
        while True:
            line.draw(describe(volunteer))
            await trio.sleep(DRAW_SECONDS)
    finally:
        line.erase()


def describe(volunteer: Volunteer) -> str:
    """Return the state of a volunteer on one line."""
    status = volunteer.statistics()
    parts = [
        f"{status.state} {status.function}".strip(),
        f"{status.results:,} results delivered",
    ]
    if status.children:
        parts.append(f"{status.children} volunteers below")
    return " · ".join(parts)


def _say(text: str) -> None:
    say(text, "pando-volunteer")
