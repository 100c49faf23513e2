"""The figures of a lender."""

from __future__ import annotations

import msgspec


class LenderStatistics(msgspec.Struct, frozen=True):
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
