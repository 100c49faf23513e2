"""Wrong secrets: who tries too many has to wait."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

from .limits import MAX_TRIES, TRY_SECONDS

MAX_ADDRESSES = 10_000
"""Addresses whose tries are counted at once; the oldest are forgotten first."""


class Tries:
    """Counts wrong secrets by address. IPv6 addresses of one network, /64, are one."""

    def __init__(self) -> None:
        self._tries: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def add(self, address: str, now: float) -> None:
        """Count a wrong secret."""
        name = _network(address)
        count, since = self._tries.pop(name, (0, now))
        if now - since >= TRY_SECONDS:
            count, since = 0, now
        self._tries[name] = count + 1, since
        if len(self._tries) > MAX_ADDRESSES:
            self._tries.popitem(last=False)

    def seconds_to_wait(self, address: str, now: float) -> float:
        """How long no more tries are taken from an address; 0 where they are."""
        count, since = self._tries.get(_network(address), (0, now))
        return max(0.0, since + TRY_SECONDS - now) if count >= MAX_TRIES else 0.0


def _network(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if ip.version == 6:
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
