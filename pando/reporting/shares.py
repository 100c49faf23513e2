"""Who holds how many of a ledger's places, in constant time."""

from __future__ import annotations

from collections.abc import Hashable


class Shares:
    """Devices by the link over which each is heard, and which link has the most."""

    def __init__(self) -> None:
        self._devices: dict[Hashable, dict[bytes, None]] = {}
        self._owners: dict[int, dict[Hashable, None]] = {}
        self._most = 0

    def add(self, owner: Hashable, node: bytes) -> None:
        """Take it that a device is heard over a link."""
        devices = self._devices.setdefault(owner, {})
        before = len(devices)
        devices[node] = None
        self._regroup(owner, before, len(devices))

    def remove(self, owner: Hashable, node: bytes) -> None:
        """Take it that a device is not heard over a link any more."""
        devices = self._devices.get(owner, {})
        before = len(devices)
        devices.pop(node, None)
        self._regroup(owner, before, len(devices))
        if not devices:
            self._devices.pop(owner, None)

    def count(self, owner: Hashable) -> int:
        """Return how many devices are heard over a link."""
        return len(self._devices.get(owner, ()))

    def of(self, owner: Hashable) -> list[bytes]:
        """Return the devices that are heard over a link, the newest last."""
        return list(self._devices.get(owner, ()))

    def most(self) -> int:
        """Return how many devices are heard over the link that has the most."""
        return self._most

    def last_of_largest(self) -> bytes:
        """Return the newest device of a link that has the most; there must be one."""
        owner = next(iter(self._owners[self._most]))
        return next(reversed(self._devices[owner]))

    def _regroup(self, owner: Hashable, before: int, after: int) -> None:
        if before == after:
            return
        if before:
            del self._owners[before][owner]
            if not self._owners[before]:
                del self._owners[before]
        if after:
            self._owners.setdefault(after, {})[owner] = None
        if after > self._most or self._most not in self._owners:
            self._most = after
