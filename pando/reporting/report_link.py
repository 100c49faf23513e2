"""Report links: over one a device tells the root of itself alone, beside what the tree tells.

Both ends are here, without I/O. A device's updates are those of the tree, in which it is the only
device; the root takes nothing else, and no more of them than an honest device sends.
"""

from __future__ import annotations

from collections.abc import Hashable

from ..errors import ProtocolError
from ..reports.records import Report, Update
from .ledger import OWN, Ledger
from .passing import Incoming, MalformedReportError, Outgoing

MAX_REPORT_BYTES = 4096
"""The longest message that is taken on a report link; an update of one device is much shorter."""
REPORTS_PER_INTERVAL = 2
"""Updates that a report link may bring in each reporting interval, over a longer time."""
SPARE_REPORTS = 10
"""Updates that may come at once besides those that a silence has held up."""


class TooManyReportsError(ProtocolError):
    """More updates than were agreed on."""


class OwnUpdates:
    """The device's end: its own reports become updates, whichever report link carries them.

    Args:
        node: the device's identifier.
    """

    def __init__(self, node: bytes) -> None:
        self._node = node
        self._ledger = Ledger()
        self._outgoing = Outgoing(node)

    def begin_link(self) -> None:
        """Take it that a new link has begun, whose other end knows nothing."""
        self._outgoing = Outgoing(self._node)

    def encode(self, report: Report, now: float) -> Update:
        """Return what to tell with this report."""
        self._ledger.hear(report, OWN, now)
        return self._outgoing.encode(self._ledger)


class ReportReader:
    """The root's end of one report link.

    Args:
        node: the device at the other end, as the root has certified it.
        ledger: where to note what is heard.
        owner: what the ledger calls the link.
        interval: seconds between two reports.
        silence: seconds for which an honest link may be held up.
        now: the time.
    """

    def __init__(
        self,
        node: bytes,
        ledger: Ledger,
        owner: Hashable,
        *,
        interval: float,
        silence: float,
        now: float,
    ) -> None:
        self._node = node
        self._incoming = Incoming(owner, ledger)
        self._rate = REPORTS_PER_INTERVAL / interval
        self._most = SPARE_REPORTS + self._rate * silence
        self._left = self._most
        self._counted_at = now

    def take(self, update: Update, now: float) -> None:
        """Take what the device tells.

        Raises:
            MalformedReportError: it tells of another device, or does not fit what it has told.
            TooManyReportsError: it tells too much.
        """
        self._count(now)
        is_about_one = len(update.introductions) <= 1 and len(update.intervals) <= 1
        if not is_about_one or update.gone or update.summed or update.rest is not None:
            raise MalformedReportError("more than one device's report on its report link")
        for introduction in update.introductions:
            if introduction.key != 0 or introduction.device.node != self._node:
                raise MalformedReportError("another device on a report link")
        self._incoming.take(update, now)

    def _count(self, now: float) -> None:
        """Count an update against what may come (a token bucket)."""
        passed, self._counted_at = now - self._counted_at, now
        self._left = min(self._most, self._left + self._rate * passed) - 1
        if self._left < 0:
            raise TooManyReportsError("more reports than a device makes")
