"""The `pando` command, from its arguments to its exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import FunctionError, ItemError, PandoError, UsageError
from .output import (
    ClosedOutputError,
    OutputError,
    print_error,
    redirect_stdout,
    say,
    write_all,
)

if TYPE_CHECKING:
    from ..running.options import RunOptions
    from ..running.streams import ResultStream
    from ..scheduler import ResultBatch
    from ..source import Source
    from .options import Invocation
    from .output import Output
    from .progress import Progress
    from .signals import Signals
    from .user_module import Module

DONE, ITEM_FAILED, USAGE_ERROR = 0, 1, 2


def run_command(arguments: list[str], signals: Signals) -> int:
    """Run the command and return its exit status."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - stays open
    try:
        return _run(arguments, signals)
    except ClosedOutputError:
        return DONE
    except PandoError as error:
        for note in getattr(error, "__notes__", ()):
            print_error(note.rstrip("\n"))
        say(str(error))
        return USAGE_ERROR if isinstance(error, UsageError | FunctionError) else ITEM_FAILED


def _run(arguments: list[str], signals: Signals) -> int:
    from .options import parse

    parsed = parse(arguments)
    if isinstance(parsed, str):
        write_all(1, parsed.encode())
        return DONE
    settings, items = parsed.settings, parsed.items
    settings.check_implemented(parsed.given)
    _explain_ignored(parsed.given)
    with redirect_stdout() as output:
        module = _open_module(parsed)
        if items.count == 0:
            _refuse_unread_items()
            say("no items: pass them after MODULE, or use --stdin")
            return DONE
        if items.reads_stdin and sys.stdin is None:
            raise UsageError("standard input is closed")
        return Command(parsed, module, output, signals).run()


def _open_module(invocation: Invocation) -> Module:
    from .user_module import CodeModule, open_module

    if invocation.code is not None:
        return CodeModule(invocation.code)
    return open_module(invocation.module, as_text=not invocation.settings.json)


def _explain_ignored(given: list[str]) -> None:
    """Print one sentence where an option is given that is ignored."""
    if "headless" in given:
        say("--headless is not needed: no window is ever opened")


def _refuse_unread_items() -> None:
    """Raise a UsageError if standard input has items that would be ignored."""
    from .items import stdin_kind

    kind = stdin_kind()
    if kind:
        raise UsageError(
            f"no items, but standard input is {kind}: add --stdin to read items from it"
        )


class Command:
    """One invocation of the command.

    Args:
        invocation: the parsed command line.
        module: the module or code to apply.
        output: the file descriptor for results.
        signals: the signal handlers of the process.
    """

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
        """Compute and print results, and return the exit status."""
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
            for batch in self._module.compute(self._read_batches(), self._settings.random_seed):
                output = self._make_output(batch)
                write_all(self._output, output.data)
                for error in output.errors:
                    report_item_error(error)
                if output.is_last:
                    return

    def _read_batches(self) -> Iterator[list[Any]]:
        from .lines import read_batches
        from .local import reserve_stdin

        yield self._parse(self._items.before)
        if self._items.reads_stdin:
            yield from read_batches(reserve_stdin(), self._parse, self._end)
            yield self._parse(self._items.after)

    def _run_on_workers(self) -> None:
        import trio

        from ..worker.environment import refuse_gevent
        from .error_stream import background_stderr

        refuse_gevent()  # the module may have imported it
        self._module.check(starts_idle=self._workers == 0)
        with background_stderr(self._signals):
            trio.run(self._main, strict_exception_groups=True)

    async def _main(self) -> None:
        import trio

        from ..worker.launcher import kill_all

        token = trio.lowlevel.current_trio_token()
        scope = trio.CancelScope()
        with scope, self._signals.ending_with(lambda: token.run_sync_soon(scope.cancel), kill_all):
            await self._compute()

    async def _compute(self) -> None:
        import trio

        from ..running.opening import open_serialized_run
        from ..running.options import StreamOptions
        from .links import show_links
        from .progress import Progress
        from .summary import summarize

        settings = self._settings
        requirements = self._module.read_requirements()
        options = self._run_options(requirements)
        function = self._module.serialize(requirements, settings.random_seed)
        async with open_serialized_run(function, self._module.name, options, say) as run:
            progress = Progress(
                shown=not settings.quiet,
                total=self._items.count,
                workers=lambda: run.statistics().workers,
                in_flight=lambda: sum(stream.in_flight for stream in run.statistics().streams),
                waits_for_volunteers=self._workers == 0,
            )
            self._signals.on_suspend = progress.hide
            stream = run.map_source(
                self._open_source(), StreamOptions(ordered=not settings.unordered)
            )
            async with trio.open_nursery() as nursery:
                if not settings.quiet:
                    nursery.start_soon(
                        show_links,
                        run.links,
                        run.link_outlook,
                        run.monitoring_link,
                        run.management_link,
                    )
                nursery.start_soon(progress.run)
                error = await self._print_all(stream, progress)
                nursery.cancel_scope.cancel()
        if not settings.quiet and (text := summarize(run.monitoring())):
            say(text)
        if error is not None:
            raise error

    def _run_options(self, requirements: list[str]) -> RunOptions:
        from ..running.options import RunOptions

        settings = self._settings
        return RunOptions(
            workers=self._workers,
            timeout=settings.timeout,
            batch_size=settings.batch_size,
            requires=tuple(requirements),
            speculate=settings.speculate,
            reporting_interval=settings.reporting_interval,
            monitoring_log=settings.monitoring_log,
            serve=settings.serve_options(self._invocation.given, self._invocation.module),
        )

    def _open_source(self) -> Source:
        from ..running.inputs import open_source
        from .lines import LineSource

        before, after = self._parse(self._items.before), self._parse(self._items.after)
        if self._items.reads_stdin:
            return LineSource(0, self._parse, self._end, before, after)
        return open_source(before)

    async def _print_all(self, stream: ResultStream[Any], progress: Progress) -> Exception | None:
        """Print all results; return the error that has ended them early, if any."""
        from ..source import EndOfInput
        from .output import report_item_error
        from .writer import ResultWriter

        writer = ResultWriter(self._output)
        while True:
            try:
                batch = await stream.next_result_batch()
            except EndOfInput:
                return None
            except PandoError as error:
                return error  # raised by the caller: here, the nursery would wrap it in a group
            failed = len(batch.failures)
            progress.count(len(batch.values) - failed, failed)
            output = self._make_output(batch)
            try:
                await writer.write(output.data)
            except (ClosedOutputError, OutputError) as error:
                return error
            for item_error in output.errors:
                report_item_error(item_error)
            if output.is_last:
                return None

    def _make_output(self, batch: ResultBatch) -> Output:
        """Return the output for a batch of results, according to --on-error."""
        from .output import Output, encode_lines, format_lines

        lines, unprintable = format_lines(batch.values, self._format)
        errors = self._item_errors(batch, unprintable)
        if not errors:
            return Output(encode_lines(lines, self._end))
        self._failed = True
        if self._settings.on_error == "stop":
            first = min(errors)
            return Output(encode_lines(lines[:first], self._end), [errors[first]], is_last=True)
        if self._settings.on_error == "null":
            for place in errors:
                lines[place] = "null" if self._settings.json else ""
        else:
            lines = [line for place, line in enumerate(lines) if place not in errors]
        return Output(encode_lines(lines, self._end), [errors[place] for place in sorted(errors)])

    @staticmethod
    def _item_errors(batch: ResultBatch, unprintable: dict[int, str]) -> dict[int, ItemError]:
        from ..running.streams import item_error

        errors = {place: item_error(batch, place) for place in batch.failures}
        for place, reason in unprintable.items():
            if place not in errors:
                item, index = batch.items[place], batch.start + place
                errors[place] = ItemError(item, index, "UnsupportedValueError", reason)
        return errors
