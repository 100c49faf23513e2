"""The options of a run, and of one of its streams."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TypedDict

import msgspec

from ..errors import UsageError
from ..limits import (
    MAX_BATCH_LIMIT,
    MAX_INPUT_WINDOW,
    MAX_PROCESSES,
    MAX_REQUIREMENTS,
    MOST_SECONDS,
    REPORTING_SECONDS,
)
from ..worker.processors import count_cores
from .serve_options import Serve, ServeOptions, choose_serve_options

SERVE_AFTER_SECONDS = 1.0
"""Seconds after which the port of a run in a program opens."""


class RunOptions(msgspec.Struct, frozen=True):
    """The options of a run.

    Attributes:
        workers: worker processes on this machine; None for one per core.
        timeout: seconds that an item may take before it fails: to be decoded, to run, and to have
            its result encoded, each.
        batch_size: maximum items per batch; None to adapt it.
        requires: what the function needs installed, as PEP 508 requirement strings.
        speculate: whether an item that holds up others is computed a second time elsewhere.
        serve: options for accepting volunteers; None to accept none.
        serve_after: seconds of running after which the port opens.
        must_serve: whether the run fails if the port cannot be opened.
        announce: whether to print how to watch the run and how to join it.
        reporting_interval: seconds between two reports of a run that does not serve.
        monitoring_log: a file to which monitoring is appended, a line each interval.
    """

    workers: int | None = None
    timeout: float | None = None
    batch_size: int | None = None
    requires: tuple[str, ...] = ()
    speculate: bool = True
    serve: ServeOptions | None = None
    serve_after: float = 0.0
    must_serve: bool = True
    announce: bool = False
    reporting_interval: float = REPORTING_SECONDS
    monitoring_log: str | os.PathLike[str] | None = None

    def count_workers(self) -> int:
        """Return the number of worker processes on this machine."""
        return count_cores() if self.workers is None else self.workers

    @property
    def interval(self) -> float:
        """Seconds between two reports."""
        if self.serve is not None:
            return self.serve.reporting_interval
        return self.reporting_interval

    def __post_init__(self) -> None:
        _check_count("workers", self.workers, least=0, most=MAX_PROCESSES)
        _check_count("batch_size", self.batch_size, least=1, most=MAX_BATCH_LIMIT)
        if self.workers == 0 and self.serve is None:
            raise UsageError(
                "nothing would compute: no local workers, and serving volunteers is disabled"
            )
        timeout = self.timeout
        if timeout is not None and (type(timeout) not in (int, float) or not timeout > 0):
            raise UsageError(f"timeout must be a positive number of seconds, not {timeout!r}")
        if timeout is not None and timeout > MOST_SECONDS:
            raise UsageError(f"timeout must be at most {MOST_SECONDS:g} s, not {timeout!r}")
        if len(self.requires) > MAX_REQUIREMENTS:
            raise UsageError(
                f"requires has {len(self.requires):,} entries, over {MAX_REQUIREMENTS:,}"
            )


class RunArguments(TypedDict, total=False):
    """The options of `open_run` and `run`, for type checkers."""

    workers: int | None
    timeout: float | None
    batch_size: int | None
    requires: Iterable[str]
    speculate: bool
    initializer: Callable[[], object] | None
    random_seed: int | None
    serve: Serve


def make_run_options(
    workers: int | None,
    timeout: float | None,
    batch_size: int | None,
    requires: Iterable[str],
    serve: Serve,
    *,
    speculate: bool = True,
    serve_at_once: bool,
) -> RunOptions:
    """Return the options of a run in a program: the arguments of `open_run`.

    If `serve` is given, the port opens at once with `serve_at_once`.

    Raises:
        UsageError: an option is invalid.
    """
    is_asked_for = serve is not None
    opens_at_once = (is_asked_for and serve_at_once) or workers == 0
    return RunOptions(
        workers=workers,
        timeout=timeout,
        batch_size=batch_size,
        requires=tuple(requires),
        speculate=speculate,
        serve=choose_serve_options(serve),
        serve_after=0.0 if opens_at_once else SERVE_AFTER_SECONDS,
        must_serve=is_asked_for,
        announce=True,
    )


class StreamOptions(msgspec.Struct, frozen=True):
    """The options of one stream; see `pando.map`."""

    ordered: bool = True
    return_exceptions: bool = False
    buffersize: int | None = None

    def __post_init__(self) -> None:
        _check_count("buffersize", self.buffersize, least=1, most=MAX_INPUT_WINDOW)


def _check_count(name: str, value: object, least: int, most: int) -> None:
    if value is not None and (type(value) is not int or value < least):
        raise UsageError(f"{name} must be a whole number of at least {least}, not {value!r}")
    if isinstance(value, int) and value > most:
        raise UsageError(f"{name} must be at most {most:,}, not {value:,}")
