"""How a run computes, and how the results of one stream come out."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UsageError
from .serve_options import ServeOptions


@dataclass(frozen=True)
class RunOptions:
    """How a run computes.

    Attributes:
        workers: processes on this machine; None is one for each core.
        timeout: seconds that an item may take before it fails.
        batch_limit: the most items that are sent to a worker at once.
        requires: what the function needs installed, as PEP 508 requirement strings.
        serve: how volunteers are let in; None where they are not.
        serve_after: seconds of running after which the port opens.
        must_serve: whether the run fails where the port cannot be opened.
        announce: whether to say how to watch and how to join.
    """

    workers: int | None = None
    timeout: float | None = None
    batch_limit: int | None = None
    requires: tuple[str, ...] = ()
    serve: ServeOptions | None = None
    serve_after: float = 0.0
    must_serve: bool = True
    announce: bool = False

    def __post_init__(self) -> None:
        _check_count("workers", self.workers, least=0)
        _check_count("batch_limit", self.batch_limit, least=1)
        if self.workers == 0 and self.serve is None:
            raise UsageError("nothing would compute: no workers here, and volunteers cannot join")
        timeout = self.timeout
        if timeout is not None and (type(timeout) not in (int, float) or not timeout > 0):
            raise UsageError(f"timeout must be a positive number of seconds, not {timeout!r}")


@dataclass(frozen=True)
class StreamOptions:
    """How the results of one stream come out; see `pando.map`."""

    ordered: bool = True
    return_exceptions: bool = False
    buffersize: int | None = None

    def __post_init__(self) -> None:
        _check_count("buffersize", self.buffersize, least=1)


def _check_count(name: str, value: object, least: int) -> None:
    if value is not None and (type(value) is not int or value < least):
        raise UsageError(f"{name} must be a whole number of at least {least}, not {value!r}")
