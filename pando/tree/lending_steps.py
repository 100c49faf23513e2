"""Steps of `Lending` that concern one job alone: its source and its lender. No I/O."""

from __future__ import annotations

from ..source import EndOfInput, WouldBlock
from .actions import Action, Cancelled
from .job import Job


def cancel_waiting(job: Job, actions: list[Action]) -> None:
    """Let what waits of a job leave it, as far as it is to."""
    for low, high in job.cancelling:
        for start, count in job.lender.cancel_pending(low, high):
            actions.append(Cancelled(job, start, count))


def read(job: Job, limit: int) -> None:
    """Read from a job's source, and tell its lender what there was."""
    lender = job.lender
    try:
        lender.add_items(job.source.read_nowait(limit))
    except WouldBlock:
        job.input_blocked = True
    except EndOfInput:
        lender.end_input()
    except Exception as error:
        job.input_error = error
        lender.end_input()
