"""One use of the `pando-volunteer` command: from its arguments to its exit status."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from .. import __version__
from ..errors import FunctionError, PandoError, UsageError
from .output import say, write_all
from .parser import Parser

if TYPE_CHECKING:
    from ..volunteering import Volunteer
    from .signals import Signals

DONE, CANNOT_COMPUTE, WRONG_USE = 0, 1, 2
DRAW_SECONDS = 0.5
DESCRIPTION = """\
Compute for the run behind a link, on the cores of this machine, until Ctrl-C.

This runs code of another person with your rights: do it for people you trust."""
EPILOG = """\
At the first Ctrl-C it delivers what is finished and gives the rest back; at
the second it ends at once."""


def make_parser() -> Parser:
    """The command's parser; what is not given is not in the namespace."""
    parser = Parser(
        prog="pando-volunteer",
        usage="pando-volunteer LINK [OPTIONS]",
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
    group.add_argument("--quiet", action="store_true", help="no progress display")
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
            _volunteer(parsed, signals)
        return DONE
    except UsageError as error:
        _say(str(error))
        return WRONG_USE
    except FunctionError as error:
        _say(f"this device cannot take part: {error}")
        return CANNOT_COMPUTE
    except PandoError as error:
        _say(str(error))
        return CANNOT_COMPUTE


def _parse(arguments: list[str]) -> argparse.Namespace | str:
    """The options, or a text to show instead."""
    parser = make_parser()
    options, unknown = parser.parse_known_intermixed_args(arguments)
    if unknown:
        parser.refuse(unknown[0])
    if "help" in options:
        return parser.format_help()
    if "version" in options:
        return f"pando {__version__}\n"
    if "print_completion" in options:
        from .shells import print_completion

        return print_completion(parser, options.print_completion)
    if "print_man" in options:
        from .manual import format_manual

        return format_manual(parser)
    links = getattr(options, "links", [])
    if len(links) != 1:
        parser.error("pass the link of a run, as in: pando-volunteer 'http://192.168.1.7:5000/#…'")
    options.link = links[0]
    return options


def _volunteer(options: argparse.Namespace, signals: Signals) -> None:
    import trio

    from ..volunteering import Volunteer, VolunteerOptions

    volunteer = Volunteer(
        options.link,
        VolunteerOptions(
            workers=getattr(options, "workers", None),
            name=getattr(options, "name", None),
            install="install" in options,
            stay="once" not in options,
        ),
        _say,
    )
    trio.run(_run, volunteer, signals, "quiet" in options, strict_exception_groups=True)


async def _run(volunteer: Volunteer, signals: Signals, quiet: bool) -> None:
    import trio

    from ..worker.process import kill_all

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
            if not quiet:
                nursery.start_soon(_show, volunteer, signals)
            try:
                await volunteer.run()
            except PandoError as problem:
                error = problem
            nursery.cancel_scope.cancel()
    if error is not None:
        raise error


async def _show(volunteer: Volunteer, signals: Signals) -> None:
    """Draw the live line, where standard error is a terminal."""
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
    """What a volunteer does now, on one line."""
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
