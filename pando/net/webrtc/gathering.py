"""Gathering: finding the addresses at which this device may be reached, with limits of our own.

aiortc asks one STUN and one TURN server, and waits 5 s for a silent one. Here all that are named
are asked at once, each for a limited time, and why one gave no address is kept. What is used of
aioice has no promise of staying as it is: its version is pinned, and the tests ask real servers.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import one_line
from .ice_servers import IceServer, with_stun

if TYPE_CHECKING:
    from aioice import Candidate, Connection
    from aioice.ice import StunProtocol

STUN_SECONDS = 1.0
"""Maximum seconds for asking a STUN server."""
TURN_SECONDS = 2.0
"""Maximum seconds for getting an address at a TURN server, which takes several round trips."""
UNAUTHORIZED = (401, 438)
"""What a TURN server answers to a user or a password that it does not take."""

Found = tuple["Candidate", "StunProtocol | None"]


class Gatherer:
    """Gathers for one connection, in place of aioice's own method.

    Args:
        ice: aioice's end of the connection.
        servers: STUN and TURN servers.
        relays_only: whether to use no address of this device itself.

    Attributes:
        problems: why servers gave no address, by their URLs.
    """

    def __init__(
        self, ice: Connection, servers: Sequence[IceServer], *, relays_only: bool = False
    ) -> None:
        self.problems: dict[str, str] = {}
        self._ice = ice
        self._servers = with_stun(servers)
        self._relays_only = relays_only
        self._gather_own = ice.get_component_candidates

    def install(self) -> None:
        """Have the connection gather by this object."""
        setattr(self._ice, "get_component_candidates", self._gather)  # noqa: B010

    async def _gather(self, component: int, addresses: list[str]) -> list[Candidate]:
        # aioice itself is told of no servers, so this binds one socket to each address, no more.
        own = [] if self._relays_only else addresses
        candidates = await self._gather_own(component, own)
        tasks = {
            asyncio.create_task(self._ask(server, query)): server
            for server in self._servers
            for query in self._queries(server, component)
        }
        for found in await asyncio.gather(*tasks):
            if found is None:
                continue
            candidate, protocol = found
            if protocol is not None:
                self._ice._protocols.append(protocol)
            places = {(each.host, each.port) for each in candidates}
            if (candidate.host, candidate.port) not in places:
                candidates.append(candidate)
        return candidates

    def _queries(
        self, server: IceServer, component: int
    ) -> list[Coroutine[Any, Any, tuple[Candidate, StunProtocol | None]]]:
        from aioice import ice

        if server.is_turn:
            return [
                ice.relayed_candidate(
                    component=component,
                    hide_related_address=True,
                    protocol_factory=lambda: ice.StunProtocol(self._ice),
                    turn_server=server.address,
                    turn_username=server.username,
                    turn_password=server.credential,
                    turn_ssl=server.has_tls,
                    turn_transport=server.transport,
                )
            ]
        # No router translates addresses of IPv6.
        return [
            ice.server_reflexive_candidate(protocol, server.address)
            for protocol in self._ice._protocols
            if protocol.local_candidate.type == "host"
            and ipaddress.ip_address(protocol.local_candidate.host).version == 4
        ]

    async def _ask(
        self,
        server: IceServer,
        query: Coroutine[Any, Any, tuple[Candidate, StunProtocol | None]],
    ) -> Found | None:
        """Return the address that a server gives; None where it gives none, which is noted."""
        seconds = TURN_SECONDS if server.is_turn else STUN_SECONDS
        try:
            return await asyncio.wait_for(query, seconds)
        except Exception as error:  # whatever a server does is the end of this way alone
            self.problems[server.url] = describe(error)
        return None


def describe(error: Exception) -> str:
    """Return in words why a server gave no address."""
    from aioice import stun

    if isinstance(error, TimeoutError | stun.TransactionTimeout):
        return "it does not answer"
    if isinstance(error, stun.TransactionFailed):
        code = error.response.error_code
        if code in UNAUTHORIZED:
            return "it does not take the user and the password"
        return one_line(f"it refuses: {error}", 200)
    if isinstance(error, OSError):
        number = error.errno or 0  # asyncio has words of its own for those of the system
        return one_line(os.strerror(number) if number > 0 else str(error), 200)
    return one_line(f"it does not answer as such a server does: {error}", 200)
