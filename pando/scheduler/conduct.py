"""Conduct: what a device has done with what it was lent, and how long it gets nothing for that.

A device may be hostile, broken or unlucky. None of that can be told from here, so each cause has
the same remedy: the device is lent nothing for a while, each time for longer, and others have its
items meanwhile. What it does well shortens the next pause again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

FIRST_PAUSE_SECONDS = 0.05
MAX_PAUSE_SECONDS = 30.0
"""Pauses after items that were given back unasked, or not answered in time."""
FIRST_ASIDE_SECONDS = 10.0
MAX_ASIDE_SECONDS = 600.0
"""Pauses of a device that is set aside."""
MAX_LOST = 5
"""Workers, or links, that a device may lose one after the other without any result."""
MIN_MALFORMED = 3
MAX_MALFORMED_SHARE = 0.01
"""Malformed results that a device may send, and which share of its results they may be."""
MAX_DEVICES = 4096
"""Devices whose conduct is remembered while they are away."""


class Conduct:
    """A device's conduct. Times are in seconds, as they are told.

    Attributes:
        paused_until: until when it is lent nothing.
        blemishes: whether there is something that results make good.
    """

    def __init__(self) -> None:
        self.paused_until = 0.0
        self.blemishes = False
        self._refusals = 0.0
        self._lost = 0
        self._malformed = 0
        self._times_aside = 0

    def delivered(self) -> None:
        """Take note of results."""
        self._lost = 0
        self._refusals = max(0.0, self._refusals - 0.1)
        self.blemishes = self._refusals > 0.0

    def refused(self, now: float, wasted: float = 0.0) -> None:
        """Take note of items that were given back unasked, or not answered in time.

        Args:
            now: the time.
            wasted: for how long the items were of no use to others.
        """
        if now >= self.paused_until:
            pause = FIRST_PAUSE_SECONDS * 2.0 ** min(self._refusals, 20.0)
            self._refusals += 1
            self.blemishes = True
            self.paused_until = now + min(max(pause, wasted), MAX_PAUSE_SECONDS)

    def lost(self, now: float) -> str:
        """Take note of a lost worker or link; if the device is set aside for it, return why."""
        self._lost += 1
        self.blemishes = True
        if self._lost < MAX_LOST:
            return ""
        count, self._lost = self._lost, 0
        return self._set_aside(now, f"lost {count} workers, computed nothing")

    def sent_malformed(self, now: float, results: int) -> str:
        """Take note of a malformed result among so many; if it is set aside for it, return why."""
        self._malformed += 1
        count = self._malformed
        if count < MIN_MALFORMED or count <= MAX_MALFORMED_SHARE * (results + count):
            return ""
        self._malformed = 0
        return self._set_aside(now, f"{count} of its results were malformed")

    def _set_aside(self, now: float, reason: str) -> str:
        """Pause for long; return why."""
        pause = FIRST_ASIDE_SECONDS * 2.0 ** min(self._times_aside, 20)
        self._times_aside += 1
        self.paused_until = now + min(pause, MAX_ASIDE_SECONDS)
        return reason


class Conducts:
    """The conduct of devices, also of those that are away; of the latest `MAX_DEVICES`."""

    def __init__(self) -> None:
        self._by_device: OrderedDict[Hashable, Conduct] = OrderedDict()

    def of(self, device: Hashable) -> Conduct:
        """Return the conduct of a device."""
        conduct = self._by_device.setdefault(device, Conduct())
        self._by_device.move_to_end(device)
        if len(self._by_device) > MAX_DEVICES:
            self._by_device.popitem(last=False)
        return conduct
