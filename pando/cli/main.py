"""The `pando` command."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from ..errors import FunctionError, ItemError, PandoError, UsageError
from .output import ClosedOutputError, OutputError, free_standard_output, say, write_all
from .settings import Settings, dashed

if TYPE_CHECKING:
    from ..running.streams import ResultStream
    from ..scheduler import ResultRun
    from ..source import Source
    from .modules import Module
    from .output import Printout
    from .progress import Progress

DONE, ITEM_FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - it stays open
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except ClosedOutputError:
        return DONE
    except (UsageError, FunctionError) as error:
        for note in getattr(error, "__notes__", ()):
            sys.stderr.write(note)
        say(str(error))
        return WRONG_USE
    except PandoError as error:
        say(str(error))
        return ITEM_FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(arguments: list[str]) -> int:
    from .options import parse

    parsed = parse(arguments)
    if isinstance(parsed, str):
        write_all(1, parsed.encode())
        return DONE
    settings, module, words, given = parsed
    from .modules import open_module

    with free_standard_output() as output:
        opened = open_module(module, as_text=not settings.json)
        _explain(given)
        if not settings.stdin and not words:
            say("there are no items, so nothing is done; name some behind MODULE, or use --stdin")
            return DONE
        port_given = "port" in given
        return Command(settings, opened, words, output, port_given=port_given).run()


def _explain(given: list[str]) -> None:
    """One sentence for each option that does nothing."""
    from dataclasses import fields

    for option in fields(Settings):
        if option.name in given and not option.metadata["built"]:
            say(f"--{dashed(option.name)} has no effect yet: its part is to come")
    if "headless" in given:
        say("--headless is not needed: no window is ever opened")


class Command:
    """One use of the command: its settings, its module, its items, and where results go."""

    def __init__(
        self,
        settings: Settings,
        module: Module,
        words: list[str],
        output: int,
        *,
        port_given: bool,
    ) -> None:
        from .items import MAX_DIGITS, choose_parser
        from .output import choose_format

        self._settings = settings
        self._module = module
        self._words = words
        self._parse = choose_parser(as_json=settings.json, strings=settings.strings)
        self._format = choose_format(as_json=settings.json)
        self._output = output
        self._port_given = port_given
        self._failed = False
        sys.set_int_max_str_digits(MAX_DIGITS)

    def run(self) -> int:
        """Compute, print, and return the exit status."""
        if self._settings.stdin and sys.stdin is None:
            raise UsageError("standard input is closed")
        if self._settings.local:
            self._run_locally()
        elif not self._settings.serve and self._workers == 0:
            raise UsageError("nobody would compute: no workers here, and volunteers cannot join")
        else:
            self._run_on_workers()
        return ITEM_FAILED if self._failed else DONE

    @property
    def _workers(self) -> int | None:
        return 0 if self._settings.start_idle else self._settings.workers

    def _run_locally(self) -> None:
        from .items import read_batches
        from .local import free_standard_input
        from .output import report_item_error

        self._module.check(starts_idle=False)
        batches: Iterable[list[Any]] = [self._parse(self._words)]
        if self._settings.stdin:
            batches = read_batches(free_standard_input(), self._parse)
        for run in self._module.compute(batches, self._settings.random_seed):
            printout = self._print_form(run)
            write_all(self._output, printout.data)
            for error in printout.errors:
                report_item_error(error)
            if printout.is_last:
                return

    def _run_on_workers(self) -> None:
        import trio

        self._module.check(starts_idle=self._workers == 0)
        try:
            trio.run(self._main, strict_exception_groups=True)
        except BaseExceptionGroup as group:
            if group.split(KeyboardInterrupt)[0]:
                raise KeyboardInterrupt from None
            raise

    async def _main(self) -> None:
        import trio

        from ..running.options import RunOptions, StreamOptions
        from ..running.run import open_packed_run
        from .links import show_links
        from .progress import Progress

        settings = self._settings
        total = None if settings.stdin else len(self._words)
        requirements = self._module.read_requirements()
        options = RunOptions(
            workers=self._workers,
            timeout=settings.timeout,
            batch_limit=settings.batch_size,
            requires=tuple(requirements),
            serve=settings.serve_options(port_given=self._port_given),
        )
        packed = self._module.pack(requirements, settings.random_seed)
        async with open_packed_run(packed, self._module.name, options, say) as run:
            if not settings.quiet:
                show_links(run.links)
            progress = Progress(
                shown=not settings.quiet, total=total, workers=lambda: run.statistics().workers
            )
            stream = run.map_source(
                self._open_source(), StreamOptions(ordered=not settings.unordered)
            )
            drawing = trio.CancelScope()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(progress.run, drawing)
                try:
                    error = await self._print_all(stream, progress)
                finally:
                    drawing.cancel()
        if error is not None:
            raise error

    def _open_source(self) -> Source:
        from ..running.inputs import open_source
        from .items import LineSource

        if self._settings.stdin:
            return LineSource(0, self._parse)
        return open_source(self._parse(self._words))

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
            one_terminal = writer.is_terminal or printout.errors
            with progress.out_of_the_way() if one_terminal else nullcontext():
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
            return Printout(encode_lines(lines))
        self._failed = True
        if self._settings.on_error == "stop":
            first = min(errors)
            return Printout(encode_lines(lines[:first]), [errors[first]], is_last=True)
        if self._settings.on_error == "null":
            for place in errors:
                lines[place] = "null" if self._settings.json else ""
        else:
            lines = [line for place, line in enumerate(lines) if place not in errors]
        return Printout(encode_lines(lines), [errors[place] for place in sorted(errors)])

    @staticmethod
    def _item_errors(run: ResultRun, unprintable: dict[int, str]) -> dict[int, ItemError]:
        from ..running.streams import item_error

        errors = {place: item_error(run, place) for place in run.failures}
        for place, reason in unprintable.items():
            if place not in errors:
                item, index = run.items[place], run.start + place
                errors[place] = ItemError(item, index, "UnsupportedValueError", reason)
        return errors


if __name__ == "__main__":
    sys.exit(main())
