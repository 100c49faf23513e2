"""The figures of a lender."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LenderStatistics:
    """A lender's figures: where the items are now, and what has happened so far."""

    read: int
    queued: int
    in_flight: int
    finished: int
    delivered: int
    borrowers: int
    reassigned: int
    ignored_results: int
    strikes: int
    doubled: int
