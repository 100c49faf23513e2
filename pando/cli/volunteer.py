"""The `pando-volunteer` command."""

from __future__ import annotations

import argparse
import signal
import sys

from .. import __version__
from ..errors import FunctionError, PandoError, UsageError

DONE, CANNOT_COMPUTE, WRONG_USE, INTERRUPTED = 0, 1, 2, 130
DRAW_SECONDS = 0.5


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise UsageError(f"{message}; see pando-volunteer -h")


def make_parser() -> argparse.ArgumentParser:
    """The command's parser."""
    parser = _Parser(
        prog="pando-volunteer",
        usage="pando-volunteer LINK [OPTIONS]",
        description="Compute for the run behind a link, on this machine's cores, until Ctrl-C.\n"
        "This runs the other person's code with your rights: do it for people you trust.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("link", metavar="LINK", help="what the run has printed, with its # part")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes that compute; one for each core"
    )
    parser.add_argument("--name", metavar="NAME", help="what this device is called there")
    parser.add_argument(
        "--install",
        action="store_true",
        help="install what the function needs, into a place of its own",
    )
    parser.add_argument("--once", action="store_true", help="end when the run is over")
    parser.add_argument("--quiet", action="store_true", help="no live line")
    parser.add_argument("--version", action="version", version=f"pando {__version__}")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    try:
        options = make_parser().parse_args(sys.argv[1:] if arguments is None else arguments)
        return _run(options)
    except UsageError as error:
        _say(str(error))
        return WRONG_USE
    except FunctionError as error:
        _say(f"this device cannot take part: {error}")
        return CANNOT_COMPUTE
    except PandoError as error:
        _say(str(error))
        return CANNOT_COMPUTE


def _run(options: argparse.Namespace) -> int:
    import trio

    from ..volunteering import Volunteer, VolunteerOptions

    interrupted = False
    nursery: trio.Nursery

    async def watch_signals(volunteer: Volunteer, scope: trio.CancelScope) -> None:
        nonlocal interrupted
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                if interrupted:
                    scope.cancel()
                    return
                interrupted = True
                nursery.start_soon(leave, volunteer, scope)

    async def leave(volunteer: Volunteer, scope: trio.CancelScope) -> None:
        await volunteer.leave()
        scope.cancel()

    async def show(volunteer: Volunteer) -> None:
        if options.quiet or not sys.stderr.isatty():
            return
        try:
            while True:
                status = volunteer.statistics()
                what = f"{status.state} {status.function}".strip()
                line = f"{what} · {status.results:,} results delivered"
                if status.children:
                    line += f" · {status.children} volunteers below"
                sys.stderr.write(f"\r\x1b[2K{line}")
                sys.stderr.flush()
                await trio.sleep(DRAW_SECONDS)
        finally:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()

    async def run() -> None:
        nonlocal nursery
        volunteer = Volunteer(
            options.link,
            VolunteerOptions(options.workers, options.name, options.install, not options.once),
            _say,
        )
        error: PandoError | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch_signals, volunteer, nursery.cancel_scope)
            nursery.start_soon(show, volunteer)
            try:
                await volunteer.run()
            except PandoError as problem:
                error = problem
            nursery.cancel_scope.cancel()
        if error is not None:
            raise error

    trio.run(run, strict_exception_groups=True)
    return INTERRUPTED if interrupted else DONE


def _say(text: str) -> None:
    clear = "\r\x1b[2K" if sys.stderr.isatty() else ""
    sys.stderr.write(f"{clear}pando-volunteer: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
