"""One use of the `pando` command: from its arguments to its exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import FunctionError, ItemError, PandoError, UsageError
from .output import ClosedOutputError, OutputError, free_standard_output, say, tell, write_all
from .settings import Settings, dashed

if TYPE_CHECKING:
    from ..running.options import RunOptions
    from ..running.streams import ResultStream
    from ..scheduler import ResultRun
    from ..source import Source
    from .modules import Module
    from .options import Invocation
    from .output import Printout
    from .progress import Progress
    from .signals import Signals

DONE, ITEM_FAILED, WRONG_USE = 0, 1, 2


def run_command(arguments: list[str], signals: Signals) -> int:
    """Run the command and return its exit status."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - it stays open
    try:
        return _run(arguments, signals)
    except ClosedOutputError:
        return DONE
    except PandoError as error:
        for note in getattr(error, "__notes__", ()):
            tell(note.rstrip("\n"))
        say(str(error))
        return WRONG_USE if isinstance(error, UsageError | FunctionError) else ITEM_FAILED


def _run(arguments: list[str], signals: Signals) -> int:
    from .options import parse

    parsed = parse(arguments)
    if isinstance(parsed, str):
        write_all(1, parsed.encode())
        return DONE
    settings, items = parsed.settings, parsed.items
    settings.check_implemented(parsed.given)
    _explain(parsed.given)
    with free_standard_output() as output:
        module = _open_module(parsed)
        if items.count == 0:
            _refuse_waiting_items()
            say("no items, so nothing is done: pass them after MODULE, or use --stdin")
            return DONE
        if items.reads_stdin and sys.stdin is None:
            raise UsageError("standard input is closed")
        return Command(parsed, module, output, signals).run()


def _open_module(invocation: Invocation) -> Module:
    from .modules import CodeModule, open_module

    if invocation.code is not None:
        return CodeModule(invocation.code)
    return open_module(invocation.module, as_text=not invocation.settings.json)


def _explain(given: list[str]) -> None:
    """One sentence for each option that does nothing."""
    from dataclasses import fields

    for option in fields(Settings):
        if option.name in given and option.metadata["missing"]:
            say(f"--{dashed(option.name)} is not implemented yet; ignored")
    if "headless" in given:
        say("--headless is not needed: no window is ever opened")


def _refuse_waiting_items() -> None:
    """Do not leave items unread that were meant for the function."""
    from .items import waiting_items

    kind = waiting_items()
    if kind:
        raise UsageError(
            f"no items, but standard input is {kind}: add --stdin to read items from it"
        )


class Command:
    """One use of the command: its settings, its module, its items, and where results go."""

    def __init__(
        self, invocation: Invocation, module: Module, output: int, signals: Signals
    ) -> None:
        from .items import MAX_DIGITS, choose_parser
        from .lines import NEWLINE, NUL
        from .output import choose_format

        settings = self._settings = invocation.settings
        self._invocation = invocation
        self._items = invocation.items
        self._module = module
        self._parse = choose_parser(as_json=settings.json, strings=settings.strings)
        self._format = choose_format(as_json=settings.json)
        self._end = NUL if settings.null else NEWLINE
        self._output = output
        self._signals = signals
        self._failed = False
        sys.set_int_max_str_digits(MAX_DIGITS)

    def run(self) -> int:
        """Compute, print, and return the exit status."""
        if self._settings.local:
            self._run_locally()
        else:
            self._run_on_workers()
        return ITEM_FAILED if self._failed else DONE

    @property
    def _workers(self) -> int | None:
        return 0 if self._settings.start_idle else self._settings.workers

    def _run_locally(self) -> None:
        from .output import report_item_error

        self._module.check(starts_idle=False)
        with self._signals.raising_interrupt():
            for run in self._module.compute(self._read_batches(), self._settings.random_seed):
                printout = self._print_form(run)
                write_all(self._output, printout.data)
                for error in printout.errors:
                    report_item_error(error)
                if printout.is_last:
                    return

    def _read_batches(self) -> Iterator[list[Any]]:
        from .lines import read_batches
        from .local import free_standard_input

        yield self._parse(self._items.before)
        if self._items.reads_stdin:
            yield from read_batches(free_standard_input(), self._parse, self._end)
            yield self._parse(self._items.after)

    def _run_on_workers(self) -> None:
        import trio

        from ..worker.environment import refuse_gevent

        refuse_gevent()  # its module may have been asking for that
        self._module.check(starts_idle=self._workers == 0)
        trio.run(self._main, strict_exception_groups=True)

    async def _main(self) -> None:
        import trio

        from ..worker.process import kill_all

        token = trio.lowlevel.current_trio_token()
        scope = trio.CancelScope()
        with scope, self._signals.ending_with(lambda: token.run_sync_soon(scope.cancel), kill_all):
            await self._compute()

    async def _compute(self) -> None:
        import trio

        from ..running.options import StreamOptions
        from ..running.run import open_packed_run
        from .links import show_links
        from .progress import Progress

        settings = self._settings
        requirements = self._module.read_requirements()
        options = self._run_options(requirements)
        packed = self._module.pack(requirements, settings.random_seed)
        async with open_packed_run(packed, self._module.name, options, say) as run:
            progress = Progress(
                shown=not settings.quiet,
                total=self._items.count,
                workers=lambda: run.statistics().workers,
                waits_for_volunteers=self._workers == 0,
            )
            self._signals.on_suspend = progress.hide
            stream = run.map_source(
                self._open_source(), StreamOptions(ordered=not settings.unordered)
            )
            async with trio.open_nursery() as nursery:
                if not settings.quiet:
                    nursery.start_soon(show_links, run.links)
                nursery.start_soon(progress.run)
                error = await self._print_all(stream, progress)
                nursery.cancel_scope.cancel()
        if error is not None:
            raise error

    def _run_options(self, requirements: list[str]) -> RunOptions:
        from ..running.options import RunOptions

        settings = self._settings
        return RunOptions(
            workers=self._workers,
            timeout=settings.timeout,
            batch_limit=settings.batch_size,
            requires=tuple(requirements),
            serve=settings.serve_options(port_given="port" in self._invocation.given),
        )

    def _open_source(self) -> Source:
        from ..running.inputs import open_source
        from .lines import LineSource

        before, after = self._parse(self._items.before), self._parse(self._items.after)
        if self._items.reads_stdin:
            return LineSource(0, self._parse, self._end, before, after)
        return open_source(before)

    async def _print_all(self, stream: ResultStream[Any], progress: Progress) -> Exception | None:
        """Print results until they end, and return why they ended early, if they did."""
        from ..source import EndOfInput
        from .output import report_item_error
        from .writer import ResultWriter

        writer = ResultWriter(self._output)
        while True:
            try:
                results = await stream.next_run()
            except EndOfInput:
                return None
            except PandoError as error:
                return error  # raised when the run is closed, and not out of its nursery
            failed = len(results.failures)
            progress.count(len(results.values) - failed, failed)
            printout = self._print_form(results)
            try:
                await writer.write(printout.data)
            except (ClosedOutputError, OutputError) as error:
                return error
            for item_error in printout.errors:
                report_item_error(item_error)
            if printout.is_last:
                return None

    def _print_form(self, run: ResultRun) -> Printout:
        """What to print for a run of results."""
        from .output import Printout, encode_lines, format_lines

        lines, unprintable = format_lines(run.values, self._format)
        errors = self._item_errors(run, unprintable)
        if not errors:
            return Printout(encode_lines(lines, self._end))
        self._failed = True
        if self._settings.on_error == "stop":
            first = min(errors)
            return Printout(encode_lines(lines[:first], self._end), [errors[first]], is_last=True)
        if self._settings.on_error == "null":
            for place in errors:
                lines[place] = "null" if self._settings.json else ""
        else:
            lines = [line for place, line in enumerate(lines) if place not in errors]
        return Printout(encode_lines(lines, self._end), [errors[place] for place in sorted(errors)])

    @staticmethod
    def _item_errors(run: ResultRun, unprintable: dict[int, str]) -> dict[int, ItemError]:
        from ..running.streams import item_error

        errors = {place: item_error(run, place) for place in run.failures}
        for place, reason in unprintable.items():
            if place not in errors:
                item, index = run.items[place], run.start + place
                errors[place] = ItemError(item, index, "UnsupportedValueError", reason)
        return errors
