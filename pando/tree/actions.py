"""Actions: what `Lending` has a node do."""

from __future__ import annotations

from typing import NamedTuple

from ..messages import Message
from ..scheduler import Borrower
from .job import Job


class Send(NamedTuple):
    """Send a message to a borrower."""

    borrower: Borrower
    message: Message


class Notify(NamedTuple):
    """Tell the owner of a job to look at it: results are ready, or it has ended."""

    job: Job


class Cancelled(NamedTuple):
    """Tell the owner of a job that items which it has cancelled will not be computed."""

    job: Job
    start: int
    size: int


class Tell(NamedTuple):
    """Tell the person who runs this something, in a sentence."""

    text: str


Action = Send | Notify | Cancelled | Tell
